package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
)

const (
	diskSize = 256 << 20 // a copy of the catalog is made only where 64 MiB stay free
	thinking = 120 * time.Millisecond
)

// play is one history: an instance of three nodes, clients, and what happens to
// it meanwhile.
type play struct {
	*world
	*history
	dir      string
	seed     uint64
	number   int // of clients
	logLevel string
	flags    string // with which it can be played again
	faults   []fault
	lab      *lab.Lab
	clients  []*client
	result   *result
	findings *findings
	filled   map[*lab.Node]bool // whose disk was full since they were started last

	mu    sync.Mutex
	notes strings.Builder
}

// newPlay prepares the history of a seed in the folder dir.
func newPlay(o options, seed uint64, dir string) *play {
	r := &result{Histories: 1, Length: o.length, Faults: map[string]int{}}
	return &play{
		world: &world{}, dir: dir, seed: seed, number: o.clients, logLevel: o.logLevel, flags: o.again(), result: r, findings: &r.Findings, filled: map[*lab.Node]bool{},
		faults: plan(rand.New(rand.NewPCG(seed, 1<<32)), o.kinds, o.length),
	}
}

// run plays the history with a built program and judges it. An error says that
// there is nothing to judge.
func (p *play) run(ctx context.Context, program site.Program) (err error) {
	p.lab, err = lab.Open(ctx, lab.Options{
		Program: program, Dir: filepath.Join(p.dir, "lab"), Nodes: nodes, Namespaces: true, Disk: diskSize,
		Settings: []string{"BLOCKSTORED_LOG_LEVEL=" + p.logLevel},
	})
	if err != nil {
		return err
	}
	p.history = &history{began: time.Now()}
	err = p.act(ctx)
	if err == nil {
		err = p.verify(ctx)
	}
	for _, c := range p.clients {
		for _, api := range c.apis {
			api.Close()
		}
	}
	return errors.Join(err, p.lab.Close(), p.keep())
}

// act lets the clients work while faults happen, and heals everything.
func (p *play) act(ctx context.Context) error {
	if err := p.prepare(ctx); err != nil {
		return fmt.Errorf("before the first fault: %w", err)
	}
	over := make(chan struct{})
	var working sync.WaitGroup
	for _, c := range p.clients {
		working.Go(func() { c.work(ctx, over) })
	}
	err := p.inflict(ctx)
	close(over)
	p.heal(ctx)
	working.Wait()
	return errors.Join(err, ctx.Err())
}

// prepare makes a token, the clients, and what they begin with.
func (p *play) prepare(ctx context.Context) error {
	token, collection, err := p.lab.ForHost(ctx)
	if err != nil {
		return err
	}
	p.collection = collection
	for number := range p.number {
		c := &client{
			world: p.world, history: p.history, number: number, think: thinking,
			rng: rand.New(rand.NewPCG(p.seed, uint64(number))),
		}
		for _, n := range p.lab.Nodes() {
			c.apis, c.names = append(c.apis, site.NewAPI(n.URL(), token)), append(c.names, n.Name())
		}
		p.clients = append(p.clients, c)
	}
	if err := p.prepareTarget(ctx, p.clients[0].apis[0]); err != nil {
		return err
	}
	for len(p.everything()) < startBundles && ctx.Err() == nil {
		p.clients[0].makeBundle(ctx)
	}
	return p.lab.Await(ctx, nodes)
}

// prepareTarget makes the bundle that others link to.
func (p *play) prepareTarget(ctx context.Context, api *site.API) error {
	var made struct{ UUID string }
	// Each request is sent until it is answered; its key says which it is.
	send := func(key, method, path string, in any) error {
		return lab.Until(ctx, func(ctx context.Context) error {
			if method == http.MethodPost {
				return api.Do(ctx, method, path, key, in, &made)
			}
			return api.Do(ctx, method, path, key, in, nil)
		})
	}
	if err := send("bundle", http.MethodPost, "bundles", map[string]string{"collection_uuid": p.collection, "title": "target", "slug": "target"}); err != nil {
		return err
	}
	p.target = made.UUID
	if err := send("draft", http.MethodPost, "drafts", map[string]string{"bundle_uuid": p.target, "name": "target"}); err != nil {
		return err
	}
	draft := "drafts/" + made.UUID
	for n := range targetVersions {
		text := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "target %d", n))
		err := send(fmt.Sprint("patch", n), http.MethodPatch, draft, map[string]any{"files": map[string]string{"a.txt": text}})
		if err == nil {
			err = send(fmt.Sprint("commit", n), http.MethodPost, draft+"/commit", nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// note writes down what happened when.
func (p *play) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(&p.notes, "%s %8.3fs ", time.Now().UTC().Format("15:04:05.000"), time.Duration(p.now()).Seconds())
	fmt.Fprintf(&p.notes, format+"\n", args...)
}

// keep writes the history beside the logs of the nodes, for those that are kept.
func (p *play) keep() error {
	encoded, err := json.MarshalIndent(map[string]any{
		"seed": p.seed, "faults": p.faults, "records": p.history.all(), "findings": p.findings,
	}, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(p.dir, "history.json"), encoded, 0o600),
		os.WriteFile(filepath.Join(p.dir, "events"), []byte(p.notes.String()), 0o600))
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
