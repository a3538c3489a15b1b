//go:build !linux

package gatewaytest

import "syscall"

// hasAttributes is not asked elsewhere: the gateway then keeps its attributes
// in a folder.
func hasAttributes(string) bool { return false }

// withUs does nothing elsewhere: a gateway outlives a process that is killed.
func withUs() *syscall.SysProcAttr { return nil }
