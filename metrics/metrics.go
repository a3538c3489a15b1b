package metrics

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics feeds the families of one instance. All methods may be called from
// any goroutine and on a nil *Metrics, where they do nothing.
type Metrics struct {
	registry   prometheus.Registerer
	counters   [numFamilies]*prometheus.CounterVec
	gauges     [numFamilies]*prometheus.GaugeVec
	histograms [numFamilies]*prometheus.HistogramVec

	mu    sync.Mutex // held during a scrape: hooks never run twice at once
	hooks map[*func()]struct{}
}

// New registers the families on registry. A nil registry is allowed and yields
// a nil *Metrics. It fails if another instance has its families there already;
// the caller then wraps the registry with a label of its own. The caller ends
// with [Metrics.Close].
func New(registry prometheus.Registerer) (*Metrics, error) {
	if registry == nil {
		return nil, nil
	}
	m := &Metrics{registry: registry, hooks: make(map[*func()]struct{})}
	for i, f := range families {
		name := prometheus.BuildFQName(namespace, "", f.name)
		switch f.kind {
		case counter:
			m.counters[i] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: f.help}, f.labels)
		case gauge:
			m.gauges[i] = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: f.help}, f.labels)
		case histogram:
			m.histograms[i] = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: f.help, Buckets: f.buckets}, f.labels)
		}
		if len(f.labels) == 0 {
			m.touch(id(i))
		}
	}
	if err := registry.Register(scrape{m}); err != nil {
		return nil, fmt.Errorf("register metrics (does another instance use this registry? wrap it with a label): %w", err)
	}
	return m, nil
}

// touch makes a family without labels show from the start, at zero.
func (m *Metrics) touch(i id) {
	switch families[i].kind {
	case counter:
		m.counters[i].WithLabelValues()
	case gauge:
		m.gauges[i].WithLabelValues()
	case histogram:
		m.histograms[i].WithLabelValues()
	}
}

// Close takes the families off the registry, so that another Metrics can be
// made on it. The methods stay safe to call. Closing twice is allowed.
func (m *Metrics) Close() {
	if m == nil {
		return
	}
	m.mu.Lock()
	registry := m.registry
	m.registry = nil
	clear(m.hooks)
	m.mu.Unlock()
	if registry != nil {
		registry.Unregister(scrape{m})
	}
}

// OnScrape has hook called at the start of every scrape, to set gauges whose
// values are cheap to read but change all the time. Hooks run one at a time,
// in no order; they must be quick, must not block on anything that may wait
// for a scrape, and must not call OnScrape or Close. The returned function
// removes the hook; when it returns, the hook no longer runs.
func (m *Metrics) OnScrape(hook func()) (remove func()) {
	if m == nil {
		return func() {}
	}
	key := &hook
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.registry != nil {
		m.hooks[key] = struct{}{}
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.hooks, key)
	}
}

// scrape is the one collector that a Metrics registers: all families together
// are on a registry, or none.
type scrape struct{ m *Metrics }

func (s scrape) each(visit func(prometheus.Collector)) {
	for i, f := range families {
		switch f.kind {
		case counter:
			visit(s.m.counters[i])
		case gauge:
			visit(s.m.gauges[i])
		case histogram:
			visit(s.m.histograms[i])
		}
	}
}

// Describe implements [prometheus.Collector].
func (s scrape) Describe(ch chan<- *prometheus.Desc) {
	s.each(func(c prometheus.Collector) { c.Describe(ch) })
}

// Collect implements [prometheus.Collector].
func (s scrape) Collect(ch chan<- prometheus.Metric) {
	s.m.mu.Lock()
	for hook := range s.m.hooks {
		(*hook)()
	}
	s.m.mu.Unlock()
	s.each(func(c prometheus.Collector) { c.Collect(ch) })
}

func (m *Metrics) count(i id, n int64, labels ...string) {
	if m != nil && n >= 0 { // a counter panics on less
		m.counters[i].WithLabelValues(labels...).Add(float64(n))
	}
}

func (m *Metrics) set(i id, value float64, labels ...string) {
	if m != nil {
		m.gauges[i].WithLabelValues(labels...).Set(value)
	}
}

func (m *Metrics) add(i id, by float64, labels ...string) {
	if m != nil {
		m.gauges[i].WithLabelValues(labels...).Add(by)
	}
}

func (m *Metrics) observe(i id, d time.Duration, labels ...string) {
	if m != nil {
		m.histograms[i].WithLabelValues(labels...).Observe(max(d, 0).Seconds())
	}
}

// SetBuildInfo names the running program: its version, source revision and the
// Go version that built it.
func (m *Metrics) SetBuildInfo(version, revision, goversion string) {
	m.set(buildInfo, 1, version, revision, goversion)
}

// Request counts an answered HTTP request. route is the pattern that matched,
// never the path.
func (m *Metrics) Request(route string, code int, d time.Duration) {
	m.count(httpRequests, 1, route, strconv.Itoa(code))
	m.observe(httpRequestDuration, d, route)
}

// Commit counts a draft that became a version.
func (m *Metrics) Commit(d time.Duration) {
	m.count(commits, 1)
	m.observe(commitDuration, d)
}

// Visible records that a copy's version became visible here, d after its
// primary published it.
func (m *Metrics) Visible(d time.Duration) { m.observe(publishToVisible, d) }

// SetBundles sets how many bundles are in a state: own, copy, held, parked or
// withdrawn.
func (m *Metrics) SetBundles(state string, n int64) { m.set(bundles, float64(n), state) }

// ObjectWritten counts an object that was made durable in storage; kind is a
// word for what it holds (pack, blob), size its bytes as stored.
func (m *Metrics) ObjectWritten(kind string, size int64, d time.Duration) {
	m.count(objectsWritten, 1, kind)
	m.count(blobBytesStored, size)
	m.observe(objectWriteDuration, d)
}

// StorageRead counts bytes read from storage.
func (m *Metrics) StorageRead(n int64) { m.count(storageReadBytes, n) }

// SetCatalogSize sets the bytes of the catalog's files on this node.
func (m *Metrics) SetCatalogSize(size int64) { m.set(catalogSize, float64(size)) }

// SetLogRecords sets the size of this instance's publication log.
func (m *Metrics) SetLogRecords(n int64) { m.set(logRecords, float64(n)) }

// SetPeerCheckpointAge sets the age of a peer's newest verified checkpoint.
func (m *Metrics) SetPeerCheckpointAge(peer string, age time.Duration) {
	m.set(peerCheckpointAge, age.Seconds(), peer)
}

// SetPeerOldestUnapplied sets the age of the oldest record of a peer that waits
// to be applied; 0 if none does.
func (m *Metrics) SetPeerOldestUnapplied(peer string, age time.Duration) {
	m.set(peerOldestUnapplied, age.Seconds(), peer)
}

// Direction says which way bytes went.
type Direction string

// The directions.
const (
	Received Direction = "received"
	Sent     Direction = "sent"
)

// PeerBytes counts bytes exchanged with a peer, bodies as on the wire.
func (m *Metrics) PeerBytes(peer string, way Direction, n int64) {
	m.count(peerBytes, n, peer, string(way))
}

// PeerUsefulBytes counts bytes of content from a peer that were verified and
// stored: against PeerBytes they show what was fetched in vain.
func (m *Metrics) PeerUsefulBytes(peer string, n int64) { m.count(peerUsefulBytes, n, peer) }

// PeerRequest counts a request made to a peer; result is ok or the name of an
// error's kind.
func (m *Metrics) PeerRequest(peer, result string) { m.count(peerRequests, 1, peer, result) }

// SetAlarm says whether an alarm about a peer stands.
func (m *Metrics) SetAlarm(peer, alarm string, stands bool) {
	m.set(alarms, truth(stands), peer, alarm)
}

// ForgetPeer drops everything that is labelled with a peer, after it was
// removed.
func (m *Metrics) ForgetPeer(peer string) {
	if m == nil {
		return
	}
	label := prometheus.Labels{"peer": peer}
	for i := range families {
		switch {
		case m.counters[i] != nil:
			m.counters[i].DeletePartialMatch(label)
		case m.gauges[i] != nil:
			m.gauges[i].DeletePartialMatch(label)
		case m.histograms[i] != nil:
			m.histograms[i].DeletePartialMatch(label)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
