package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/blockstored/blockstored/bundle"
)

// Survivor is what a node that does not run has of its cluster.
type Survivor struct {
	Applied        uint64   // the last entry in the catalog
	Last, LastTerm uint64   // the last entry that is stored here, committed or not, and its term
	Members        []Member // as the last change of members says that is stored here
}

// Inspect looks at the node whose Config.Dir was dir, and changes nothing. The
// node must not run (KindUnavailable); KindCorrupt means that its log and its
// catalog do not belong together, KindNotFound that it was never a member.
func Inspect(dir string, catalog StateMachine) (s Survivor, err error) {
	r, err := openRemains(dir, catalog)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, r.store.Close()) }()
	s = Survivor{Applied: r.at.index, Last: r.last, LastTerm: r.lastTerm}
	for _, m := range r.members.Servers {
		s.Members = append(s.Members, Member{ID: string(m.ID), Address: string(m.Address), Voter: m.Suffrage == raft.Voter})
	}
	return s, nil
}

// Recover makes the node whose Config.Dir was dir, and which does not run, the
// only member of its cluster, under the new id. It is for when most nodes are
// lost for good: nobody is asked, and the nodes that are given up must never
// run again.
//
// It appends one entry to the log, the change of members, under a term of its
// own. So all that is stored here comes before it, committed or not, and is
// applied when the node is opened under id: it may have been acknowledged.
// Repeating it with the same id changes nothing. The errors are those of
// [Inspect], and KindInvalid for an id that is a member's already.
func Recover(dir string, catalog StateMachine, id string) (err error) {
	if _, err := parseNode(id); err != nil {
		return err
	}
	r, err := openRemains(dir, catalog)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.store.Close()) }()
	for _, m := range r.members.Servers {
		switch {
		case string(m.ID) != id:
			continue
		case len(r.members.Servers) == 1:
			return nil // it was done before
		}
		return bundle.Errorf(bundle.KindInvalid, "%s is one of the members; a node that is recovered needs an id that none of them knows", id)
	}
	if err := r.log.dropReplaced(r.store, r.at); err != nil {
		return err
	}
	// The term first: an entry of a term that the node does not know would be
	// taken for damage. A higher term alone harms nobody.
	term := max(r.log.term, r.lastTerm) + 1
	if err := r.store.SetUint64([]byte(keyCurrentTerm), term); err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	alone := raft.Configuration{Servers: []raft.Server{
		{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: portless}, // it says where it listens when it leads
	}}
	if err := r.store.StoreLog(&raft.Log{
		Index: r.last + 1, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(alone), AppendedAt: time.Now(),
	}); err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	return nil
}

// Holds reports whether an entry that is stored here and was not applied when
// it was called is a command that satisfies match. Such an entry may never be
// committed.
func (n *Node) Holds(match func(command []byte) bool) (bool, error) {
	last, err := n.store.LastIndex()
	if err != nil {
		return false, fmt.Errorf("read %s: %w", n.path, err)
	}
	for index := n.fsm.position().index + 1; index <= last; index++ {
		var entry raft.Log
		err := n.store.GetLog(index, &entry)
		switch {
		case errors.Is(err, raft.ErrLogNotFound): // applied and dropped meanwhile, or replaced
		case err != nil:
			return false, fmt.Errorf("read %s: %w", n.path, err)
		case entry.Type == raft.LogCommand && match(entry.Data):
			return true, nil
		}
	}
	return false, nil
}

// remains is what a node that does not run left on its disk.
type remains struct {
	path           string // of raft.db
	store          *raftboltdb.BoltStore
	at             position // of the catalog
	log            logState
	last, lastTerm uint64 // of the last entry
	members        raft.Configuration
}

// openRemains opens raft.db, which keeps the node from starting meanwhile. The
// caller closes the store.
func openRemains(dir string, catalog StateMachine) (_ *remains, err error) {
	r := &remains{path: filepath.Join(dir, "raft.db")}
	if r.at, err = positionOf(catalog); err != nil {
		return nil, err
	}
	if _, err := os.Stat(r.path); err != nil {
		return nil, bundle.Errorf(bundle.KindNotFound, "there is no log of a node: %w", err)
	}
	if r.store, err = openStore(r.path); err != nil {
		return nil, err
	}
	if err := r.read(); err != nil {
		return nil, errors.Join(err, r.store.Close())
	}
	return r, nil
}

// read looks at the log, from the catalog's position on.
func (r *remains) read() error {
	log, err := checkLog(r.store, r.path, r.at)
	if err != nil {
		return err
	}
	r.log, r.last, r.lastTerm = log, r.at.index, r.at.term
	if r.members, err = decodeConfiguration(r.at.conf); err != nil {
		return err
	}
	for index := max(log.first, r.at.index+1); index <= log.last && log.last > 0; index++ {
		var entry raft.Log
		if err := r.store.GetLog(index, &entry); err != nil {
			return bundle.Errorf(bundle.KindCorrupt, "entry %d in %s: %w", index, r.path, err)
		}
		r.last, r.lastTerm = entry.Index, entry.Term
		if entry.Type == raft.LogConfiguration {
			if r.members, err = decodeConfiguration(entry.Data); err != nil {
				return err
			}
		}
	}
	if len(r.members.Servers) == 0 {
		return bundle.Errorf(bundle.KindNotFound, "%s names no members: this node had not become one yet", r.path)
	}
	return nil
}
