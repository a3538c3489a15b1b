package storagetest

import (
	"context"
	"io"
	"sync"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
)

// Op is a driver's operation that can be made to fail.
type Op int

// The operations of [storage.Driver] and [storage.Upload]. OpRead is a Read of
// what Get opened.
const (
	OpCreate Op = iota
	OpWrite
	OpCommit
	OpGet
	OpRead
	OpStat
	OpDelete
	OpList
	OpReadSmall
	OpWriteSmall
	OpFree
)

// Fault is what happens to an operation. The zero Fault is none.
type Fault struct {
	// Err is returned instead of doing anything.
	Err error
	// After lets the operation take effect and then returns Err: an answer
	// that was lost. For OpCommit and OpWriteSmall.
	After bool
	// Flip inverts a bit of the first byte that is read. For OpRead.
	Flip bool
	// Short ends the object here. For OpRead.
	Short bool
	// Wait is waited for first, or the operation's context, which then is
	// the error. For all but OpRead and OpWrite.
	Wait <-chan struct{}
}

// Plan chooses faults. It is called before each operation with its key, ""
// where there is none yet, and the count of this operation so far, from 0. Calls
// never overlap.
type Plan func(op Op, key string, n int) Fault

// Faulty returns a driver that does what d does, but for the faults that plan
// chooses.
func Faulty(d storage.Driver, plan Plan) storage.Driver {
	return &faulty{d: d, plan: plan, seen: map[Op]int{}}
}

type faulty struct {
	d    storage.Driver
	plan Plan
	mu   sync.Mutex
	seen map[Op]int
}

// next returns the fault of the coming operation, after its wait.
func (f *faulty) next(ctx context.Context, op Op, key string) (Fault, error) {
	f.mu.Lock()
	fault := f.plan(op, key, f.seen[op])
	f.seen[op]++
	f.mu.Unlock()
	if fault.Wait != nil {
		select {
		case <-fault.Wait:
		case <-ctx.Done():
			return fault, context.Cause(ctx)
		}
	}
	if fault.After {
		return fault, nil
	}
	return fault, fault.Err
}

func (f *faulty) Create(ctx context.Context, sizeHint int64) (storage.Upload, error) {
	if _, err := f.next(ctx, OpCreate, ""); err != nil {
		return nil, err
	}
	u, err := f.d.Create(ctx, sizeHint)
	if err != nil {
		return nil, err
	}
	return &faultyUpload{Upload: u, f: f}, nil
}

type faultyUpload struct {
	storage.Upload
	f *faulty
}

func (u *faultyUpload) Write(p []byte) (int, error) {
	if _, err := u.f.next(context.Background(), OpWrite, ""); err != nil {
		return 0, err
	}
	return u.Upload.Write(p)
}

func (u *faultyUpload) Commit(ctx context.Context, key string, digest bundle.Digest) error {
	fault, err := u.f.next(ctx, OpCommit, key)
	if err != nil {
		return err
	}
	if err := u.Upload.Commit(ctx, key, digest); err != nil {
		return err
	}
	return fault.Err
}

func (f *faulty) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if _, err := f.next(ctx, OpGet, key); err != nil {
		return nil, err
	}
	r, err := f.d.Get(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	return &faultyReader{ReadCloser: r, f: f, key: key}, nil
}

type faultyReader struct {
	io.ReadCloser
	f     *faulty
	key   string
	short bool
}

func (r *faultyReader) Read(p []byte) (int, error) {
	fault, err := r.f.next(context.Background(), OpRead, r.key)
	if r.short = r.short || fault.Short; r.short {
		return 0, io.EOF
	}
	if err != nil {
		return 0, err
	}
	n, err := r.ReadCloser.Read(p)
	if fault.Flip && n > 0 {
		p[0] ^= 1
	}
	return n, err
}

func (f *faulty) Stat(ctx context.Context, key string) (storage.ObjectInfo, error) {
	if _, err := f.next(ctx, OpStat, key); err != nil {
		return storage.ObjectInfo{}, err
	}
	return f.d.Stat(ctx, key)
}

func (f *faulty) Delete(ctx context.Context, key string) error {
	if _, err := f.next(ctx, OpDelete, key); err != nil {
		return err
	}
	return f.d.Delete(ctx, key)
}

func (f *faulty) List(ctx context.Context, prefix string, fn func(storage.ObjectInfo) error) error {
	if _, err := f.next(ctx, OpList, prefix); err != nil {
		return err
	}
	return f.d.List(ctx, prefix, fn)
}

func (f *faulty) ReadSmall(ctx context.Context, key string) ([]byte, string, error) {
	if _, err := f.next(ctx, OpReadSmall, key); err != nil {
		return nil, "", err
	}
	return f.d.ReadSmall(ctx, key)
}

func (f *faulty) WriteSmall(ctx context.Context, key string, body []byte, tag string) (string, error) {
	fault, err := f.next(ctx, OpWriteSmall, key)
	if err != nil {
		return "", err
	}
	newTag, err := f.d.WriteSmall(ctx, key, body, tag)
	if err == nil {
		err = fault.Err
	}
	return newTag, err
}

func (f *faulty) Free(ctx context.Context) (int64, error) {
	if _, err := f.next(ctx, OpFree, ""); err != nil {
		return 0, err
	}
	return f.d.Free(ctx)
}

func (f *faulty) Close() error { return f.d.Close() }
