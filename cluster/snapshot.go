package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"
)

// liveID is the id of the one snapshot a node always has: the catalog as it is.
const liveID = "catalog"

// snapshotStore tells raft that the catalog is its snapshot. Nothing is written
// to take one; a copy is made only when a follower needs it, by the outbox. Of a
// copy that a leader sends, raft gets the header only, when the copy is in the
// inbox; it is installed by [fsm.Restore], on the goroutine that applies: so no
// entry is applied while the state is being replaced.
type snapshotStore struct {
	fsm    *fsm
	outbox *outbox

	mu       sync.Mutex
	received *sink // the last one that is whole
}

var _ raft.SnapshotStore = (*snapshotStore)(nil)

// List returns the live catalog, or nothing before the first entry.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	meta, err := s.live()
	if err != nil || meta.Index == 0 {
		return nil, err
	}
	return []*raft.SnapshotMeta{meta}, nil
}

func (s *snapshotStore) live() (*raft.SnapshotMeta, error) {
	p := s.fsm.position()
	conf, err := decodeConfiguration(p.conf)
	if err != nil {
		return nil, err
	}
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: liveID,
		Index: p.index, Term: p.term,
		Configuration: conf, ConfigurationIndex: p.confIndex,
	}, nil
}

// Create begins a snapshot: a stamp of the live catalog, or the header of a copy
// that has arrived. Which of them shows in the first call on the sink.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration,
	confIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	return &sink{store: s, meta: raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("received-%d-%d", term, index), Index: index, Term: term,
		Configuration: conf, ConfigurationIndex: confIndex,
	}}, nil
}

// Open returns the header of a copy of the live catalog, which may not be made
// yet, for a follower, or the header of a received one for Restore.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if id == liveID {
		use, err := s.outbox.take(s.live)
		if err != nil {
			return nil, nil, err
		}
		return &use.meta, use, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.received
	if r == nil || r.meta.ID != id {
		return nil, nil, fmt.Errorf("there is no snapshot %q", id)
	}
	meta := r.meta
	return &meta, io.NopCloser(bytes.NewReader(r.header)), nil
}

// liveSnapshot is what raft persists when it takes a snapshot here.
type liveSnapshot struct{}

func (liveSnapshot) Persist(to raft.SnapshotSink) error {
	s, ok := to.(*sink)
	if !ok {
		return fmt.Errorf("cannot stamp a %T", to)
	}
	return s.stamp()
}

func (liveSnapshot) Release() {}

// sink takes either a stamp or the header of a copy.
type sink struct {
	store   *snapshotStore
	meta    raft.SnapshotMeta
	stamped bool
	header  []byte // of a copy that has arrived
}

var _ raft.SnapshotSink = (*sink)(nil)

func (k *sink) ID() string { return k.meta.ID }

func (k *sink) stamp() error {
	start := k.store.fsm.now()
	conf := raft.EncodeConfiguration(k.meta.Configuration)
	if err := k.store.fsm.stamp(k.meta.Index, k.meta.Term, conf); err != nil {
		return err
	}
	k.stamped, k.meta.ID = true, liveID
	k.store.fsm.logger.Debug("made the catalog durable", "index", k.meta.Index, "took", k.store.fsm.now().Sub(start))
	return nil
}

// Write takes the header. A leader of another version sends more.
func (k *sink) Write(p []byte) (int, error) {
	if k.header = append(k.header, p[:min(len(p), streamHeader+1)]...); len(k.header) <= streamHeader {
		return len(p), nil
	}
	_, err := readCopyHeader(bytes.NewReader(k.header))
	return 0, errors.Join(errors.New("this is more than the header of a copy of the catalog"), err)
}

// Close makes the copy the one that Open finds.
func (k *sink) Close() error {
	if k.stamped {
		return nil
	}
	if len(k.header) < streamHeader {
		return errors.New("the snapshot is empty")
	}
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	k.store.received = k
	return nil
}

// Cancel has nothing to undo.
func (k *sink) Cancel() error { return nil }

// decodeConfiguration reads what raft.EncodeConfiguration wrote; raft's own
// function panics on anything else.
func decodeConfiguration(b []byte) (conf raft.Configuration, err error) {
	if len(b) == 0 {
		return raft.Configuration{}, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the recorded members of the cluster are unreadable: %v", p)
		}
	}()
	return raft.DecodeConfiguration(b), nil
}

// transitDir makes the folder where copies of the catalog lie that are sent,
// without what an earlier process left there.
func transitDir(dir string) (string, error) {
	transit := filepath.Join(dir, "transit")
	return transit, errors.Join(os.RemoveAll(transit), os.MkdirAll(transit, 0o700))
}
