package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// network is the networks of a lab: the wire between nodes, and a link from the
// host to each node for clients and the bucket.
type network struct {
	number int          // the lab's, of those on this machine
	claim  net.Listener // holds the number
	wire   *wire
}

// openNetwork claims a number that no other lab on this machine has. The claim is
// an abstract socket, which ends with the process.
func openNetwork(ctx context.Context) (*network, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("namespaces need root")
	}
	var lc net.ListenConfig
	var last error
	for number := range 256 {
		claim, err := lc.Listen(ctx, "unix", fmt.Sprintf("@blockstored-lab-%d", number))
		if err == nil {
			return &network{number: number, claim: claim, wire: newWire()}, nil
		}
		last = err
	}
	return nil, fmt.Errorf("256 labs run already: %w", last)
}

// host is the host's address on its links to all nodes. 198.18.0.0/15 is set
// aside for measuring networks (RFC 2544), so it is nobody else's.
func (w *network) host() string { return fmt.Sprintf("198.18.%d.1", w.number) }

// client and node are a node's addresses for clients and for other nodes.
func (w *network) client(node byte) string { return fmt.Sprintf("198.18.%d.%d", w.number, node+1) }
func (w *network) node(node byte) string   { return fmt.Sprintf("10.0.0.%d", node) }

// link is the name of the host's end of its link to a node.
func (w *network) link(node byte) string { return fmt.Sprintf("bslab%dn%d", w.number, node) }

// attach makes a node's namespace with its two links.
func (w *network) attach(ctx context.Context, node byte) (_ *namespace, err error) {
	s, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	// The link of a lab that was killed may be going only now.
	link := w.link(node)
	_ = run(ctx, "ip", "link", "del", link)
	if err := run(ctx, "ip", "link", "add", link, "type", "veth", "peer", "name", "clients", "netns", s.path()); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"addr", "add", w.host(), "peer", w.client(node), "dev", link},
		{"link", "set", link, "up"},
	} {
		if err := run(ctx, "ip", args...); err != nil {
			return nil, err
		}
	}
	return s, s.do(func() error {
		port, err := openTun("nodes")
		if err != nil {
			return fmt.Errorf("/dev/net/tun: %w", err)
		}
		w.wire.plug(node, port)
		// What a killed process had not sent is given up soon: a connection holds the
		// namespace as long as it tries.
		if err := os.WriteFile("/proc/sys/net/ipv4/tcp_orphan_retries", []byte("1"), 0); err != nil {
			return err
		}
		for _, args := range [][]string{
			{"link", "set", "lo", "up"},
			{"addr", "add", w.client(node), "peer", w.host(), "dev", "clients"},
			{"link", "set", "clients", "up"},
			{"addr", "add", w.node(node) + "/24", "dev", "nodes"},
			{"link", "set", "nodes", "mtu", "16000", "up"},
		} {
			if err := run(ctx, "ip", args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// detach takes the host's link to a node away. With the namespace it would go, too,
// but some time later.
func (w *network) detach(node byte) error {
	return run(context.Background(), "ip", "link", "del", w.link(node))
}

func (w *network) close() error {
	w.wire.close()
	return w.claim.Close()
}

// namespace is a network namespace without a name: it lives as long as this
// process keeps it open or a process runs in it, and its links end with it.
type namespace struct{ file *os.File }

// own is the calling thread's network namespace.
const own = "/proc/thread-self/ns/net"

func newNamespace() (*namespace, error) {
	var s *namespace
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		f, err := os.Open(own)
		s = &namespace{f}
		return err
	})
	return s, err
}

// path names the namespace for other programs while this process runs.
func (s *namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.file.Fd()) }

// do runs fn on a thread in the namespace: what it opens and starts belongs
// there. Without a namespace it just runs fn.
func (s *namespace) do(fn func() error) error {
	if s == nil {
		return fn()
	}
	return onThread(func() error {
		if err := unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return fn()
	})
}

func (s *namespace) close() error { return s.file.Close() }

// onThread runs fn on a thread of its own and brings the thread's network back
// afterwards. The thread goes on: processes that fn starts end with it, as they are
// to end with us.
func onThread(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		before, err := os.Open(own)
		if err != nil {
			done <- err
			return
		}
		err = fn()
		if back := unix.Setns(int(before.Fd()), unix.CLONE_NEWNET); back != nil {
			err = errors.Join(err, back) // and the thread ends with the goroutine
		} else {
			runtime.UnlockOSThread()
		}
		done <- errors.Join(err, before.Close())
	}()
	return <-done
}

// openTun makes a network device whose packets are read and written as a file.
func openTun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// run executes a program of the system.
func run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = withUs()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// withUs lets a child process end when this one does, however that ends.
func withUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
