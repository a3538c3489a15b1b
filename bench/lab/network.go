package lab

import (
	"errors"
	"time"
)

// errNoNetwork refuses to change links that are not there.
var errNoNetwork = errors.New("the nodes of this lab share the network of the machine: open it with namespaces, as root")

// Isolate cuts a node off from all other nodes, in both directions. Clients and
// the bucket still reach it.
func (l *Lab) Isolate(n *Node) error { return errors.Join(l.Mute(n), l.Deafen(n)) }

// Mute loses what a node sends to the other nodes; it still hears them.
func (l *Lab) Mute(n *Node) error {
	return l.each(n, func(other *Node) error { return l.Cut(n, other) })
}

// Deafen loses what the other nodes send to a node; they still hear it.
func (l *Lab) Deafen(n *Node) error {
	return l.each(n, func(other *Node) error { return l.Cut(other, n) })
}

// Partition cuts the links between two nodes, in both directions.
func (l *Lab) Partition(a, b *Node) error { return errors.Join(l.Cut(a, b), l.Cut(b, a)) }

// Cut loses what one node sends to another. Packets vanish: neither side is told.
func (l *Lab) Cut(from, to *Node) error {
	if l.network == nil {
		return errNoNetwork
	}
	l.network.wire.cut(from.number, to.number)
	return nil
}

// Slow delays each packet between a node and the others, in each direction by
// delay and up to jitter more, and loses a share of them between 0 and 1. Zeros
// end it.
func (l *Lab) Slow(n *Node, delay, jitter time.Duration, loss float64) error {
	if l.network == nil {
		return errNoNetwork
	}
	l.network.wire.slow(n.number, slowness{delay, jitter, loss})
	return nil
}

// Heal mends every link.
func (l *Lab) Heal() {
	if l.network != nil {
		l.network.wire.heal()
	}
}

func (l *Lab) each(n *Node, do func(other *Node) error) error {
	var errs []error
	for _, other := range l.nodes {
		if other != n {
			errs = append(errs, do(other))
		}
	}
	return errors.Join(errs...)
}
