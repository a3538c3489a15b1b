package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bench/site"
)

// attemptTimeout bounds one request of a writer: one that hangs on a node that
// was lost goes to the next then.
const attemptTimeout = 2 * time.Second

// load is writers that commit through all nodes in turn, each to its own bundle.
type load struct {
	apis    []*site.API
	writers []*writer
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	lostAt  time.Time
	again   time.Time     // when a commit that began after the loss was acknowledged first
	resumed chan struct{} // closed then
	failed  int           // attempts without an acknowledgement
	commits int
	reads   int // elsewhere, right after a commit
	stale   int // of them, marked as stale
	behind  []string
}

// writer knows what its bundle must hold.
type writer struct {
	number int
	bundle string
	acked  map[int]string // content of acknowledged versions
}

// newLoad makes a token, a collection and a bundle for each writer.
func newLoad(ctx context.Context, i *instance, writers int) (*load, error) {
	var token struct{ Token string }
	var collection struct{ UUID string }
	for _, c := range []struct {
		out  any
		args []string
	}{
		{&token, []string{"token", "create", "bench", "--role", "writer", "--format", "json"}},
		{&collection, []string{"collection", "create", "bench", "--format", "json"}},
	} {
		out, err := i.nodes[0].command(ctx, c.args...)
		if err == nil {
			err = json.Unmarshal(out, c.out)
		}
		if err != nil {
			return nil, err
		}
	}
	l := &load{resumed: make(chan struct{})}
	for _, n := range i.nodes {
		l.apis = append(l.apis, site.NewAPI(n.url(), token.Token))
	}
	for k := range writers {
		b, err := l.apis[k%len(l.apis)].CreateBundle(ctx, collection.UUID, fmt.Sprintf("b%d", k))
		if err != nil {
			return nil, err
		}
		l.writers = append(l.writers, &writer{number: k, bundle: b, acked: map[int]string{}})
	}
	return l, nil
}

func (l *load) start(ctx context.Context) {
	ctx, l.cancel = context.WithCancel(ctx)
	for _, w := range l.writers {
		l.running.Go(func() { l.write(ctx, w) })
	}
}

// stop waits until the writers have ended what they do.
func (l *load) stop() error {
	l.cancel()
	l.running.Wait()
	if len(l.behind) > 0 {
		return fmt.Errorf("%d reads did not show what was acknowledged before: %s", len(l.behind), l.behind[0])
	}
	return nil
}

func (l *load) close() {
	for _, a := range l.apis {
		a.Close()
	}
}

// lost notes that a node is being taken away, and drops idle connections to it.
func (l *load) lost(node int) {
	l.mu.Lock()
	l.lostAt = time.Now()
	l.mu.Unlock()
	l.apis[node].Close()
}

// awaitAgain waits until a write succeeded that began after the loss.
func (l *load) awaitAgain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-l.resumed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no write succeeded after the loss of the node: %w", ctx.Err())
	}
}

// write commits versions through one node after the other.
func (l *load) write(ctx context.Context, w *writer) {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		at := (w.number + attempt) % len(l.apis)
		content := fmt.Sprintf("writer %d attempt %d", w.number, attempt)
		began := time.Now()
		version, err := l.commit(ctx, l.apis[at], w.bundle, content)
		l.count(began, err)
		if err != nil {
			continue
		}
		w.acked[version] = content
		l.look(ctx, l.apis[(at+1)%len(l.apis)], w, version)
	}
}

// commit makes one version through one node. An error leaves open whether it was
// made.
func (l *load) commit(ctx context.Context, api *site.API, bundle, content string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	draft, err := api.CreateDraft(ctx, bundle, content)
	if err != nil {
		return 0, err
	}
	if err := api.PatchDraft(ctx, draft, map[string][]byte{"a.txt": []byte(content)}); err != nil {
		return 0, err
	}
	return api.Commit(ctx, draft, "")
}

func (l *load) count(began time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed++
		return
	}
	l.commits++
	if !l.lostAt.IsZero() && l.again.IsZero() && began.After(l.lostAt) {
		l.again = time.Now()
		close(l.resumed)
	}
}

// look reads the bundle through another node, which must show the version or
// say that it may be behind.
func (l *load) look(ctx context.Context, api *site.API, w *writer, version int) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	answer, err := api.Answer(ctx, http.MethodGet, "bundles/"+w.bundle, "", nil)
	if err != nil || answer.Status != http.StatusOK {
		return // it may be the node that is lost
	}
	var b struct{ Versions []string }
	newest := 0
	if err = json.Unmarshal(answer.Body, &b); err == nil && len(b.Versions) > 0 {
		newest, err = site.VersionOf(b.Versions[len(b.Versions)-1])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	switch {
	case answer.Header.Get("Blockstored-Stale") == "true":
		l.stale++
	case err != nil || newest < version:
		l.behind = append(l.behind, fmt.Sprintf("bundle %s shows version %d after %d was acknowledged (%v)", w.bundle, newest, version, err))
	}
}

// verify reads every version of every bundle through every node.
func (l *load) verify(ctx context.Context, o options) (*result, error) {
	r := &result{
		Nodes: len(l.apis), Writers: len(l.writers), Lost: o.victim, How: o.how,
		Acknowledged: l.commits, Failed: l.failed, Reads: l.reads, Stale: l.stale,
	}
	r.Again = l.again.Sub(l.lostAt)
	for k, api := range l.apis {
		for _, w := range l.writers {
			if err := r.check(ctx, api, w, k == 0); err != nil {
				return nil, fmt.Errorf("node %d: %w", k+1, err)
			}
		}
	}
	return r, nil
}
