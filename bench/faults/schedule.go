package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// The kinds of faults.
const (
	kill      = "kill"      // kill -9 and a start
	restart   = "restart"   // SIGTERM and a start
	pause     = "pause"     // SIGSTOP and SIGCONT
	partition = "partition" // two nodes do not reach each other
	oneWay    = "oneway"    // what one node sends, or what is sent to it, is lost
	isolate   = "isolate"   // a node and the others do not reach each other
	slow      = "slow"      // a node's links delay and lose packets
	crawl     = "crawl"     // a disk that hangs again and again, for moments
	freeze    = "freeze"    // a disk that hangs
	full      = "full"      // a disk without a free byte
	bucket    = "s3"        // the bucket fails or is slow
	transfer  = "transfer"  // leadership is handed over
)

var faultKinds = []string{kill, restart, pause, partition, oneWay, isolate, slow, crawl, freeze, full, bucket, transfer}

// parseKinds reads a list of kinds; "" is all of them.
func parseKinds(list string) ([]string, error) {
	if list == "" {
		return faultKinds, nil
	}
	some := strings.Split(list, ",")
	for _, kind := range some {
		if !slices.Contains(faultKinds, kind) {
			return nil, fmt.Errorf("%q is no kind of fault: give some of %s", kind, strings.Join(faultKinds, ","))
		}
	}
	return some, nil
}

// fault is one thing that goes wrong, for a while.
type fault struct {
	Kind   string        `json:"kind"`
	After  time.Duration `json:"after_ns"` // the end of the one before
	For    time.Duration `json:"for_ns"`
	Leader bool          `json:"leader"` // it strikes the leader, else the node
	Node   int           `json:"node"`
	Other  int           `json:"other"` // for those between two nodes
	Part   float64       `json:"part"`  // how bad it is, between 0 and 1
	And    string        `json:"and"`   // what is slow meanwhile: slow, crawl, s3 or nothing
}

const nodes = 3

// plan derives the faults of a history from its seed: as many as fit into its
// time. Each kind comes once before one comes again.
func plan(rng *rand.Rand, kinds []string, length time.Duration) []fault {
	var faults []fault
	var deck []string
	for left := length; ; {
		if len(deck) == 0 {
			deck = slices.Clone(kinds)
			rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		f := fault{
			Kind:   deck[0],
			After:  between(rng, 200*time.Millisecond, time.Second),
			For:    lasting(rng, deck[0]),
			Leader: rng.IntN(5) < 3 || deck[0] == isolate,
			Node:   rng.IntN(nodes),
			Part:   rng.Float64(),
		}
		if meanwhile := []string{slow, crawl, bucket}[rng.IntN(3)]; rng.IntN(4) == 0 && meanwhile != f.Kind && slices.Contains(kinds, meanwhile) {
			f.And = meanwhile
		}
		f.Other = (f.Node + 1 + rng.IntN(nodes-1)) % nodes
		if left -= f.After + f.For; left < 0 && len(faults) > 0 {
			return faults
		}
		faults, deck = append(faults, f), deck[1:]
	}
}

// lasting chooses how long a fault lasts: around what an election takes, some
// shorter, some longer.
func lasting(rng *rand.Rand, kind string) time.Duration {
	switch kind {
	case transfer:
		return 0
	case kill, restart:
		return between(rng, 0, 1500*time.Millisecond)
	case pause: // somebody else must lead, and be written to, before it goes on
		return between(rng, 300*time.Millisecond, 5*time.Second)
	default:
		return between(rng, 300*time.Millisecond, 3500*time.Millisecond)
	}
}

func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)))
}
