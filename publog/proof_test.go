package publog_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

const largest = 2000 // size of the log that properties are drawn from

func leavesAt(indexes []int64) []publog.Leaf {
	leaves := make([]publog.Leaf, len(indexes))
	for i, index := range indexes {
		leaves[i] = publog.Leaf{Index: index, Hash: leafAt(index)}
	}
	return leaves
}

// drawIndexes returns a sorted set of indexes below n: some at random, and
// maybe a range.
func drawIndexes(t *rapid.T, n int64) []int64 {
	set := rapid.SliceOfN(rapid.Int64Range(0, n-1), 1, 40).Draw(t, "indexes")
	if rapid.Bool().Draw(t, "range") {
		lo := rapid.Int64Range(0, n-1).Draw(t, "lo")
		for i := lo; i < min(n, lo+rapid.Int64Range(1, n).Draw(t, "length")); i++ {
			set = append(set, i)
		}
	}
	slices.Sort(set)
	return slices.Compact(set)
}

func TestMultiproofVerifiesExactlyWhatItProves(t *testing.T) {
	log := newLog(t, largest)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.Int64Range(1, largest).Draw(rt, "n")
		root := log.root(t, n)
		indexes := drawIndexes(rt, n)
		log.reads = 0
		proof, err := publog.ProveLeaves(n, indexes, log)
		if err != nil {
			rt.Fatal(err)
		}
		if log.reads > 1 {
			rt.Fatalf("%d reads of hashes", log.reads)
		}
		leaves := leavesAt(indexes)
		if err := publog.CheckLeaves(n, root, leaves, proof); err != nil {
			rt.Fatalf("honest proof: %v", err)
		}
		refuse := func(what string, n int64, leaves []publog.Leaf, proof []tlog.Hash) {
			if a, _ := publog.AlarmOf(publog.CheckLeaves(n, root, leaves, proof)); a != publog.AlarmAltered {
				rt.Fatalf("%s was accepted", what)
			}
		}
		at := rapid.IntRange(0, len(leaves)-1).Draw(rt, "leaf")
		bit := rapid.IntRange(0, 255).Draw(rt, "bit")

		flipped := slices.Clone(leaves)
		flipped[at].Hash[bit/8] ^= 1 << (bit % 8)
		refuse("a flipped bit in a leaf", n, flipped, proof)

		refuse("a hash too many", n, leaves, append(slices.Clone(proof), root))
		if len(leaves) > 1 {
			refuse("a dropped leaf", n, slices.Delete(slices.Clone(leaves), at, at+1), proof)
			swapped := slices.Clone(leaves)
			other := (at + 1) % len(leaves)
			swapped[at].Hash, swapped[other].Hash = swapped[other].Hash, swapped[at].Hash
			refuse("two leaves that changed places", n, swapped, proof)
		}
		if len(proof) > 0 {
			h := rapid.IntRange(0, len(proof)-1).Draw(rt, "hash")
			spoiled := slices.Clone(proof)
			spoiled[h][bit/8] ^= 1 << (bit % 8)
			refuse("a flipped bit in the proof", n, leaves, spoiled)
			refuse("a dropped hash", n, leaves, slices.Delete(slices.Clone(proof), h, h+1))
		}
		if free := rapid.Int64Range(0, n-1).Draw(rt, "added"); !slices.Contains(indexes, free) {
			more := append(slices.Clone(indexes), free)
			slices.Sort(more)
			refuse("an added leaf", n, leavesAt(more), proof)
		}
	})
}

// hugeLog answers for a log of any size in which all leaves are equal, so that
// one hash a level is enough.
type hugeLog struct {
	levels [64]tlog.Hash
	asked  int
}

func newHugeLog() *hugeLog {
	h := new(hugeLog)
	h.levels[0] = leafAt(0)
	for i := 1; i < len(h.levels); i++ {
		h.levels[i] = tlog.NodeHash(h.levels[i-1], h.levels[i-1])
	}
	return h
}

func (h *hugeLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	h.asked += len(indexes)
	if !slices.IsSorted(indexes) {
		return nil, errors.New("indexes are not in order")
	}
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, _ := tlog.SplitStoredHashIndex(index)
		out[i] = h.levels[level]
	}
	return out, nil
}

func TestMultiproofOfManyLeavesInAHugeLog(t *testing.T) {
	const n, k = int64(1)<<40 - 12345, 10_000
	for _, spread := range []int64{1, 2, 977, n / k} {
		t.Run(fmt.Sprintf("every %d", spread), func(t *testing.T) {
			log := newHugeLog()
			root, err := publog.Root(n, log)
			if err != nil {
				t.Fatal(err)
			}
			leaves := make([]publog.Leaf, k)
			indexes := make([]int64, k)
			for i := range leaves {
				indexes[i] = n - 1 - int64(k-1-i)*spread
				leaves[i] = publog.Leaf{Index: indexes[i], Hash: leafAt(0)}
			}
			proof, err := publog.ProveLeaves(n, indexes, log)
			if err != nil {
				t.Fatal(err)
			}
			if spread == 1 && len(proof) > 80 {
				t.Errorf("a contiguous range needs %d hashes", len(proof))
			}
			if err := publog.CheckLeaves(n, root, leaves, proof); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMultiproofOfEveryLeafNeedsNoHash(t *testing.T) {
	log := newLog(t, 11)
	indexes := []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	proof, err := publog.ProveLeaves(11, indexes, log)
	if err != nil || len(proof) != 0 {
		t.Fatalf("%d hashes, %v", len(proof), err)
	}
	if err := publog.CheckLeaves(11, log.root(t, 11), leavesAt(indexes), nil); err != nil {
		t.Error(err)
	}
}

func TestProofsOfNothing(t *testing.T) {
	log := newLog(t, 5)
	proof, err := publog.ProveLeaves(5, nil, log)
	if err != nil || len(proof) != 0 {
		t.Fatalf("%d hashes, %v", len(proof), err)
	}
	if err := publog.CheckLeaves(5, log.root(t, 5), nil, nil); err != nil {
		t.Error(err)
	}
	wantAlarm(t, publog.CheckLeaves(5, log.root(t, 5), nil, []tlog.Hash{log.root(t, 5)}), publog.AlarmAltered)
}

func TestLeavesOutOfOrderAreRefused(t *testing.T) {
	log := newLog(t, 5)
	for _, indexes := range [][]int64{{-1}, {5}, {1, 1}, {2, 1}} {
		_, err := publog.ProveLeaves(5, indexes, log)
		wantKind(t, err, bundle.KindInvalid)
		wantAlarm(t, publog.CheckLeaves(5, log.root(t, 5), leavesAt(indexes), nil), publog.AlarmAltered)
	}
	_, err := publog.ProveLeaves(publog.MaxLogSize+1, []int64{0}, log)
	wantKind(t, err, bundle.KindInvalid)
	wantKind(t, publog.CheckLeaves(-1, tlog.Hash{}, nil, nil), bundle.KindInvalid)
}

// A second leaf at a proven place would never be hashed: only the rule that
// indexes ascend strictly keeps it out.
func TestAForgedTwinOfAProvenLeafIsRefused(t *testing.T) {
	log := newLog(t, 5)
	proof, err := publog.ProveLeaves(5, []int64{1, 3}, log)
	if err != nil {
		t.Fatal(err)
	}
	honest := leavesAt([]int64{1, 3})
	if err := publog.CheckLeaves(5, log.root(t, 5), honest, proof); err != nil {
		t.Fatal(err)
	}
	for at := range honest {
		twin := publog.Leaf{Index: honest[at].Index, Hash: hash("forged")}
		forged := slices.Insert(slices.Clone(honest), at+1, twin)
		wantAlarm(t, publog.CheckLeaves(5, log.root(t, 5), forged, proof), publog.AlarmAltered)
	}
}

// TestMultiproofOfOneLeafIsTheAuditPath ties the order of hashes to RFC 6962.
func TestMultiproofOfOneLeafIsTheAuditPath(t *testing.T) {
	log := newLog(t, 200)
	for n := int64(1); n <= 200; n += 13 {
		for i := range n {
			proof, err := publog.ProveLeaves(n, []int64{i}, log)
			if err != nil {
				t.Fatal(err)
			}
			path, err := tlog.ProveRecord(n, i, log)
			if err != nil {
				t.Fatal(err)
			}
			less := func(a, b tlog.Hash) int { return slices.Compare(a[:], b[:]) }
			slices.SortFunc(proof, less)
			slices.SortFunc(path, less)
			if !slices.Equal(proof, path) {
				t.Fatalf("leaf %d of %d: other hashes than the audit path", i, n)
			}
		}
	}
}

func FuzzCheckLeaves(f *testing.F) {
	log := newLog(f, 100)
	root := log.root(f, 100)
	f.Add(int64(100), []byte{3, 4, 50}, []byte{})
	f.Add(int64(1)<<40, []byte{0, 255}, make([]byte, 640))
	f.Add(int64(-1), []byte{0}, make([]byte, 32))
	f.Fuzz(func(t *testing.T, n int64, at []byte, raw []byte) {
		var indexes []int64
		sum := int64(-1)
		for _, step := range at {
			sum += int64(step)
			indexes = append(indexes, sum)
		}
		var proof []tlog.Hash
		for ; len(raw) >= tlog.HashSize; raw = raw[tlog.HashSize:] {
			proof = append(proof, tlog.Hash(raw[:tlog.HashSize]))
		}
		err := publog.CheckLeaves(n, root, leavesAt(indexes), proof)
		if err != nil || n != 100 { // of another size the root says nothing: a checkpoint signs both
			return
		}
		if honest, err := publog.ProveLeaves(n, indexes, log); err != nil || !slices.Equal(honest, proof) {
			t.Fatalf("a made-up proof of %v passes", indexes)
		}
	})
}
