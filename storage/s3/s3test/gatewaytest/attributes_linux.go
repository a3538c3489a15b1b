package gatewaytest

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// hasAttributes reports whether the file system keeps user attributes, where
// the gateway stores ETags and checksums.
func hasAttributes(dir string) bool {
	return unix.Setxattr(dir, "user.gatewaytest", []byte("1"), 0) == nil
}

// withUs lets the gateway end when this process does, however that ends.
func withUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
