package publog

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/blockstored/blockstored/bundle"
	"golang.org/x/mod/sumdb/tlog"
)

// ProveConsistency returns the RFC 6962 §2.1.2 proof that the tree of the
// first to leaves begins with the tree of the first from. It is empty if the
// sizes are equal or from is 0. r is asked once, for O(log to) hashes.
func ProveConsistency(from, to int64, r tlog.HashReader) ([]tlog.Hash, error) {
	if err := checkSize(to); err != nil {
		return nil, err
	}
	if from < 0 || from > to {
		return nil, bundle.Errorf(bundle.KindInvalid, "no proof leads from %d records to %d", from, to)
	}
	if from == 0 || from == to {
		return nil, nil
	}
	proof, err := tlog.ProveTree(to, from, r)
	if err != nil {
		return nil, fmt.Errorf("prove that %d records extend %d: %w", to, from, err)
	}
	return proof, nil
}

// consistent reports whether proof shows that the tree (to, toRoot) begins
// with the tree (from, fromRoot), from <= to. Where none is needed, proof is
// not looked at.
func consistent(from int64, fromRoot tlog.Hash, to int64, toRoot tlog.Hash, proof []tlog.Hash) bool {
	switch from {
	case to:
		return fromRoot == toRoot
	case 0:
		return true
	}
	return tlog.CheckTree(proof, to, toRoot, from, fromRoot) == nil
}

// Leaf is a leaf's place and hash.
type Leaf struct {
	Index int64
	Hash  tlog.Hash
}

// ProveLeaves returns the hashes that, together with the leaves at indexes
// (strictly ascending), make up the root of the tree of n leaves: the hash of
// each largest subtree without any of those leaves, from left to right. There
// are at most len(indexes)·log2(n), and O(log n) for a contiguous range; none
// if indexes is empty. r is asked at most once, with ascending indexes.
func ProveLeaves(n int64, indexes []int64, r tlog.HashReader) ([]tlog.Hash, error) {
	if err := checkSize(n); err != nil {
		return nil, err
	}
	for i, index := range indexes {
		if index < 0 || index >= n || i > 0 && index <= indexes[i-1] {
			return nil, bundle.Errorf(bundle.KindInvalid,
				"the leaves to prove must be in strictly ascending order and below %d; number %d is %d", n, i, index)
		}
	}
	if len(indexes) == 0 {
		return nil, nil
	}
	var p provePlan
	p.walk(0, n, indexes)
	stored, err := readAll(p.stored, r.ReadHashes)
	if err != nil {
		return nil, fmt.Errorf("prove %d of %d records: %w", len(indexes), n, err)
	}
	proof := make([]tlog.Hash, len(p.parts))
	for i, parts := range p.parts {
		proof[i] = fold(stored[:parts])
		stored = stored[parts:]
	}
	return proof, nil
}

// provePlan collects what a proof is made of: for each of its hashes, how many
// of the stored ones it is folded from. Only a subtree at the tree's right
// edge needs more than one.
type provePlan struct {
	stored []int64
	parts  []int
}

func (p *provePlan) walk(lo, hi int64, indexes []int64) {
	switch {
	case len(indexes) == 0:
		before := len(p.stored)
		p.subtree(lo, hi)
		p.parts = append(p.parts, len(p.stored)-before)
		return
	case int64(len(indexes)) == hi-lo: // the verifier holds every leaf of it
		return
	}
	mid := lo + splitPoint(hi-lo)
	at, _ := slices.BinarySearch(indexes, mid)
	p.walk(lo, mid, indexes[:at])
	p.walk(mid, hi, indexes[at:])
}

// subtree adds the stored hashes that cover the leaves [lo, hi), largest
// first; lo is a multiple of the largest power of two within.
func (p *provePlan) subtree(lo, hi int64) {
	for lo < hi {
		level := bits.Len64(uint64(hi-lo)) - 1
		p.stored = append(p.stored, tlog.StoredHashIndex(level, lo>>level))
		lo += 1 << level
	}
}

// fold joins the complete subtrees of an incomplete one, from the right.
func fold(hashes []tlog.Hash) tlog.Hash {
	last := len(hashes) - 1
	h := hashes[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(hashes[i], h)
	}
	return h
}

// splitPoint returns the largest power of two below n, for n >= 2: the size of
// the left subtree (RFC 6962 §2.1).
func splitPoint(n int64) int64 { return 1 << (bits.Len64(uint64(n-1)) - 1) }

// CheckLeaves verifies what [ProveLeaves] proved: that leaves, in strictly
// ascending order of index, stand in the tree of n leaves with that root, and
// that proof holds exactly the hashes that are needed. Anything else is
// [AlarmAltered]. Its work is bounded by O(len(leaves)·log n), whatever the
// arguments.
//
// No leaves and an empty proof pass: nothing is claimed about the tree then.
func CheckLeaves(n int64, root tlog.Hash, leaves []Leaf, proof []tlog.Hash) error {
	if err := checkSize(n); err != nil {
		return err
	}
	for i, leaf := range leaves {
		if leaf.Index < 0 || leaf.Index >= n || i > 0 && leaf.Index <= leaves[i-1].Index {
			return alarm(AlarmAltered, "record %d is out of order, or beyond the log's %d records", leaf.Index, n)
		}
	}
	if len(leaves) == 0 {
		if len(proof) != 0 {
			return alarm(AlarmAltered, "a proof of %d hashes for no record", len(proof))
		}
		return nil
	}
	c := checker{proof: proof}
	h, ok := c.walk(0, n, leaves)
	switch {
	case !ok:
		return alarm(AlarmAltered, "the proof of %d records in a log of %d is too short", len(leaves), n)
	case len(c.proof) != 0:
		return alarm(AlarmAltered, "the proof of %d records in a log of %d has %d hashes too many", len(leaves), n, len(c.proof))
	case h != root:
		return alarm(AlarmAltered, "%d records do not stand in the log of %d records that the checkpoint signs", len(leaves), n)
	}
	return nil
}

// checker recomputes a root, consuming the proof from the left.
type checker struct{ proof []tlog.Hash }

func (c *checker) walk(lo, hi int64, leaves []Leaf) (h tlog.Hash, ok bool) {
	switch {
	case len(leaves) == 0:
		if len(c.proof) == 0 {
			return h, false
		}
		h, c.proof = c.proof[0], c.proof[1:]
		return h, true
	case hi-lo == 1:
		return leaves[0].Hash, true
	}
	mid := lo + splitPoint(hi-lo)
	at, _ := slices.BinarySearchFunc(leaves, mid, func(l Leaf, mid int64) int {
		if l.Index < mid {
			return -1
		}
		return 1
	})
	left, ok := c.walk(lo, mid, leaves[:at])
	if !ok {
		return h, false
	}
	right, ok := c.walk(mid, hi, leaves[at:])
	return tlog.NodeHash(left, right), ok
}
