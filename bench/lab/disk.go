package lab

import (
	"errors"
	"time"
)

// errNoDisk refuses to change disks that are not there.
var errNoDisk = errors.New("the nodes of this lab have no disks of their own: open it with Disk, as root")

// FreezeDisk lets every write to a node's disk hang. A process that waits for one
// ends, by SIGKILL too, only when the disk is thawed.
func (l *Lab) FreezeDisk(n *Node) error { return n.onDisk((*disk).freeze) }

// ThawDisk ends what FreezeDisk and SlowDisk began.
func (l *Lab) ThawDisk(n *Node) error { return n.onDisk((*disk).thaw) }

// SlowDisk freezes a node's disk for a part of each period, until ThawDisk.
func (l *Lab) SlowDisk(n *Node, frozen, period time.Duration) error {
	return n.onDisk(func(d *disk) error {
		if err := d.thaw(); err != nil {
			return err
		}
		d.slow(frozen, period)
		return nil
	})
}

// FillDisk takes every free byte of a node's disk.
func (l *Lab) FillDisk(n *Node) error { return n.onDisk((*disk).fill) }

// FreeDisk gives back what FillDisk took.
func (l *Lab) FreeDisk(n *Node) error { return n.onDisk((*disk).free) }

func (n *Node) onDisk(do func(*disk) error) error {
	if n.disk == nil {
		return errNoDisk
	}
	return do(n.disk)
}
