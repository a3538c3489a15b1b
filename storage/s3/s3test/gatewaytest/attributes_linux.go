package gatewaytest

import "golang.org/x/sys/unix"

// hasAttributes reports whether the file system keeps user attributes, where
// the gateway stores ETags and checksums.
func hasAttributes(dir string) bool {
	return unix.Setxattr(dir, "user.gatewaytest", []byte("1"), 0) == nil
}
