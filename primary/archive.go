package primary

import (
	"archive/tar"
	"archive/zip"
	"context"
	"io"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// Archive is all files of one version, ready to be written as one tar or zip.
// The same version gives the same bytes. Only of a zip something stays in
// memory, the names for its directory.
type Archive struct {
	p        *Primary
	format   string
	version  catalog.Version
	manifest *bundle.Manifest
}

// Archive finds a version for an archive of format "tar" or "zip". What can be
// known to be wrong before the first byte is an error here: KindNotFound if
// there is no such version or a content of it is not here any more,
// KindInvalid for another format or a path that must not be unpacked.
func (p *Primary) Archive(ctx context.Context, ref bundle.VersionRef, format string) (*Archive, error) {
	if format != "tar" && format != "zip" {
		return nil, bundle.Errorf(bundle.KindInvalid, "format: Choose one of tar, zip.")
	}
	row, m, err := p.Snapshot(ctx, ref)
	if err != nil {
		return nil, err
	}
	a := &Archive{p, format, row, m}
	return a, a.check(ctx)
}

// Write writes the archive while it reads the files, each of which is
// verified. After an error w holds a part of an archive.
func (a *Archive) Write(ctx context.Context, w io.Writer) error {
	made := time.UnixMicro(a.version.Created).UTC().Truncate(time.Second)
	if a.format == "zip" {
		return a.write(ctx, &zipArchiver{zip.NewWriter(w), made})
	}
	return a.write(ctx, &tarArchiver{tar.NewWriter(w), made})
}

// check returns why a version cannot be an archive: it has paths that must not be
// unpacked, or contents that are not here.
func (a *Archive) check(ctx context.Context) error {
	var batch []bundle.Digest
	locate := func() error {
		_, err := a.p.contents.Locate(ctx, batch)
		batch = batch[:0]
		if bundle.IsKind(err, bundle.KindBlobGone) {
			return bundle.Errorf(bundle.KindNotFound, "The content of a file of this version is not here any more; fetch its files one by one.")
		}
		return err
	}
	err := a.manifest.Walk(ctx, a.p.fetch, func(f bundle.File) error {
		if f.Marked() {
			return bundle.Errorf(bundle.KindInvalid, "The path %q must not be unpacked into a folder; fetch the files of this version one by one.", f.Path)
		}
		if batch = append(batch, f.Digest); len(batch) == 1000 {
			return locate()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return locate()
}

// Small files are read some at a time, since they lie together.
const (
	archiveFiles = 256
	archiveBytes = 4 << 20
)

// write writes all files and completes the archive.
func (a *Archive) write(ctx context.Context, to archiver) error {
	var batch []bundle.File
	bytes := int64(0)
	flush := func() error {
		err := a.writeSmall(ctx, to, batch)
		batch, bytes = batch[:0], 0
		return err
	}
	err := a.manifest.Walk(ctx, a.p.fetch, func(f bundle.File) error {
		if f.Size > bundle.MaxFrameBlob {
			if err := flush(); err != nil {
				return err
			}
			return a.writeLarge(ctx, to, f)
		}
		batch, bytes = append(batch, f), bytes+f.Size
		if len(batch) == archiveFiles || bytes > archiveBytes {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	return to.end()
}

func (a *Archive) writeSmall(ctx context.Context, to archiver, files []bundle.File) error {
	if len(files) == 0 {
		return nil
	}
	digests := make([]bundle.Digest, len(files))
	for i, f := range files {
		digests[i] = f.Digest
	}
	contents, err := a.p.contents.Fetch(ctx, digests)
	if err != nil {
		return err
	}
	for i, f := range files {
		w, err := to.begin(f)
		if err != nil {
			return err
		}
		if _, err := w.Write(contents[i]); err != nil {
			return err
		}
	}
	return nil
}

// writeLarge writes a file as it is read and holds it against its digest.
func (a *Archive) writeLarge(ctx context.Context, to archiver, f bundle.File) (err error) {
	r, _, err := a.p.contents.Open(ctx, f.Digest, 0, -1)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // nothing was written
	w, err := to.begin(f)
	if err != nil {
		return err
	}
	sum := bundle.NewHasher()
	if _, err := io.Copy(io.MultiWriter(w, sum), r); err != nil {
		return err
	}
	if got := sum.Blob(); got.Digest != f.Digest || got.Size != f.Size {
		return bundle.Errorf(bundle.KindCorrupt, "the content of file %q is not what its digest %s promises", f.Path, f.Digest)
	}
	return nil
}

// archiver writes files into an archive, in the order they are to stand there.
type archiver interface {
	// begin starts a file; its bytes are then written to the writer.
	begin(f bundle.File) (io.Writer, error)
	// end completes the archive.
	end() error
}

type tarArchiver struct {
	w    *tar.Writer
	made time.Time
}

func (a *tarArchiver) begin(f bundle.File) (io.Writer, error) {
	return a.w, a.w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: f.Path, Size: f.Size, Mode: 0o644, ModTime: a.made,
	})
}

// end also finds a last file that is too short.
func (a *tarArchiver) end() error { return a.w.Close() }

type zipArchiver struct {
	w    *zip.Writer
	made time.Time
}

func (a *zipArchiver) begin(f bundle.File) (io.Writer, error) {
	return a.w.CreateHeader(&zip.FileHeader{Name: f.Path, Method: zip.Deflate, Modified: a.made})
}

func (a *zipArchiver) end() error { return a.w.Close() }
