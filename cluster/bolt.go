package cluster

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/blockstored/blockstored/bundle"
)

// keyCurrentTerm is where raft keeps its term in the stable store.
const keyCurrentTerm = "CurrentTerm"

// openStore opens raft.db: the log, the term and the vote. Every write is
// synced before raft goes on.
func openStore(path string) (*raftboltdb.BoltStore, error) {
	store, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{
		Timeout: time.Second,
		// The list of free pages is rebuilt when the file is opened and not
		// written with each entry.
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
	}})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, bundle.Errorf(bundle.KindUnavailable,
			"%s is in use: another process runs this node; stop it first", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return store, nil
}

// logState is what raft.db holds, see [checkLog].
type logState struct {
	first, last uint64 // entries; 0 and 0 for none
	term        uint64 // the highest that the node has seen
}

// checkLog refuses a log and a catalog that do not belong together, before raft
// would panic or, worse, elect on them. at is where the catalog stands.
func checkLog(store *raftboltdb.BoltStore, path string, at position) (s logState, err error) {
	if s.first, err = store.FirstIndex(); err != nil {
		return s, fmt.Errorf("read %s: %w", path, err)
	}
	if s.last, err = store.LastIndex(); err != nil {
		return s, fmt.Errorf("read %s: %w", path, err)
	}
	if at.index > 0 && len(at.conf) == 0 {
		return s, bundle.Errorf(bundle.KindCorrupt,
			"the catalog stands at entry %d but names no members: restore it from a backup", at.index)
	}
	s.term, err = store.GetUint64([]byte(keyCurrentTerm))
	if err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return s, fmt.Errorf("read %s: %w", path, err)
	}
	if at.index > 0 && s.term < at.term {
		return s, bundle.Errorf(bundle.KindCorrupt,
			"the catalog stands at entry %d of term %d but %s knows only term %d: one of them was deleted or replaced; "+
				"put it back, or restore both from a backup", at.index, at.term, path, s.term)
	}
	if s.last > at.index {
		var entry raft.Log
		if err := store.GetLog(at.index+1, &entry); err != nil {
			return s, bundle.Errorf(bundle.KindCorrupt,
				"the catalog stands at entry %d and the log in %s goes from %d to %d, without the next one: "+
					"the catalog is older than the log; put the right one back, or restore both from a backup: %w",
				at.index, path, s.first, s.last, err)
		}
	}
	return s, nil
}

// dropReplaced drops the log of a node that was killed when it had installed a copy
// of the catalog: then the log ends before it, and may hold what was never committed.
func (s *logState) dropReplaced(store raft.LogStore, at position) error {
	if s.last >= at.index {
		return nil
	}
	if err := store.DeleteRange(s.first, s.last); err != nil {
		return fmt.Errorf("drop the log that a copy of the catalog replaced: %w", err)
	}
	s.first, s.last = 0, 0
	return nil
}

// logBytes is the part of raft.db that is in use, or 0 if that is unknown.
func (n *Node) logBytes() int64 {
	info, err := os.Stat(n.path)
	if err != nil {
		return 0
	}
	stats := n.store.Stats()
	return max(0, info.Size()-int64(stats.FreePageN+stats.PendingPageN)*int64(os.Getpagesize()))
}

// syncDir makes the names in a folder durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
