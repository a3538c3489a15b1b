package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
)

// patience bounds each wait for the program.
const patience = 60 * time.Second

// load is writers that commit through all nodes in turn, each to its own bundle,
// and read on the next node what they committed.
type load struct {
	apis    []*site.API
	writers []*writer
	// within bounds one request: one that hangs on a node that was lost goes to the
	// next then, once if again is set, with the same Idempotency-Key.
	within time.Duration
	again  bool
	stay   bool // each writer keeps to one node, and reads nothing on another

	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	count counts
	loss  *loss // the node that is away
}

// counts is what the writers saw.
type counts struct {
	Commits     int           `json:"commits"`
	Requests    int           `json:"requests"`
	FailedFirst int           `json:"requests_failed_at_first"`
	Failed      int           `json:"requests_failed"` // after the retry, where there is one
	Failures    []string      `json:"failures"`        // some of them
	LongestGap  time.Duration `json:"longest_time_without_a_commit_ns"`
	Reads       int           `json:"reads_on_another_node"` // right after a commit
	Stale       int           `json:"reads_marked_stale"`
	Behind      []string      `json:"-"` // reads that missed a version, without the mark

	last time.Time // of the newest commit
}

// writer knows what its bundle must hold.
type writer struct {
	number int
	bundle string
	acked  map[int]string // content of acknowledged versions
}

// newLoad makes a token, a collection and a bundle for each writer.
func newLoad(ctx context.Context, i *lab.Lab, writers int) (*load, error) {
	token, collection, err := i.ForHost(ctx)
	if err != nil {
		return nil, err
	}
	l := &load{within: 2 * time.Second}
	for _, n := range i.Nodes() {
		l.apis = append(l.apis, site.NewAPI(n.URL(), token))
	}
	for k := range writers {
		b, err := l.apis[k%len(l.apis)].CreateBundle(ctx, collection, fmt.Sprintf("b%d", k))
		if err != nil {
			return nil, err
		}
		l.writers = append(l.writers, &writer{number: k, bundle: b, acked: map[int]string{}})
	}
	return l, nil
}

func (l *load) start(ctx context.Context) {
	ctx, l.cancel = context.WithCancel(ctx)
	l.count.last = time.Now()
	for _, w := range l.writers {
		l.running.Go(func() { l.write(ctx, w) })
	}
}

// stop waits until the writers have ended what they do.
func (l *load) stop() {
	l.cancel()
	l.running.Wait()
}

func (l *load) close() {
	for _, a := range l.apis {
		a.Close()
	}
}

// write commits versions through one node after the other.
func (l *load) write(ctx context.Context, w *writer) {
	for n := 0; ctx.Err() == nil; n++ {
		at := w.number % len(l.apis)
		if !l.stay {
			at = (w.number + n) % len(l.apis)
		}
		content := fmt.Sprintf("writer %d, %d of %d", w.number, n, len(w.acked))
		began := time.Now()
		version, err := l.commit(ctx, at, w.bundle, content)
		l.done(at, began, err)
		if err != nil {
			continue
		}
		w.acked[version] = content
		if !l.stay {
			l.look(ctx, (at+1)%len(l.apis), w, version)
		}
	}
}

// commit makes one version through one node. An error leaves open whether it was
// made.
func (l *load) commit(ctx context.Context, at int, bundle, content string) (int, error) {
	var draft struct{ UUID string }
	if err := l.ask(ctx, at, http.MethodPost, "drafts", map[string]string{"bundle_uuid": bundle, "name": content}, &draft); err != nil {
		return 0, err
	}
	files := map[string]any{"files": map[string]string{"a.txt": base64.StdEncoding.EncodeToString([]byte(content))}}
	if err := l.ask(ctx, at, http.MethodPatch, "drafts/"+draft.UUID, files, nil); err != nil {
		return 0, err
	}
	var made struct {
		Version string `json:"bundle_version"`
	}
	if err := l.ask(ctx, at, http.MethodPost, "drafts/"+draft.UUID+"/commit", nil, &made); err != nil {
		return 0, err
	}
	return site.VersionOf(path.Base(made.Version))
}

// ask sends one change, and sends it to the next node, too, if the load does so and
// the first does not answer or says that it could not (5xx).
func (l *load) ask(ctx context.Context, at int, method, path string, in, out any) error {
	key := newKey()
	status, err := l.once(ctx, at, method, path, key, in, out)
	failed := err != nil
	if failed && l.again && (status == 0 || status >= 500) && ctx.Err() == nil {
		_, err = l.once(ctx, (at+1)%len(l.apis), method, path, key, in, out)
	}
	if ctx.Err() != nil {
		return ctx.Err() // the load ends; that is no failure
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.Requests++
	if failed {
		l.count.FailedFirst++
	}
	if err != nil {
		l.count.Failed++
		if l.again && len(l.count.Failures) < 5 { // without a retry they are expected
			l.count.Failures = append(l.count.Failures, fmt.Sprintf("%s %s at node %d and the next: %v", method, path, at+1, err))
		}
	}
	return err
}

// once returns the status of the answer, 0 if there was none.
func (l *load) once(ctx context.Context, at int, method, path, key string, in, out any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, l.within)
	defer cancel()
	answer, err := l.apis[at].Answer(ctx, method, path, key, in)
	if err != nil {
		return 0, err
	}
	if answer.Status/100 != 2 {
		return answer.Status, &site.StatusError{Code: answer.Status, Text: string(answer.Body)}
	}
	if out == nil {
		return answer.Status, nil
	}
	return answer.Status, json.Unmarshal(answer.Body, out)
}

// done counts a commit that was tried at a node.
func (l *load) done(at int, began time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loss != nil {
		l.loss.tried(at, began, err)
	}
	if err != nil {
		return
	}
	now := time.Now()
	l.count.Commits++
	l.count.LongestGap = max(l.count.LongestGap, now.Sub(l.count.last))
	l.count.last = now
}

// look reads the bundle through another node, which must show the version or
// say that it may be behind.
func (l *load) look(ctx context.Context, at int, w *writer, version int) {
	ctx, cancel := context.WithTimeout(ctx, l.within)
	defer cancel()
	began := time.Now()
	answer, err := l.apis[at].Answer(ctx, http.MethodGet, "bundles/"+w.bundle, "", nil)
	if err != nil || answer.Status != http.StatusOK {
		return // it may be the node that is lost
	}
	var b struct{ Versions []string }
	newest := 0
	if err = json.Unmarshal(answer.Body, &b); err == nil && len(b.Versions) > 0 {
		newest, err = site.VersionOf(b.Versions[len(b.Versions)-1])
	}
	stale := answer.Header.Get("Blockstored-Stale") == "true"
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.Reads++
	if l.loss != nil {
		l.loss.read(at, began, stale)
	}
	switch {
	case stale:
		l.count.Stale++
	case err != nil || newest < version:
		l.count.Behind = append(l.count.Behind, fmt.Sprintf("bundle %s shows version %d after %d was acknowledged (%v)", w.bundle, newest, version, err))
	}
}
