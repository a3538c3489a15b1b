package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

const (
	// transfers is how many requests with content run at a time.
	transfers = 4
	// askAtOnce is how many digests one question for missing blobs holds.
	askAtOnce = 50_000

	// A request with small files holds at least minBatch bytes of content, so
	// that the instance can fill its packs, and at most maxBatch bytes or
	// maxBatchFiles files, so that a failed one costs little.
	minBatch      = 8 << 20
	maxBatch      = 64 << 20
	maxBatchFiles = 20_000
)

// uploader sends the blobs an instance lacks.
type uploader struct {
	store api.Blobs
	fsys  fs.FS
	track *tracker

	files   atomic.Int64 // sent
	content atomic.Int64 // bytes of content sent
	wire    atomic.Int64 // bytes of bodies sent, repeated ones too
}

// send stores whatever of the files' contents the instance does not have.
func (u *uploader) send(ctx context.Context, files []localFile) error {
	missing, err := u.missing(ctx, files)
	if err != nil {
		return err
	}
	var small, large []localFile
	var total, smallTotal int64
	for _, f := range missing {
		total += f.blob.Size
		if f.blob.Size > bundle.MaxFrameBlob {
			large = append(large, f)
		} else {
			small, smallTotal = append(small, f), smallTotal+f.blob.Size
		}
	}
	u.track.begin(StageSending, len(missing), total)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(transfers)
	for _, batch := range split(small, smallTotal) {
		group.Go(func() error {
			return u.retry(ctx, func(add func(int, int64)) error { return u.sendFrames(ctx, batch, add) })
		})
	}
	for _, f := range large {
		group.Go(func() error {
			return u.retry(ctx, func(add func(int, int64)) error { return u.sendLarge(ctx, f, add) })
		})
	}
	return group.Wait()
}

// missing returns the files whose content the instance lacks, each content
// once.
func (u *uploader) missing(ctx context.Context, files []localFile) ([]localFile, error) {
	byDigest := make(map[bundle.Digest]localFile, len(files))
	var digests []bundle.Digest
	for _, f := range files {
		if _, twice := byDigest[f.blob.Digest]; !twice {
			byDigest[f.blob.Digest] = f
			digests = append(digests, f.blob.Digest)
		}
	}
	var out []localFile
	for len(digests) > 0 {
		n := min(len(digests), askAtOnce)
		missing, err := u.store.MissingBlobs(ctx, digests[:n])
		if err != nil {
			return nil, err
		}
		for _, d := range missing {
			f, asked := byDigest[d]
			if !asked {
				return nil, bundle.Errorf(bundle.KindOther, "the instance lacks a blob that it was not asked for")
			}
			out = append(out, f)
		}
		digests = digests[n:]
	}
	return out, nil
}

// split makes batches of small files: enough for the transfers that run at a
// time, within the limits.
func split(files []localFile, total int64) [][]localFile {
	limit := min(max(total/transfers, minBatch), maxBatch)
	var out [][]localFile
	var size int64
	from := 0
	for i, f := range files {
		if i > from && (size+f.blob.Size > limit || i-from == maxBatchFiles) {
			out = append(out, files[from:i])
			from, size = i, 0
		}
		size += f.blob.Size
	}
	if from < len(files) {
		out = append(out, files[from:])
	}
	return out
}

// retry runs a transfer until it succeeds or fails for good. Progress of a
// failed attempt is taken back.
func (u *uploader) retry(ctx context.Context, transfer func(add func(int, int64)) error) error {
	return again(ctx, func() error {
		var files, content atomic.Int64
		err := transfer(func(n int, bytes int64) {
			files.Add(int64(n))
			content.Add(bytes)
			u.track.add(n, bytes)
		})
		if err != nil {
			u.track.add(int(-files.Load()), -content.Load())
			return err
		}
		u.files.Add(files.Load())
		u.content.Add(content.Load())
		return nil
	})
}

// sendFrames sends one batch of small files as it is read and compressed.
func (u *uploader) sendFrames(ctx context.Context, batch []localFile, add func(int, int64)) error {
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := u.writeFrames(w, batch, add)
		_ = w.CloseWithError(err) // never fails
		written <- err
	}()
	_, err := u.store.StoreFrames(ctx, r, -1)
	_ = r.Close() // ends the writer if the request ended first
	// What went wrong on this side is the cause of the request's error.
	if werr := <-written; werr != nil && !errors.Is(werr, io.ErrClosedPipe) {
		return werr
	}
	return err
}

func (u *uploader) writeFrames(w io.Writer, batch []localFile, add func(int, int64)) error {
	buffered := bufio.NewWriterSize(w, 128<<10)
	var encoded []byte
	for _, f := range batch {
		content, err := readSmall(u.fsys, f)
		if err != nil {
			return err
		}
		encoded = bundle.MakeFrame(content).AppendTo(encoded[:0])
		if _, err := buffered.Write(encoded); err != nil {
			return err
		}
		u.wire.Add(int64(len(encoded)))
		add(1, f.blob.Size)
	}
	return buffered.Flush()
}

// readSmall reads a file whose content is known already.
func readSmall(fsys fs.FS, f localFile) ([]byte, error) {
	file, err := fsys.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("read the folder: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(file, f.blob.Size+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.path, err)
	}
	if int64(len(content)) != f.blob.Size || bundle.DigestOf(content) != f.blob.Digest {
		return nil, changed(f)
	}
	return content, nil
}

func changed(f localFile) error {
	return bundle.Errorf(bundle.KindConflict, "%s changed while it was being published: publish again", f.path)
}

// sendLarge streams one large file.
func (u *uploader) sendLarge(ctx context.Context, f localFile, add func(int, int64)) (err error) {
	file, err := u.fsys.Open(f.path)
	if err != nil {
		return fmt.Errorf("read the folder: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	body := &meter{r: file, add: func(n int64) {
		u.wire.Add(n)
		add(0, n)
	}}
	if err := u.store.StoreBlob(ctx, f.blob.Digest, body, f.blob.Size); err != nil {
		if info, serr := file.Stat(); bundle.IsKind(err, bundle.KindInvalid) || serr != nil || info.Size() != f.blob.Size {
			return changed(f)
		}
		return fmt.Errorf("%s: %w", f.path, err)
	}
	add(1, 0)
	return nil
}

// meter tells how much was read. It is no Closer: the file is closed here.
type meter struct {
	r   io.Reader
	add func(int64)
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if n > 0 {
		m.add(int64(n))
	}
	return n, err
}
