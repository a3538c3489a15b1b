package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
)

// join adds a node under load and waits until it votes.
func (r *result) join(ctx context.Context, i *lab.Lab, l *load) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	leader, err := i.Leader(ctx)
	if err != nil {
		return err
	}
	token, err := i.Invite(ctx)
	if err != nil {
		return err
	}
	n, err := i.NewNode(ctx, "n3")
	if err != nil {
		return err
	}
	r.DiskBefore, _ = diskUse(leader.Data())
	if r.LeaderBefore, err = leader.Memory(); err != nil {
		return err
	}
	watched := watch(leader, n)
	l.begin()
	began := time.Now()
	if err := n.Launch(token); err != nil {
		watched.end()
		return err
	}
	err = r.await(ctx, leader, n, began)
	r.During = l.end()
	r.Leader, r.Newcomer = watched.end()
	if err != nil {
		return err
	}
	m, err := n.Metrics(ctx)
	r.Copies = int(m.Sum("catalog_copies_total", `direction="received"`))
	r.Wire = int64(m.Sum("catalog_copy_bytes_total", `direction="received"`))
	return err
}

// await waits until the node is ready and until the leader says that it votes.
func (r *result) await(ctx context.Context, leader, n *lab.Node, began time.Time) error {
	for r.Votes == 0 {
		if r.Ready == 0 && n.Ready(ctx) {
			r.Ready = time.Since(began)
		}
		s, _ := leader.Status(ctx) // asked again
		for _, one := range s.Nodes {
			if one.Name == n.Name() && one.Voter && r.Ready > 0 {
				r.Votes = time.Since(began)
			}
		}
		if !n.Running() || ctx.Err() != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("node %s does not vote:\n%s\nleader:\n%s", n.Name(), n.LogTail(), leader.LogTail()))
		}
		site.Pause(ctx, 20*time.Millisecond)
	}
	return nil
}

// leave stops a follower for a while and tells how it came back.
func (r *result) leave(ctx context.Context, i *lab.Lab, away time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	leader, err := i.Leader(ctx)
	if err != nil {
		return err
	}
	follower := i.Node("n3") // no writer uses it
	if follower == leader {
		follower = i.Node("n2")
	}
	before, err := follower.Status(ctx)
	if err != nil {
		return err
	}
	if err := follower.Stop(ctx); err != nil {
		return err
	}
	site.Pause(ctx, away)
	now, err := leader.Status(ctx)
	for err == nil && now.CommitIndex <= before.CommitIndex { // whatever the load got done meanwhile
		site.Pause(ctx, 20*time.Millisecond)
		now, err = leader.Status(ctx)
	}
	if err != nil {
		return err
	}
	began := time.Now()
	if err := follower.Launch(""); err != nil {
		return err
	}
	for {
		s, err := follower.Status(ctx)
		if err == nil && s.AppliedIndex >= now.CommitIndex {
			break
		}
		if site.Pause(ctx, 20*time.Millisecond); !follower.Running() || ctx.Err() != nil {
			return errors.Join(err, ctx.Err(), fmt.Errorf("node %s did not come back:\n%s", follower.Name(), follower.LogTail()))
		}
	}
	m, err := follower.Metrics(ctx)
	r.Away = &comeback{
		Away: away, Took: time.Since(began), Entries: now.CommitIndex - before.AppliedIndex,
		Copies: int(m.Sum("catalog_copies_total", `direction="received"`)),
	}
	return err
}

// cost is what a node took at most while it was watched, in bytes.
type cost struct {
	Memory    int64 `json:"memory"`           // resident
	Anonymous int64 `json:"memory_anonymous"` // resident, without mapped files
	Disk      int64 `json:"disk"`             // of the data folder
	Copies    int64 `json:"disk_of_copies"`   // of copies that were made or received there
}

// watching looks at nodes again and again until it is ended.
type watching struct {
	stop    chan struct{}
	running sync.WaitGroup
	of      []cost
}

func watch(nodes ...*lab.Node) *watching {
	w := &watching{stop: make(chan struct{}), of: make([]cost, len(nodes))}
	for k, n := range nodes {
		w.running.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				w.of[k].look(n)
				select {
				case <-tick.C:
				case <-w.stop:
					return
				}
			}
		})
	}
	return w
}

func (w *watching) end() (first, second cost) {
	close(w.stop)
	w.running.Wait()
	return w.of[0], w.of[1]
}

// look takes in how a node is now; one that does not run yet takes nothing.
func (c *cost) look(n *lab.Node) {
	if m, err := n.Memory(); err == nil {
		c.Memory, c.Anonymous = max(c.Memory, m.Resident), max(c.Anonymous, m.Anonymous)
	}
	all, copies := diskUse(n.Data())
	c.Disk, c.Copies = max(c.Disk, all), max(c.Copies, copies)
}

// diskUse adds up what the files in a data folder take on disk, and how much of it
// is copies. Files may come and go meanwhile.
func diskUse(dir string) (all, copies int64) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		took := info.Size()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			took = st.Blocks * 512
		}
		all += took
		if strings.Contains(path, "/transit/") || strings.Contains(path, "/tmp-received-") {
			copies += took
		}
		return nil
	})
	return all, copies
}

// catalogSize is what the node's catalog takes on disk, without its write-ahead log.
func catalogSize(n *lab.Node) (size int64, err error) {
	found, err := filepath.Glob(filepath.Join(n.Data(), "catalog", "db-*", "catalog.sqlite"))
	for _, path := range found {
		info, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		size += info.Size()
	}
	return size, err
}
