package rest

import (
	"archive/tar"
	"archive/zip"
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// archiver writes files into an archive, in the order they are to stand there.
type archiver interface {
	// begin starts a file; its bytes are then written to the writer.
	begin(f bundle.File) (io.Writer, error)
	// end completes the archive.
	end() error
}

// archiveTypes are the media types of the formats. Never changed.
var archiveTypes = map[string]string{"tar": "application/x-tar", "zip": "application/zip"}

// getArchive sends all files of a version as one archive while it reads them.
// The same version gives the same bytes. Only of a zip something stays in
// memory, the names for its directory.
//
// What can be found wrong before the first byte is an answer. After that the
// connection is broken off, so that a part never looks like the whole.
func getArchive(x *exchange) error {
	format := queryOf(x.r)["format"]
	if format == "" {
		format = "tar"
	}
	media, ok := archiveTypes[format]
	if !ok {
		return refuseField("format", "Choose one of tar, zip.")
	}
	ctx := x.r.Context()
	row, m, err := x.cfg.Primary.Snapshot(ctx, x.ref())
	if err != nil {
		return err
	}
	if err := x.archivable(ctx, m); err != nil {
		return err
	}
	h := x.w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Disposition", `attachment; filename="`+x.id.String()+"-"+strconv.FormatUint(x.number, 10)+"."+format+`"`)
	h.Set("Cache-Control", "private, no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method == http.MethodHead {
		return nil
	}
	if err := x.archive(ctx, newArchiver(format, x.w, row), m); err != nil {
		if ctx.Err() != nil { // the client went away; nothing to log
			panic(http.ErrAbortHandler)
		}
		return err
	}
	return nil
}

// archivable returns why a version cannot be an archive: it has paths that must
// not be unpacked, or contents that are not here.
func (x *exchange) archivable(ctx context.Context, m *bundle.Manifest) error {
	var batch []bundle.Digest
	locate := func() error {
		_, err := x.cfg.Contents.Locate(ctx, batch)
		batch = batch[:0]
		if bundle.IsKind(err, bundle.KindBlobGone) {
			return bundle.Errorf(bundle.KindNotFound, "The content of a file of this version is not here any more; fetch its files one by one.")
		}
		return err
	}
	err := m.Walk(ctx, x.cfg.Primary.Fetch, func(f bundle.File) error {
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

// archive writes all files of m, each verified, and completes the archive.
func (x *exchange) archive(ctx context.Context, a archiver, m *bundle.Manifest) error {
	var batch []bundle.File
	bytes := int64(0)
	flush := func() error {
		err := x.archiveSmall(ctx, a, batch)
		batch, bytes = batch[:0], 0
		return err
	}
	err := m.Walk(ctx, x.cfg.Primary.Fetch, func(f bundle.File) error {
		if f.Size > bundle.MaxFrameBlob {
			if err := flush(); err != nil {
				return err
			}
			return x.archiveLarge(ctx, a, f)
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
	return a.end()
}

func (x *exchange) archiveSmall(ctx context.Context, a archiver, files []bundle.File) error {
	if len(files) == 0 {
		return nil
	}
	digests := make([]bundle.Digest, len(files))
	for i, f := range files {
		digests[i] = f.Digest
	}
	contents, err := x.cfg.Contents.Fetch(ctx, digests)
	if err != nil {
		return err
	}
	for i, f := range files {
		w, err := a.begin(f)
		if err != nil {
			return err
		}
		if _, err := w.Write(contents[i]); err != nil {
			return err
		}
	}
	return nil
}

// archiveLarge sends a file as it is read and holds it against its digest.
func (x *exchange) archiveLarge(ctx context.Context, a archiver, f bundle.File) (err error) {
	r, _, err := x.cfg.Contents.Open(ctx, f.Digest, 0, -1)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // nothing was written
	w, err := a.begin(f)
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

func newArchiver(format string, w io.Writer, v catalog.Version) archiver {
	made := time.UnixMicro(v.Created).UTC().Truncate(time.Second)
	if format == "zip" {
		return &zipArchiver{zip.NewWriter(w), made}
	}
	return &tarArchiver{tar.NewWriter(w), made}
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
