package clustertest

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/cluster"
)

var errKilled = errors.New("the node was killed")

// Disk is what a node writes through in one life: its log and its catalog.
type Disk struct {
	mu      sync.Mutex
	changed *sync.Cond
	frozen  bool
	failure error
	writing int
}

func newDisk() *Disk {
	d := &Disk{}
	d.changed = sync.NewCond(&d.mu)
	return d
}

// Freeze makes writes hang from now on; those that run are finished.
func (d *Disk) Freeze() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.frozen = true
	for d.writing > 0 {
		d.changed.Wait()
	}
}

// Thaw lets writes go on.
func (d *Disk) Thaw() { d.set(nil) }

// Fail makes writes fail from now on, those that hang too.
func (d *Disk) Fail(err error) { d.set(err) }

func (d *Disk) set(failure error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !errors.Is(d.failure, errKilled) {
		d.failure = failure
	}
	d.frozen = false
	d.changed.Broadcast()
}

func (d *Disk) write(f func() error) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	return f()
}

func (d *Disk) enter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.frozen {
		d.changed.Wait()
	}
	if d.failure != nil {
		return d.failure
	}
	d.writing++
	return nil
}

func (d *Disk) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writing--
	d.changed.Broadcast()
}

// diskCatalog is a catalog on a Disk.
type diskCatalog struct {
	*catalog.DB
	disk *Disk
}

var _ cluster.StateMachine = diskCatalog{}

func (c diskCatalog) Apply(entries []catalog.Entry) (results []catalog.Result, err error) {
	err = c.disk.write(func() (err error) { results, err = c.DB.Apply(entries); return err })
	return results, err
}

func (c diskCatalog) SetConfiguration(index, term uint64, conf []byte) error {
	return c.disk.write(func() error { return c.DB.SetConfiguration(index, term, conf) })
}

func (c diskCatalog) Sync() error { return c.disk.write(c.DB.Sync) }

// folder is where a node keeps its data; a crash leaves it for another.
type folder struct {
	t    testing.TB
	path string
}

func newFolder(t testing.TB) *folder { return &folder{t: t, path: t.TempDir()} }

func (f *folder) join(name string) string { return filepath.Join(f.path, name) }

// crashed returns a copy of the folder as it is. Nobody may write to it
// meanwhile but for copies in transit, which may come and go.
func (f *folder) crashed() *folder {
	for range 10 {
		to := newFolder(f.t)
		err := os.CopyFS(to.path, os.DirFS(f.path))
		if err == nil {
			return to
		}
		if !errors.Is(err, os.ErrNotExist) {
			f.t.Fatalf("copy a crashed node's folder: %v", err)
		}
	}
	f.t.Fatal("a crashed node's folder does not hold still")
	return nil
}
