package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/blockstored/blockstored/api"
	benchsite "github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage/s3/s3test"
)

// member is one node of an instance, a process.
type member struct {
	program
	config string
	server *server
}

// members starts nodes n1, n2 … of one instance and waits until all of them vote.
func members(t *testing.T, n int, drain time.Duration) []*member {
	t.Helper()
	s := s3test.Start(t)
	bucket := s.NewBucket()
	var all []*member
	for k := range n {
		at, err := benchsite.FreeAddress(t.Context()) // stays the node's when it is started again
		if err != nil {
			t.Fatal(err)
		}
		m := &member{program: program{t, filepath.Join(t.TempDir(), "data")}}
		m.config = write(t, t.TempDir(), "c.yaml", fmt.Sprintf(
			"drain: %s\ncluster: {node: n%d, listen: %q}\nstorage: {driver: s3, s3: {endpoint: %q, bucket: %s, region: us-east-1, access_key_id: %s, secret_access_key: %s}}\n",
			drain, k+1, at, s.Endpoint, bucket, s.AccessKeyID, s.SecretAccessKey))
		args := []string{"--config", m.config}
		if k == 0 {
			m.ok("init", "--config", m.config)
		} else {
			token, _ := all[0].ok("cluster", "invite")
			args = append(args, "--join", token)
		}
		m.server = m.serve(args...)
		all = append(all, m)
	}
	for _, m := range all {
		m.eventually("cluster", "status")
		m.await(n)
	}
	return all
}

func (m *member) status() (s api.ClusterStatus) {
	m.t.Helper()
	out, err := m.command("cluster", "status", "--format", "json").Output()
	if jsonErr := json.Unmarshal(out, &s); jsonErr != nil {
		m.t.Fatalf("cluster status: %v, %v", jsonErr, err)
	}
	return s
}

// await waits until n nodes vote and are ready, as this one sees it.
func (m *member) await(n int) {
	m.t.Helper()
	for deadline := time.Now().Add(2 * patience); ; {
		s := m.status()
		fine := 0
		for _, one := range s.Nodes {
			if one.Voter && upToDate(one) {
				fine++
			}
		}
		if fine == n && len(s.Nodes) == n && s.Leader != "" {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("no %d nodes that vote and are ready: %+v", n, s)
		}
	}
}

// balancer gives requests to the nodes that are ready, as a load balancer does that
// asks /readyz.
type balancer struct {
	client *http.Client
	token  string
	next   atomic.Int64

	mu    sync.Mutex
	nodes []string // URLs of their APIs
	ready []string // of those that were, when they were asked
}

// watch asks the nodes how they are until ctx ends.
func (b *balancer) watch(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	probes := &http.Client{Timeout: time.Second}
	defer probes.CloseIdleConnections()
	for ctx.Err() == nil {
		b.mu.Lock()
		nodes := slices.Clone(b.nodes)
		b.mu.Unlock()
		var ready []string
		for _, n := range nodes {
			if resp, err := probes.Get(n + "/readyz"); err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					ready = append(ready, n)
				}
			}
		}
		b.mu.Lock()
		if len(ready) > 0 {
			b.ready = ready
		}
		b.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// pick returns the next node that is ready, another than but if there is one.
func (b *balancer) pick(but string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	others := slices.DeleteFunc(slices.Clone(b.ready), func(n string) bool { return n == but })
	if len(others) == 0 {
		others = b.ready
	}
	return others[int(b.next.Add(1))%len(others)]
}

// create makes a collection, with one more attempt on another node if the first
// fails, under the same key. It reports how many it needed. More than two may be
// needed only where a node asks for it with 503: on a busy machine the others may
// take longer to elect than nodes hold a write.
func (b *balancer) create(title string) (id string, tries int, err error) {
	at := b.pick("")
	for deadline := time.Now().Add(2 * patience); ; at = b.pick(at) {
		tries++
		next, failed := b.post(at, title)
		if failed == nil {
			return next, tries, nil
		}
		err = errors.Join(err, failed)
		if tries > 1 && (!strings.Contains(failed.Error(), ": 503 ") || time.Now().After(deadline)) {
			return "", tries, err
		}
	}
}

func (b *balancer) post(at, title string) (string, error) {
	req, err := http.NewRequest(http.MethodPost, at+"/api/v1/collections", strings.NewReader(`{"title":"`+title+`"}`))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Token "+b.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", title)
	resp, err := b.client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%s: %d %s", at, resp.StatusCode, body)
	}
	var made struct{ UUID string }
	if err == nil {
		err = json.Unmarshal(body, &made)
	}
	return made.UUID, err
}

// The leader of three is told to stop, and started again: nobody behind a load
// balancer sees a request fail that was tried once more, and nothing that was
// acknowledged is lost.
func TestLeaderIsReplacedWithoutAFailedRequest(t *testing.T) {
	t.Parallel()
	all := members(t, 3, time.Second)
	token, _ := all[0].ok("token", "create", "lms", "--role", "writer")
	all[0].ok("cluster", "transfer-leader", "n2")
	b := &balancer{token: token, client: &http.Client{Timeout: patience}}
	for _, m := range all {
		b.nodes = append(b.nodes, m.server.api)
	}
	b.ready = slices.Clone(b.nodes)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { b.watch(ctx) })
	var mu sync.Mutex
	var ids []string
	var again atomic.Int64
	load, stop := context.WithCancel(ctx)
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for k := 0; load.Err() == nil; k++ {
				id, tries, err := b.create(fmt.Sprintf("w%d-%d", w, k))
				if err != nil {
					t.Errorf("a request failed %d times: %v", tries, err)
					return
				}
				again.Add(int64(tries - 1))
				mu.Lock()
				ids = append(ids, id)
				mu.Unlock()
			}
		})
	}
	old := all[1]
	old.interrupt(old.server)
	if s := old.server.stderr.String(); strings.Contains(s, "could not hand over") {
		t.Logf("the busy machine kept the others from taking over in time:\n%s", s)
	}
	for _, m := range []*member{all[0], all[2]} {
		for deadline := time.Now().Add(2 * patience); ; {
			out, err := m.command("cluster", "status").Output()
			if exitCode(err) == exitDegraded && bytes.Contains(out, []byte("2 of 3 voters are up to date: none more may fail")) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("with a node away: %v\n%s", err, out)
			}
		}
	}
	old.server = old.serve("--config", old.config)
	b.mu.Lock()
	b.nodes[1] = old.server.api
	b.mu.Unlock()
	old.await(3)
	stop()
	writers.Wait()
	cancel()
	running.Wait()
	b.client.CloseIdleConnections()
	t.Logf("%d writes, and %d further attempts", len(ids), again.Load())
	for _, m := range all {
		out, _ := m.ok("collection", "list", "--format", "json")
		var kept []struct {
			UUID bundle.ID `json:"uuid"`
		}
		if err := json.Unmarshal([]byte(out), &kept); err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, c := range kept {
			found[c.UUID.String()] = true
		}
		for _, id := range ids {
			if !found[id] {
				t.Errorf("collection %s was acknowledged and is not there", id)
			}
		}
	}
}

// A node that serves on for a while ends at the second signal.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	one := members(t, 2, 10*time.Minute)[0].server
	if err := one.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * patience); ; {
		resp, err := http.Get(one.api + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil && bytes.Contains(body, []byte("leaving: ")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not say that it leaves: %s, %v", body, err)
		}
	}
	if err := one.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-one.rest
	if err := one.Wait(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("it ended with %v", err)
	}
}
