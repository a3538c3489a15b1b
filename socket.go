package blockstored

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// probeSocket is how long a socket that is already there may take to answer.
const probeSocket = 2 * time.Second

// validate checks the form of the keys; whether the owner exists is seen when
// the socket is made.
func (c SocketConfig) validate() error {
	if c.Path == "" {
		return nil
	}
	if !filepath.IsAbs(c.Path) {
		return invalid("socket.path", "%q is not an absolute path", c.Path)
	}
	if len(c.Path) > maxSocketPath {
		return invalid("socket.path", "%q is too long: systems take no socket beyond %d bytes, give a shorter path such as /run/blockstored/api.sock",
			c.Path, maxSocketPath)
	}
	if _, err := c.mode(); err != nil {
		return err
	}
	if _, group, both := strings.Cut(c.Owner, ":"); both && group == "" || strings.Contains(group, ":") || strings.ContainsAny(c.Owner, " \t") {
		return invalid("socket.owner", "%q is not an owner: write user, user:group or :group", c.Owner)
	}
	return nil
}

func (c SocketConfig) mode() (fs.FileMode, error) {
	n, err := strconv.ParseUint(c.Mode, 8, 32)
	if err != nil || n > 0o777 {
		return 0, invalid("socket.mode", "%q is not a file mode: write it in octal, like 0660", c.Mode)
	}
	return fs.FileMode(n), nil
}

// ids returns whom the socket shall belong to, -1 for no change.
func (c SocketConfig) ids() (uid, gid int, err error) {
	userName, groupName, _ := strings.Cut(c.Owner, ":")
	uid, err = idOf("user", userName, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
	if err != nil {
		return 0, 0, err
	}
	gid, err = idOf("group", groupName, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
	return uid, gid, err
}

// idOf returns the number of a user or group of this machine. Numbers stand for
// themselves; "" is -1.
func idOf(kind, name string, lookup func(string) (string, error)) (int, error) {
	if name == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	text, err := lookup(name)
	if err != nil {
		return 0, invalid("socket.owner", "there is no %s %q on this machine (%w)", kind, name, err)
	}
	id, err := strconv.Atoi(text)
	if err != nil {
		return 0, invalid("socket.owner", "%s %q has no number here but %q", kind, name, text)
	}
	return id, nil
}

// listenSocket binds the host's socket. The returned function removes the file,
// unless another process has put one of its own there meanwhile; it runs after
// the listener was closed.
//
// For a moment the socket has the mode that the umask gives it. That lets
// nobody in: the API asks for a token on a socket, too.
func listenSocket(ctx context.Context, c SocketConfig) (net.Listener, func(), error) {
	mode, err := c.mode()
	if err != nil {
		return nil, nil, err
	}
	uid, gid, err := c.ids()
	if err != nil {
		return nil, nil, err
	}
	if err := clearSocket(ctx, c.Path); err != nil {
		return nil, nil, err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", c.Path)
	if err != nil {
		return nil, nil, bundle.Errorf(bundle.KindUnavailable,
			"cannot listen on %s (socket.path); its folder must exist, and this user must be able to write to it: %w", c.Path, err)
	}
	if unix, ok := ln.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // it would remove whatever has that name by then
	}
	mine, err := os.Lstat(c.Path)
	if err == nil {
		err = own(c, mode, uid, gid)
	}
	if err != nil {
		return nil, nil, errors.Join(err, ln.Close(), os.Remove(c.Path))
	}
	return ln, func() {
		if found, err := os.Lstat(c.Path); err == nil && os.SameFile(found, mine) {
			_ = os.Remove(c.Path) // what stays behind is removed by the next start
		}
	}, nil
}

// own gives the socket its owner and mode.
func own(c SocketConfig, mode fs.FileMode, uid, gid int) error {
	if uid >= 0 || gid >= 0 {
		if err := os.Lchown(c.Path, uid, gid); err != nil {
			return invalid("socket.owner", "cannot give the socket to %q: only root can give it to another user, and others only to a group they are in (%w)",
				c.Owner, err)
		}
	}
	if err := os.Chmod(c.Path, mode); err != nil {
		return fmt.Errorf("socket %s: %w", c.Path, err)
	}
	return nil
}

// clearSocket removes the socket that a crash left behind. Anything else that
// has its name stays and is refused.
func clearSocket(ctx context.Context, path string) error {
	found, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return bundle.Errorf(bundle.KindUnavailable, "cannot look for %s (socket.path): %w", path, err)
	case found.Mode().Type() != fs.ModeSocket:
		return invalid("socket.path", "%s is there already and is no socket: move it away or give another path", path)
	}
	ctx, cancel := context.WithTimeout(ctx, probeSocket)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return bundle.Errorf(bundle.KindConflict,
			"another process answers on %s (socket.path): stop that one, or give this one another path", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return bundle.Errorf(bundle.KindUnavailable,
			"cannot tell whether another process uses %s (socket.path): remove it if none does: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return bundle.Errorf(bundle.KindUnavailable, "cannot remove the abandoned socket %s (socket.path): %w", path, err)
	}
	return nil
}
