package blockstored

import (
	"log/slog"
	"os"
	"sync"
	"time"
)

// recheck is how often at most what needs them looks whether files have changed.
const recheck = time.Second

// reread is what was read from files, and is read again when they change, so
// that what is renewed needs no restart. What cannot be read, as while it is
// being replaced, leaves the one before in use.
type reread[T any] struct {
	what  string // it is called in the log
	files []string
	parse func() (T, error)
	now   func() time.Time
	log   *slog.Logger

	mu        sync.Mutex
	current   T
	checked   time.Time     // when the files were last looked at
	seen      []os.FileInfo // of the files that current was read from
	complaint string        // what was logged last, and still holds
}

// get returns what was read last, after a look at the files if that is due.
func (r *reread[T]) get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if age := now.Sub(r.checked); age >= 0 && age < recheck {
		return r.current
	}
	r.checked = now
	found, err := r.stat()
	if err == nil {
		if same(found, r.seen) {
			return r.current
		}
		err = r.read(found)
	}
	switch {
	case err == nil:
		r.log.Info("a changed "+r.what+" is in use", "file", r.files[0])
	case err.Error() != r.complaint: // once, not each second
		r.complaint = err.Error()
		r.log.Warn("a changed "+r.what+" cannot be used; the one before stays", "error", err)
	}
	return r.current
}

// load reads the files for the first time.
func (r *reread[T]) load() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checked = r.now()
	found, err := r.stat()
	if err != nil {
		return err
	}
	return r.read(found)
}

// read takes what the files hold into use. Found was looked up before, so that a
// change while they are read is noticed the next time.
func (r *reread[T]) read(found []os.FileInfo) error {
	v, err := r.parse()
	if err != nil {
		return err
	}
	r.current, r.seen, r.complaint = v, found, ""
	return nil
}

// stat follows links, so a link that is turned to another file is a change.
func (r *reread[T]) stat() ([]os.FileInfo, error) {
	found := make([]os.FileInfo, len(r.files))
	for k, name := range r.files {
		var err error
		if found[k], err = os.Stat(name); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// same says whether all files are what they were.
func same(a, b []os.FileInfo) bool {
	for k := range a {
		if !os.SameFile(a[k], b[k]) || a[k].Size() != b[k].Size() || !a[k].ModTime().Equal(b[k].ModTime()) {
			return false
		}
	}
	return true
}
