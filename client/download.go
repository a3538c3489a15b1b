package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

// DownloadOptions say how a version is written to a folder.
type DownloadOptions struct {
	// Overwrite replaces files that are there with another content. Without
	// it, one such file is an error.
	Overwrite bool
	// Progress is told how far it is, often, by one goroutine at a time; nil
	// for nobody.
	Progress func(Progress)
}

// Downloaded is what [Download] did.
type Downloaded struct {
	Bundle  bundle.ID `json:"bundle"`
	Version uint64    `json:"version"`
	Files   int       `json:"files"` // of the version
	Bytes   int64     `json:"bytes"`
	Fetched int       `json:"fetched"` // files that were not there already
}

// Download writes the files of a version below the folder dir, which is made if
// it is not there; number 0 is the newest version. Each file is checked and
// appears whole or not at all; nothing is written outside dir, through links
// neither. What is there with the right content is not fetched again, and files
// that the version does not have stay.
func Download(ctx context.Context, store interface {
	api.Bundles
	api.Versions
}, b bundle.ID, number uint64, dir string, opts DownloadOptions) (Downloaded, error) {
	if number == 0 {
		found, err := store.Bundle(ctx, b)
		if err != nil {
			return Downloaded{}, err
		}
		if number = found.Newest(); number == 0 {
			return Downloaded{}, bundle.Errorf(bundle.KindNotFound, "bundle %s has no version yet", b)
		}
	}
	version, err := store.Version(ctx, b, number)
	if err != nil {
		return Downloaded{}, err
	}
	paths, err := checkedPaths(version.Snapshot.Files)
	if err != nil {
		return Downloaded{}, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return Downloaded{}, fmt.Errorf("folder for the files: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Downloaded{}, fmt.Errorf("folder for the files: %w", err)
	}
	d := &download{store: store, root: root, version: version, opts: opts, track: &tracker{tell: opts.Progress}}
	out, err := d.run(ctx, paths)
	return out, errors.Join(err, root.Close())
}

// checkedPaths returns the paths, sorted, if all of them can be written to a
// folder.
func checkedPaths(files map[string]api.File) ([]string, error) {
	paths := make([]string, 0, len(files))
	for p := range files {
		if err := bundle.CheckPath(p); err != nil {
			return nil, bundle.Errorf(bundle.KindInvalid, "the version cannot be written to a folder: %w", err)
		}
		paths = append(paths, p)
	}
	slices.Sort(paths)
	if err := bundle.CheckPathSet(paths); err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "the version cannot be written to a folder: %w", err)
	}
	return paths, nil
}

// download is one call of Download.
type download struct {
	store   api.Versions
	root    *os.Root
	version api.Version
	opts    DownloadOptions
	track   *tracker
}

func (d *download) run(ctx context.Context, paths []string) (Downloaded, error) {
	out := Downloaded{Bundle: d.version.Bundle, Version: d.version.Number, Files: len(paths)}
	for _, f := range d.version.Snapshot.Files {
		out.Bytes += f.Size
	}
	d.track.begin(StageFetching, out.Files, out.Bytes)
	fetched := make([]bool, len(paths))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * transfers)
	for i, p := range paths {
		if gctx.Err() != nil {
			break
		}
		group.Go(func() (err error) {
			fetched[i], err = d.file(gctx, p, d.version.Snapshot.Files[p])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return Downloaded{}, err
	}
	if err := ctx.Err(); err != nil {
		return Downloaded{}, context.Cause(ctx)
	}
	for _, f := range fetched {
		if f {
			out.Fetched++
		}
	}
	return out, nil
}

// file makes sure that one file is there, and returns whether it was fetched.
func (d *download) file(ctx context.Context, name string, want api.File) (fetched bool, err error) {
	same, err := d.present(name, want)
	if err != nil {
		return false, err
	}
	if same {
		d.track.add(1, want.Size)
		return false, nil
	}
	if dir := path.Dir(name); dir != "." {
		if err := d.root.MkdirAll(dir, 0o777); err != nil {
			return false, fmt.Errorf("folder %s: %w", dir, err)
		}
	}
	if err := again(ctx, func() error { return d.fetch(ctx, name, want) }); err != nil {
		return false, err
	}
	return true, nil
}

// present reports whether the file is there with the right content. Another
// content is an error unless it may be overwritten.
func (d *download) present(name string, want api.File) (bool, error) {
	info, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", name, err)
	}
	if info.IsDir() {
		return false, bundle.Errorf(bundle.KindConflict, "%s is a folder here, and a file in the version: download to another folder", name)
	}
	if info.Mode().IsRegular() && info.Size() == want.Size {
		hash, err := hashFile(d.root.FS(), name, make([]byte, 32<<10))
		if err != nil {
			return false, err
		}
		if hash.Hash == want.Hash {
			return true, nil
		}
	}
	if !d.opts.Overwrite {
		return false, bundle.Errorf(bundle.KindConflict,
			"%s is there already with another content: download to another folder, or allow overwriting", name)
	}
	return false, nil
}

// fetch writes one file beside its place and moves it there once it is checked.
func (d *download) fetch(ctx context.Context, name string, want api.File) (err error) {
	body, err := d.store.OpenVersionFile(ctx, d.version.Bundle, d.version.Number, name, api.Range{})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer func() { _ = body.Close() }() // nothing was written to it
	temp := path.Join(path.Dir(name), ".blockstored-"+bundle.NewID().String())
	file, err := d.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	var added int64
	defer func() {
		if err != nil {
			_ = d.root.Remove(temp)
			d.track.add(0, -added)
		}
	}()
	hash := bundle.NewHasher()
	source := &meter{r: io.LimitReader(body, want.Size+1), add: func(n int64) { added += n; d.track.add(0, n) }}
	err = copyContent(ctx, io.MultiWriter(file, hash), source)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if got := hash.Blob(); got.Size != want.Size || got.Hash != want.Hash {
		return bundle.Errorf(bundle.KindCorrupt, "%s: the bytes that came are not those of the version; nothing was written", name)
	}
	if err := d.root.Rename(temp, name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	d.track.add(1, 0)
	return nil
}

// copyContent tells a failure to read, which may pass, from a failure to write.
func copyContent(ctx context.Context, to io.Writer, from io.Reader) error {
	source := &failingReader{r: from}
	_, err := io.Copy(to, source)
	switch {
	case source.err == nil:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return bundle.Errorf(bundle.KindUnavailable, "the content broke off: %w", source.err)
}

// failingReader remembers why reading failed.
type failingReader struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (f *failingReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}
