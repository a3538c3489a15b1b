package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/client"
)

// answersWithin bounds one question to a node's operators' socket.
const answersWithin = 5 * time.Second

// Operator calls fn with a client on the node's operators' socket.
func (n *Node) Operator(fn func(c *client.Client) error) error {
	socket, err := blockstored.FindAdminSocket(n.data)
	if err != nil {
		return err
	}
	c, err := client.New(client.Config{Socket: socket})
	if err != nil {
		return err
	}
	defer c.Close()
	return fn(c)
}

// Status returns how the node sees its cluster. It takes some seconds at most, also
// if the process is paused.
func (n *Node) Status(ctx context.Context) (s api.ClusterStatus, err error) {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	err = n.Operator(func(c *client.Client) error {
		s, err = c.ClusterStatus(ctx)
		return err
	})
	return s, err
}

// statuses asks every node that runs, at once, but for one; those that do not answer
// are missing.
func (l *Lab) statuses(ctx context.Context, but *Node) map[*Node]api.ClusterStatus {
	var (
		mu  sync.Mutex
		all sync.WaitGroup
		got = map[*Node]api.ClusterStatus{}
	)
	for _, n := range l.nodes {
		if n == but || !n.Running() {
			continue
		}
		all.Go(func() {
			s, err := n.Status(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got[n] = s
		})
	}
	all.Wait()
	return got
}

// Leader waits, for a minute at most, until a node says that it leads, and returns
// it: that of the newest term if several do.
func (l *Lab) Leader(ctx context.Context) (*Node, error) { return l.LeaderBut(ctx, nil) }

// LeaderBut is Leader among the nodes other than one.
func (l *Lab) LeaderBut(ctx context.Context, but *Node) (leader *Node, err error) {
	err = Until(ctx, func(ctx context.Context) error {
		term := uint64(0)
		for n, s := range l.statuses(ctx, but) {
			if s.State == "leader" && s.Term > term {
				leader, term = n, s.Term
			}
		}
		if leader == nil {
			return errors.New("no node leads")
		}
		return nil
	})
	return leader, err
}

// Await waits, for a minute at most, until want nodes vote, answer and have what is
// committed, as each node that runs sees it. While somebody writes, use
// [Lab.AwaitVoters].
func (l *Lab) Await(ctx context.Context, want int) error {
	return l.await(ctx, want, func(n api.ClusterNode) bool { return n.Lag == 0 })
}

// AwaitVoters is Await, but nodes may lack what was committed just now.
func (l *Lab) AwaitVoters(ctx context.Context, want int) error {
	return l.await(ctx, want, func(api.ClusterNode) bool { return true })
}

func (l *Lab) await(ctx context.Context, want int, fits func(api.ClusterNode) bool) error {
	return Until(ctx, func(ctx context.Context) error {
		statuses := l.statuses(ctx, nil)
		for _, n := range l.nodes {
			if !n.Running() {
				continue
			}
			s, ok := statuses[n]
			fine := ok && s.Leader != "" && len(s.Nodes) == want
			for _, one := range s.Nodes {
				fine = fine && one.Voter && one.Answers && fits(one)
			}
			if !fine {
				return fmt.Errorf("node %s sees no %d healthy nodes: %+v\n%s", n.name, want, s, n.LogTail())
			}
		}
		return nil
	})
}

// Until asks again and again until ask returns nil, for a minute at most, and
// returns its last error then.
func Until(ctx context.Context, ask func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if site.Pause(ctx, tick); ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}

// Memory returns what the node's process has in memory.
func (n *Node) Memory() (site.Memory, error) {
	p, _ := n.process()
	if p == nil {
		return site.Memory{}, fmt.Errorf("node %s does not run", n.name)
	}
	return site.MemoryOf(p.Pid)
}

// Metrics returns the samples of the node's metrics.
func (n *Node) Metrics(ctx context.Context) (site.Metrics, error) {
	socket, err := blockstored.FindAdminSocket(n.data)
	if err != nil {
		return nil, err
	}
	return site.Scrape(ctx, socket)
}

// SameState waits, for a minute at most, until every node that runs answers the
// same digests of its catalog and log, and returns them. Nobody may write
// meanwhile. The error names the nodes that differ.
func (l *Lab) SameState(ctx context.Context) (same api.CatalogDigest, err error) {
	err = Until(ctx, func(ctx context.Context) error {
		first := ""
		for _, n := range l.nodes {
			if !n.Running() {
				continue
			}
			d, err := n.Digest(ctx)
			if err != nil {
				return err
			}
			switch {
			case first == "":
				first, same = n.name, d
			case d.LogSize != same.LogSize || d.LogRoot != same.LogRoot || d.Digest != same.Digest:
				return fmt.Errorf("node %s holds %+v, node %s %+v", first, same, n.name, d)
			}
		}
		return nil
	})
	return same, err
}

// Digest asks the node for digests of what it holds.
func (n *Node) Digest(ctx context.Context) (d api.CatalogDigest, err error) {
	err = n.Operator(func(c *client.Client) error {
		d, err = c.CatalogDigest(ctx)
		return err
	})
	return d, err
}
