//go:build !linux

package lab

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// Elsewhere nodes share the network and the disks of the machine.
var errNotLinux = errors.New("namespaces and disks of nodes need Linux")

type network struct{ wire *wire }

func openNetwork(context.Context) (*network, error) { return nil, errNotLinux }

func (w *network) host() string                                     { return "" }
func (w *network) client(byte) string                               { return "" }
func (w *network) node(byte) string                                 { return "" }
func (w *network) attach(context.Context, byte) (*namespace, error) { return nil, errNotLinux }
func (w *network) detach(byte) error                                { return nil }
func (w *network) close() error                                     { return nil }

type namespace struct{}

func (s *namespace) do(fn func() error) error { return fn() }
func (s *namespace) close() error             { return nil }

type disk struct{}

func openDisk(context.Context, string, string, int64) (*disk, error) { return nil, errNotLinux }

func (d *disk) freeze() error           { return errNotLinux }
func (d *disk) thaw() error             { return nil }
func (d *disk) slow(_, _ time.Duration) {}
func (d *disk) fill() error             { return errNotLinux }
func (d *disk) free() error             { return nil }

type guard struct{}

func startGuard(string) (*guard, error) { return nil, errNotLinux }

func (g *guard) close() error { return nil }

func withUs() *syscall.SysProcAttr { return nil }
