package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/blockstored/blockstored/bench/site"
)

// Ports of a node with a network of its own.
const (
	clientPort  = "18250"
	peerPort    = "18251"
	clusterPort = "18252"
)

// Node is one node: a data folder, fixed addresses and a process that may run or
// not. Starting and ending it is for one goroutine at a time; all that asks may be
// called from any.
type Node struct {
	lab                   *Lab
	number                byte // from 1
	name, data            string
	listen, cluster, peer string
	space                 *namespace // nil: the machine's
	disk                  *disk      // nil: the machine's
	log                   *os.File

	mu       sync.Mutex
	program  site.Program
	settings []string
	cmd      *exec.Cmd
	exited   chan struct{}
}

func newNode(ctx context.Context, l *Lab, name string) (_ *Node, err error) {
	number := byte(len(l.nodes) + 1)
	dir := filepath.Join(l.options.Dir, fmt.Sprintf("node%d", number))
	n := &Node{lab: l, number: number, name: name, data: filepath.Join(dir, "data"), program: l.options.Program}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if n.log, err = os.OpenFile(dir+".log", os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if l.options.Disk > 0 {
		n.disk, err = openDisk(ctx, dir+".img", dir, l.options.Disk)
	} else {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, err
	}
	return n, n.place(ctx)
}

// place gives the node its addresses.
func (n *Node) place(ctx context.Context) (err error) {
	if w := n.lab.network; w != nil {
		n.listen = net.JoinHostPort(w.client(n.number), clientPort)
		n.peer = net.JoinHostPort("127.0.0.1", peerPort)
		n.cluster = net.JoinHostPort(w.node(n.number), clusterPort)
		n.space, err = w.attach(ctx, n.number)
		return err
	}
	for _, at := range []*string{&n.listen, &n.peer, &n.cluster} {
		if *at, err = site.FreeAddress(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Name returns the node's name in the instance.
func (n *Node) Name() string { return n.name }

// Data returns the data folder.
func (n *Node) Data() string { return n.data }

// URL returns the base of the host's API, for clients on this machine.
func (n *Node) URL() string { return "http://" + n.listen }

// Use makes the node run another program from its next start on.
func (n *Node) Use(p site.Program) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.program = p
}

// Set adds settings, KEY=VALUE of the environment, from the next start on.
func (n *Node) Set(settings ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settings = append(n.settings, settings...)
}

// environment is what serve and commands of this node get: ours without what
// names another instance, its places, and its settings.
func (n *Node) environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "BLOCKSTORED_") && !strings.HasPrefix(v, "AWS_") {
			env = append(env, v)
		}
	}
	s := n.lab.bucket.store
	env = append(env,
		"BLOCKSTORED_DATA="+n.data, "BLOCKSTORED_LISTEN="+n.listen, "BLOCKSTORED_PEER_LISTEN="+n.peer,
		"BLOCKSTORED_CLUSTER_LISTEN="+n.cluster, "BLOCKSTORED_CLUSTER_NODE="+n.name,
		"BLOCKSTORED_STORAGE_DRIVER=s3", "BLOCKSTORED_STORAGE_S3_ENDPOINT="+s.Endpoint,
		"BLOCKSTORED_STORAGE_S3_BUCKET="+s.Bucket, "BLOCKSTORED_STORAGE_S3_REGION=us-east-1",
		"BLOCKSTORED_STORAGE_S3_ACCESS_KEY_ID="+s.AccessKeyID, "BLOCKSTORED_STORAGE_S3_SECRET_ACCESS_KEY="+s.SecretAccessKey)
	n.mu.Lock()
	defer n.mu.Unlock()
	return append(append(env, n.lab.options.Settings...), n.settings...)
}

// Start runs the node, with a join token if it is new and not the first, until it
// is ready.
func (n *Node) Start(ctx context.Context, token string) error {
	if err := n.Launch(token); err != nil {
		return err
	}
	return n.AwaitReady(ctx)
}

// Launch runs the node and does not wait for it.
func (n *Node) Launch(token string) error {
	if n.Running() {
		return fmt.Errorf("node %s runs already", n.name)
	}
	args := []string{"serve"}
	if token != "" {
		args = append(args, "--join", token)
	}
	env := n.environment()
	n.mu.Lock()
	defer n.mu.Unlock()
	cmd := exec.Command(string(n.program), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = env, n.log, n.log, withUs()
	if err := n.space.do(cmd.Start); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in the log; who killed it knows
		close(exited)
	}()
	n.cmd, n.exited = cmd, exited
	return nil
}

// AwaitReady waits until the node says that it is ready, for a minute at most. It
// fails if the process ends.
func (n *Node) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	exited := n.Exited()
	for !n.Ready(ctx) {
		select {
		case <-time.After(tick):
		case <-exited:
			return fmt.Errorf("node %s ended while starting:\n%s", n.name, n.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("node %s is not ready: %w\n%s", n.name, ctx.Err(), n.LogTail())
		}
	}
	return nil
}

// readyWithin bounds one question whether a node is ready.
const readyWithin = 2 * time.Second

// Ready reports whether the node says that it is ready to get requests.
func (n *Node) Ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL()+"/readyz", nil)
	if err != nil {
		return false
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// process returns the process that was started last and what tells its end.
func (n *Node) process() (*os.Process, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return nil, nil
	}
	return n.cmd.Process, n.exited
}

// Running reports whether the node's process is there, paused or not.
func (n *Node) Running() bool {
	p, exited := n.process()
	if p == nil {
		return false
	}
	select {
	case <-exited:
		return false
	default:
		return true
	}
}

// Exited is closed when the process that was started last has ended; nil before
// the first.
func (n *Node) Exited() <-chan struct{} {
	_, exited := n.process()
	return exited
}

// signal does nothing to a process that has ended.
func (n *Node) signal(s syscall.Signal) {
	if p, _ := n.process(); p != nil {
		_ = p.Signal(s)
	}
}

// Pause stops the process where it is (SIGSTOP), until Resume.
func (n *Node) Pause() { n.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (n *Node) Resume() { n.signal(syscall.SIGCONT) }

// Kill ends the process without a chance to do anything (SIGKILL) and returns when
// it is gone. A frozen disk is thawed, as no process ends before.
func (n *Node) Kill() {
	n.signal(syscall.SIGKILL)
	if n.disk != nil {
		_ = n.disk.thaw() // it also fails where no disk is mounted any more
	}
	if _, exited := n.process(); exited != nil {
		<-exited
	}
}

// Abort ends a process that hangs, and has it say first what each of its goroutines
// does (SIGQUIT); [Node.Log] has it then.
func (n *Node) Abort() {
	_, exited := n.process()
	if exited == nil {
		return
	}
	n.signal(syscall.SIGQUIT)
	select {
	case <-exited:
	case <-time.After(abortWithin):
		n.Kill()
	}
}

// abortWithin bounds how long an aborted process may take to say what it does.
const abortWithin = 10 * time.Second

// Stop asks the process to end (SIGTERM), as an operator does, and kills it if it
// is still there after a minute, which is an error.
func (n *Node) Stop(ctx context.Context) error {
	_, exited := n.process()
	if exited == nil {
		return nil
	}
	n.signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-exited:
		return nil
	case <-ctx.Done():
		n.Kill()
		return fmt.Errorf("node %s did not end after SIGTERM: %w\n%s", n.name, ctx.Err(), n.LogTail())
	}
}

// Command runs a command as the node's operator and returns what it printed, which
// a failed one may have done, too. The node need not run.
func (n *Node) Command(ctx context.Context, args ...string) ([]byte, error) {
	env := n.environment()
	n.mu.Lock()
	program := n.program
	n.mu.Unlock()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, string(program), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = env, &stdout, &stderr, withUs()
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("blockstored %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// logTail is how much of a log errors show.
const logTail = 4 << 10

// LogTail returns the end of what the node's processes said.
func (n *Node) LogTail() string {
	text := n.Log()
	return text[max(0, len(text)-logTail):]
}

// Log returns all that the node's processes said so far.
func (n *Node) Log() string {
	content, err := os.ReadFile(n.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// close ends the process and what the node has of its own but its disk.
func (n *Node) close() error {
	n.Kill()
	var errs []error
	if n.space != nil {
		errs = append(errs, n.lab.network.detach(n.number), n.space.close())
	}
	if n.log != nil {
		errs = append(errs, n.log.Close())
	}
	return errors.Join(errs...)
}
