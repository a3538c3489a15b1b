package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/blockstored/blockstored/bench/site"
)

// patience bounds each wait for the program.
const patience = 60 * time.Second

// instance is the nodes of one instance, each a process.
type instance struct {
	program site.Program
	dir     string
	store   site.Store
	nodes   []*node
}

// node is one of them.
type node struct {
	of                    *instance
	number                int
	name, data            string
	listen, cluster, peer string
	log                   *os.File
	cmd                   *exec.Cmd
	exited                chan struct{}
}

// environment names the bucket and nothing else of ours.
func (i *instance) environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "BLOCKSTORED_") && !strings.HasPrefix(v, "AWS_") {
			env = append(env, v)
		}
	}
	return append(env, "BLOCKSTORED_STORAGE_DRIVER=s3",
		"BLOCKSTORED_STORAGE_S3_ENDPOINT="+i.store.Endpoint, "BLOCKSTORED_STORAGE_S3_BUCKET="+i.store.Bucket,
		"BLOCKSTORED_STORAGE_S3_REGION=us-east-1",
		"BLOCKSTORED_STORAGE_S3_ACCESS_KEY_ID="+i.store.AccessKeyID, "BLOCKSTORED_STORAGE_S3_SECRET_ACCESS_KEY="+i.store.SecretAccessKey)
}

// build starts the first node, and the others with tokens of it.
func (i *instance) build(ctx context.Context, n int) error {
	for k := range n {
		token := ""
		if k > 0 {
			out, err := i.nodes[0].command(ctx, "cluster", "invite")
			if err != nil {
				return err
			}
			token = strings.TrimSpace(string(out))
		}
		one, err := i.newNode(ctx, fmt.Sprintf("n%d", k+1))
		if err != nil {
			return err
		}
		i.nodes = append(i.nodes, one)
		if err := one.start(ctx, token); err != nil {
			return err
		}
	}
	return i.await(ctx, n)
}

// newNode chooses a node's addresses and does not start it.
func (i *instance) newNode(ctx context.Context, name string) (*node, error) {
	n := &node{of: i, number: len(i.nodes), name: name, data: filepath.Join(i.dir, name)}
	for _, at := range []*string{&n.listen, &n.cluster, &n.peer} {
		var err error
		if *at, err = site.FreeAddress(ctx); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(n.data, 0o700); err != nil {
		return nil, err
	}
	var err error
	n.log, err = os.OpenFile(n.data+".log", os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	return n, err
}

// start runs the node, with a join token if it is new, until it is ready.
func (n *node) start(ctx context.Context, token string) error {
	args := []string{"serve", "--data", n.data, "--listen", n.listen, "--peer-listen", n.peer, "--cluster-listen", n.cluster, "--node", n.name}
	if token != "" {
		args = append(args, "--join", token)
	}
	cmd := exec.Command(string(n.of.program), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = n.of.environment(), n.log, n.log
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in the log; who killed it knows
		close(exited)
	}()
	n.cmd, n.exited = cmd, exited
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !n.ready(ctx) {
		select {
		case <-tick.C:
		case <-exited:
			return fmt.Errorf("node %s ended while starting:\n%s", n.name, n.tail())
		case <-ctx.Done():
			return fmt.Errorf("node %s is not ready: %w\n%s", n.name, ctx.Err(), n.tail())
		}
	}
	return nil
}

func (n *node) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url()+"/readyz", nil)
	if err != nil {
		return false
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

func (n *node) url() string { return "http://" + n.listen }

func (n *node) tail() string {
	content, err := os.ReadFile(n.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-4<<10):])
}

// command runs a command as the node's operator and returns its output.
func (n *node) command(ctx context.Context, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, string(n.of.program), append(args, "--data", n.data)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = n.of.environment(), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("blockstored %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

func (n *node) signal(s syscall.Signal) { _ = n.cmd.Process.Signal(s) } // an error means that it has ended

// kill ends the process without a chance to do anything.
func (n *node) kill() {
	n.signal(syscall.SIGKILL)
	<-n.exited
}

// status is what cluster status says.
type status struct {
	Leader string `json:"leader"`
	Nodes  []struct {
		Name    string `json:"name"`
		Voter   bool   `json:"voter"`
		Leader  bool   `json:"leader"`
		Answers bool   `json:"answers"`
		Lag     uint64 `json:"lag"`
	} `json:"nodes"`
}

// status asks a node; that the command warns by its exit status is no error.
func (n *node) status(ctx context.Context) (s status, err error) {
	out, err := n.command(ctx, "cluster", "status", "--format", "json")
	if json.Unmarshal(out, &s) == nil && len(s.Nodes) > 0 {
		return s, nil
	}
	return s, errors.Join(err, errors.New("cluster status shows no nodes"))
}

// await waits until all of want nodes vote, answer and have what is committed, as
// each of them sees it.
func (i *instance) await(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, n := range i.nodes {
		for {
			s, err := n.status(ctx)
			fine := err == nil && s.Leader != "" && len(s.Nodes) == want
			for _, one := range s.Nodes {
				fine = fine && one.Voter && one.Answers && one.Lag == 0
			}
			if fine {
				break
			}
			if site.Pause(ctx, 20*time.Millisecond); ctx.Err() != nil {
				return fmt.Errorf("%s sees no %d healthy nodes: %+v, %w\n%s", n.name, want, s, errors.Join(err, ctx.Err()), n.tail())
			}
		}
	}
	return nil
}

// pick returns the node that leads, or one that does not.
func (i *instance) pick(ctx context.Context, leader bool) (*node, error) {
	s, err := i.nodes[0].status(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range s.Nodes {
		for _, n := range i.nodes {
			if n.name == one.Name && one.Leader == leader {
				return n, nil
			}
		}
	}
	return nil, fmt.Errorf("no such node in %+v", s)
}

// close ends every process.
func (i *instance) close() {
	for _, n := range i.nodes {
		if n.cmd != nil {
			n.kill()
		}
		_ = n.log.Close()
	}
}
