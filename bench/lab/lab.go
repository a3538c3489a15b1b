package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bench/site"
)

// Options say what a lab consists of.
type Options struct {
	// Program is the built program that nodes run until [Node.Use] names another.
	Program site.Program
	// Dir gets data folders, disks, logs and the bucket; it must be empty or missing.
	Dir string
	// Nodes is how many nodes Open starts.
	Nodes int
	// Namespaces gives each node a network of its own. It needs root and Linux.
	// Without, the nodes listen on loopback and no link can be cut.
	Namespaces bool
	// Disk is the size in bytes of each node's own file system, at least 32 MiB.
	// It needs root and Linux. 0: data folders lie in Dir and no disk can be
	// frozen or filled.
	Disk int64
	// Settings are further settings of every node, as KEY=VALUE of its environment,
	// such as BLOCKSTORED_CLUSTER_MAX_STALENESS=10s.
	Settings []string
}

// Lab is one instance: its nodes, what joins them, and its bucket.
//
// Methods that take nodes out, stop them or add them are for one goroutine. Those
// that ask, and those of [Bucket], may be called from any.
type Lab struct {
	options Options
	nodes   []*Node
	bucket  *Bucket
	network *network // nil without namespaces
	guard   *guard   // nil without disks
}

// patience bounds each wait for the program.
const patience = 60 * time.Second

// tick is the pause between two questions.
const tick = 20 * time.Millisecond

// Open starts an instance of o.Nodes nodes, the first alone and the others with
// tokens of it, and returns when all of them vote and have what is committed. The
// caller ends it with [Lab.Close].
func Open(ctx context.Context, o Options) (_ *Lab, err error) {
	l := &Lab{options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	if o.Namespaces {
		if l.network, err = openNetwork(ctx); err != nil {
			return nil, err
		}
	}
	if o.Disk > 0 {
		if l.guard, err = startGuard(o.Dir); err != nil {
			return nil, err
		}
	}
	for range o.Nodes {
		if _, err := l.AddNode(ctx); err != nil {
			return nil, err
		}
	}
	return l, l.Await(ctx, o.Nodes)
}

// AddNode makes one more node, lets it join, and returns when it is ready; see
// [Lab.Await] for when it votes.
func (l *Lab) AddNode(ctx context.Context) (*Node, error) {
	token := ""
	if len(l.nodes) > 0 {
		var err error
		if token, err = l.Invite(ctx); err != nil {
			return nil, err
		}
	}
	n, err := l.NewNode(ctx, fmt.Sprintf("n%d", len(l.nodes)+1))
	if err != nil {
		return nil, err
	}
	return n, n.Start(ctx, token)
}

// NewNode makes a node that does not run yet. Its name may be that of one that is
// gone.
func (l *Lab) NewNode(ctx context.Context, name string) (*Node, error) {
	n, err := newNode(ctx, l, name)
	if err != nil {
		return nil, err
	}
	l.nodes = append(l.nodes, n)
	if l.bucket == nil { // the address at which nodes reach it came with the first
		host := "127.0.0.1"
		if l.network != nil {
			host = l.network.host()
		}
		l.bucket, err = openBucket(ctx, filepath.Join(l.options.Dir, "bucket"), host)
	}
	return n, err
}

// Invite makes a join token on the first running node that answers.
func (l *Lab) Invite(ctx context.Context) (string, error) {
	errs := []error{errors.New("no node made an invitation")}
	for _, n := range l.nodes {
		if !n.Running() {
			continue
		}
		out, err := n.Command(ctx, "cluster", "invite")
		if err == nil {
			return strings.TrimSpace(string(out)), nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// Nodes returns all nodes in the order in which they were made, also those that
// do not run.
func (l *Lab) Nodes() []*Node { return l.nodes }

// Node returns the node that was made last under a name, nil if there is none.
func (l *Lab) Node(name string) *Node {
	for k := len(l.nodes) - 1; k >= 0; k-- {
		if l.nodes[k].name == name {
			return l.nodes[k]
		}
	}
	return nil
}

// Bucket returns the bucket.
func (l *Lab) Bucket() *Bucket { return l.bucket }

// Close ends every process and takes apart what the lab made but its files.
func (l *Lab) Close() error {
	var errs []error
	for _, n := range l.nodes {
		errs = append(errs, n.close())
	}
	if l.guard != nil {
		errs = append(errs, l.guard.close())
	}
	if l.bucket != nil {
		errs = append(errs, l.bucket.close())
	}
	if l.network != nil {
		errs = append(errs, l.network.close())
	}
	return errors.Join(errs...)
}
