package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
)

// load is writers that commit, each to its own bundle, through the two nodes that
// are there from the beginning in turn.
type load struct {
	apis       []*site.API
	collection string
	bundles    []string
	stop       func() // waits until the writers have ended what they do

	mu    sync.Mutex
	since time.Time
	took  []time.Duration // commits since then
	fails []error
}

// newLoad makes a token, a collection and a bundle for each writer.
func newLoad(ctx context.Context, i *lab.Lab, writers int) (*load, error) {
	token, collection, err := i.ForHost(ctx)
	if err != nil {
		return nil, err
	}
	l := &load{collection: collection, stop: func() {}}
	for _, n := range i.Nodes() {
		l.apis = append(l.apis, site.NewAPI(n.URL(), token))
	}
	for k := range writers {
		b, err := l.apis[0].CreateBundle(ctx, l.collection, fmt.Sprintf("b%d", k))
		if err != nil {
			return nil, err
		}
		l.bundles = append(l.bundles, b)
	}
	return l, nil
}

func (l *load) close() {
	for _, a := range l.apis {
		a.Close()
	}
}

func (l *load) start(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for k, b := range l.bundles {
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				began := time.Now()
				err := l.commit(ctx, l.apis[(k+n)%len(l.apis)], b, fmt.Sprint(n))
				if ctx.Err() == nil {
					l.done(began, err)
				}
			}
		})
	}
	l.stop = func() {
		cancel()
		running.Wait()
	}
}

// commit makes one version: a draft, a file, a commit.
func (l *load) commit(ctx context.Context, a *site.API, bundle, content string) error {
	draft, err := a.CreateDraft(ctx, bundle, content)
	if err == nil {
		err = a.PatchDraft(ctx, draft, map[string][]byte{"a.txt": []byte(content)})
	}
	if err == nil {
		_, err = a.Commit(ctx, draft, "")
	}
	return err
}

func (l *load) done(began time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.fails = append(l.fails, err)
		return
	}
	l.took = append(l.took, time.Since(began))
}

// stretch is what writers saw for a while.
type stretch struct {
	Seconds   float64       `json:"seconds"`
	Commits   int           `json:"commits"`
	P50       time.Duration `json:"p50_ns"` // of draft, file and commit together
	P99       time.Duration `json:"p99_ns"`
	Failed    int           `json:"failed"`
	FirstFail string        `json:"first_failure,omitempty"`
}

// begin begins a stretch.
func (l *load) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since, l.took, l.fails = time.Now(), nil, nil
}

// end ends it.
func (l *load) end() stretch {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := stretch{Seconds: time.Since(l.since).Seconds(), Commits: len(l.took), Failed: len(l.fails)}
	if slices.Sort(l.took); len(l.took) > 0 {
		s.P50, s.P99 = l.took[len(l.took)/2], l.took[len(l.took)*99/100]
	}
	if len(l.fails) > 0 {
		s.FirstFail = l.fails[0].Error()
	}
	return s
}

func (l *load) during(ctx context.Context, d time.Duration) (stretch, error) {
	l.begin()
	site.Pause(ctx, d)
	return l.end(), ctx.Err()
}

const (
	fillers   = 4    // who fill the catalog at a time
	perPatch  = 1000 // files of one PATCH
	perDraft  = 8000 // and of a draft
	pathRunes = 490  // the longest path that is allowed has 500
)

// fill makes drafts of thousands of files with long paths until the catalog has
// size bytes. All files have the same content, so the bucket stays small.
func (r *result) fill(ctx context.Context, i *lab.Lab, l *load, size int64) error {
	began := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var filling sync.WaitGroup
	defer filling.Wait()
	for k := range fillers {
		bundle, err := l.apis[0].CreateBundle(ctx, l.collection, fmt.Sprintf("fill%d", k))
		if err != nil {
			return err
		}
		filling.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(k)))
			for n := 0; ctx.Err() == nil; n++ {
				if err := fillDraft(ctx, l.apis[0], bundle, fmt.Sprint(n), random); err != nil && ctx.Err() == nil {
					cancel(err)
				}
			}
		})
	}
	for ctx.Err() == nil {
		have, err := catalogSize(i.Nodes()[0])
		if err != nil {
			return err
		}
		if have >= size {
			r.Filled, r.Catalog = time.Since(began).Seconds(), have
			cancel(nil)
			filling.Wait()
			return nil
		}
		site.Pause(ctx, 50*time.Millisecond)
	}
	return context.Cause(ctx)
}

func fillDraft(ctx context.Context, a *site.API, bundle, name string, random *rand.Rand) error {
	draft, err := a.CreateDraft(ctx, bundle, name)
	for n := 0; n < perDraft && err == nil; n += perPatch {
		files := make(map[string][]byte, perPatch)
		for range perPatch {
			files[longPath(random)] = []byte("x")
		}
		err = a.PatchDraft(ctx, draft, files)
	}
	return err
}

// longPath is a path of words that are written with three bytes a letter, as many
// languages are.
func longPath(random *rand.Rand) string {
	var path strings.Builder
	for n := range pathRunes {
		if n%50 == 49 {
			path.WriteByte('/')
		} else {
			path.WriteRune(rune(0x4e00 + random.IntN(500)))
		}
	}
	return path.String()
}
