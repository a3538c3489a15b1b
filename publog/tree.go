package publog

import (
	"fmt"

	"github.com/blockstored/blockstored/bundle"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxLogSize is the largest number of records in a log. Larger sizes are
// refused wherever they occur, which keeps every computation on indexes far
// from overflow.
const MaxLogSize = 1 << 48

// Root returns the RFC 6962 root of the tree of the first n leaves. It calls
// r.ReadHashes at most once, for at most log2(n)+1 hashes.
func Root(n int64, r tlog.HashReader) (tlog.Hash, error) {
	if err := checkSize(n); err != nil {
		return tlog.Hash{}, err
	}
	h, err := tlog.TreeHash(n, r)
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("root of the log at %d records: %w", n, err)
	}
	return h, nil
}

// AppendHashes returns the hashes that leaf adds to a tree of n leaves, n
// being the new leaf's index. Element i is the node (level i, n>>i) and has
// the stored index tlog.StoredHashIndex(i, n>>i); element 0 is the leaf
// itself, so a store that keeps leaf hashes with the records keeps elements
// 1 and up. They average one inner hash a leaf.
//
// r must answer for every leaf before n, those appended in the same
// transaction included; it is asked once, for at most log2(n) hashes.
func AppendHashes(n int64, leaf tlog.Hash, r tlog.HashReader) ([]tlog.Hash, error) {
	if n < 0 {
		return nil, bundle.Errorf(bundle.KindInvalid, "record indexes start at 0, got %d", n)
	}
	if err := checkSize(n + 1); err != nil {
		return nil, err
	}
	hashes, err := tlog.StoredHashesForRecordHash(n, leaf, r)
	if err != nil {
		return nil, fmt.Errorf("append record %d to the log: %w", n, err)
	}
	return hashes, nil
}

// readAll reads hashes and refuses an answer of fewer or more than asked for.
func readAll(indexes []int64, read func([]int64) ([]tlog.Hash, error)) ([]tlog.Hash, error) {
	if len(indexes) == 0 {
		return nil, nil
	}
	hashes, err := read(indexes)
	if err != nil {
		return nil, err
	}
	if len(hashes) != len(indexes) {
		return nil, fmt.Errorf("asked the log's store for %d hashes, got %d", len(indexes), len(hashes))
	}
	return hashes, nil
}

// emptyRoot returns the root of the tree without leaves (RFC 6962 §2.1).
func emptyRoot() tlog.Hash { return tlog.Hash(bundle.DigestOf(nil)) }

func checkSize(n int64) error {
	if n < 0 || n > MaxLogSize {
		return bundle.Errorf(bundle.KindInvalid, "a log has 0 to %d records, not %d", int64(MaxLogSize), n)
	}
	return nil
}
