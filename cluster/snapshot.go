package cluster

import (
	"bufio"
	"context"
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
// to take one; a copy is made only when a follower needs it. What a leader
// sends lands in a file under dir first and is installed from there by
// [fsm.Restore], on the goroutine that applies: so no entry is applied while
// the state is being replaced.
type snapshotStore struct {
	dir     string // copies in transit; emptied when the node opens
	fsm     *fsm
	closing <-chan struct{} // ends copies that are being made

	mu       sync.Mutex
	received *receivedSnapshot
}

type receivedSnapshot struct {
	meta raft.SnapshotMeta
	path string
}

var _ raft.SnapshotStore = (*snapshotStore)(nil)

func newSnapshotStore(dir string, f *fsm, closing <-chan struct{}) (*snapshotStore, error) {
	// What an earlier process left there was never installed.
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &snapshotStore{dir: dir, fsm: f, closing: closing}, nil
}

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

// Create begins a snapshot: a stamp of the live catalog, or a file for a copy
// that arrives. Which of them shows in the first call on the sink.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration,
	confIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	return &sink{store: s, meta: raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("received-%d-%d", term, index), Index: index, Term: term,
		Configuration: conf, ConfigurationIndex: confIndex,
	}}, nil
}

// Open returns a copy of the live catalog for a follower, or a received one for
// Restore.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if id == liveID {
		return s.openLive()
	}
	s.mu.Lock()
	r := s.received
	s.mu.Unlock()
	if r == nil || r.meta.ID != id {
		return nil, nil, fmt.Errorf("there is no snapshot %q", id)
	}
	file, err := os.Open(r.path)
	if err != nil {
		return nil, nil, err
	}
	meta := r.meta
	return &meta, &temporary{File: file, Reader: bufio.NewReaderSize(file, 256<<10)}, nil
}

// openLive makes a copy. Its position is read first, so the copy has at least
// the entries that its description promises; a follower skips the others when
// they come. Raft must know the length before it sends, so the copy goes to a
// file and not straight to the network.
func (s *snapshotStore) openLive() (*raft.SnapshotMeta, io.ReadCloser, error) {
	if err := s.fsm.failed(); err != nil {
		return nil, nil, err
	}
	meta, err := s.live()
	if err != nil {
		return nil, nil, err
	}
	if meta.Index == 0 {
		return nil, nil, errors.New("the catalog is empty: there is nothing to copy")
	}
	file, err := os.CreateTemp(s.dir, "send-")
	if err != nil {
		return nil, nil, err
	}
	out := &temporary{File: file, Reader: bufio.NewReaderSize(file, 256<<10)}
	start := s.fsm.now()
	ctx, cancel := contextUntil(s.closing)
	defer cancel()
	if meta.Size, err = writeStream(ctx, file, s.fsm.catalog, meta.Index, meta.Term); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("copy the catalog for a follower: %w", err), out.Close())
	}
	s.fsm.logger.Info("copied the catalog for a follower", "bytes", meta.Size, "index", meta.Index, "took", s.fsm.now().Sub(start))
	return meta, out, nil
}

// temporary is a file that is gone once it was read.
type temporary struct {
	*os.File
	io.Reader
}

func (t *temporary) Read(p []byte) (int, error) { return t.Reader.Read(p) }

func (t *temporary) Close() error {
	return errors.Join(t.File.Close(), os.Remove(t.Name()))
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

// sink takes either a stamp or the bytes of a copy.
type sink struct {
	store *snapshotStore
	meta  raft.SnapshotMeta

	stamped bool
	file    *os.File // of an arriving copy
	ended   bool
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

func (k *sink) Write(p []byte) (int, error) {
	if k.file == nil {
		file, err := os.CreateTemp(k.store.dir, "receive-")
		if err != nil {
			return 0, err
		}
		k.file = file
	}
	return k.file.Write(p)
}

// Close makes the received copy the one that Open finds. The file need not be
// durable: nothing refers to it after a restart, and Install makes its own copy
// durable before it switches.
func (k *sink) Close() error {
	switch {
	case k.ended, k.stamped:
		return nil
	case k.file == nil:
		return errors.New("the snapshot is empty")
	}
	k.ended = true
	if err := k.file.Close(); err != nil {
		return errors.Join(err, os.Remove(k.file.Name()))
	}
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	if old := k.store.received; old != nil {
		// It is still there only if raft gave up between Close and Restore.
		if err := os.Remove(old.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	k.store.received = &receivedSnapshot{meta: k.meta, path: k.file.Name()}
	return nil
}

func (k *sink) Cancel() error {
	if k.ended || k.file == nil {
		return nil
	}
	k.ended = true
	return errors.Join(k.file.Close(), os.Remove(k.file.Name()))
}

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

// contextUntil returns a context that ends when done is closed.
func contextUntil(done <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		select {
		case <-done:
			cancel()
		case <-stopped:
		}
	}()
	return ctx, sync.OnceFunc(func() { close(stopped); cancel() })
}

// transitDir is where copies of the catalog lie while they travel.
func transitDir(dir string) string { return filepath.Join(dir, "transit") }
