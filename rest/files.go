package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/primary"
)

// Files are untrusted content: whatever a course author uploads is served from
// a host that browsers may hold cookies for. So no type is guessed, nothing in a
// file runs with the host's origin, and no answer that needs a token is kept by
// a shared cache.

// getCommitted answers the signed URL of a file of a version. The signature says
// that a version showed this content under this path.
func getCommitted(x *exchange) error {
	x.crossOrigin()
	path, digest := x.r.PathValue("path"), x.r.PathValue("digest")
	d, derr := bundle.ParseDigest(digest)
	_, ierr := bundle.ParseID(x.r.PathValue("id"))
	if derr != nil || ierr != nil {
		return notFound()
	}
	expires, err := x.signed("/files/" + x.r.PathValue("id") + "/" + digest + "/" + path)
	if err != nil {
		return err
	}
	left := int64(expires.Sub(x.cfg.Now()) / time.Second)
	return x.content(path, d, "public, max-age="+strconv.FormatInt(max(left, 0), 10)+", immutable")
}

// getStaged answers the signed URL of a file that is staged in a draft: whatever
// it is at the moment, and nothing once it is committed or deleted.
func getStaged(x *exchange) error {
	x.crossOrigin()
	x.w.Header().Set("Cache-Control", "no-store")
	path := x.r.PathValue("path")
	if _, err := x.signed("/files/drafts/" + x.r.PathValue("id") + "/" + path); err != nil {
		return err
	}
	f, err := x.cfg.Primary.DraftFile(x.r.Context(), x.id, path)
	if err != nil {
		return err
	}
	if !f.Modified {
		return notFound()
	}
	return x.content(path, f.Digest, "no-store")
}

// signed holds the request's URL against its signature, and waits until this node
// may answer: nobody makes it ask the others who has no right to an answer.
func (x *exchange) signed(path string) (expires time.Time, err error) {
	q := queryOf(x.r)
	values := make(url.Values, len(q))
	for key, value := range q {
		values.Set(key, value)
	}
	expires, err = x.cfg.URLSigner.Verify(path, values, x.cfg.Now())
	if err == nil {
		err = x.barrier()
	}
	return expires, err
}

// crossOrigin lets scripts of the configured origins read files.
func (x *exchange) crossOrigin() {
	if len(x.cfg.CORSOrigins) == 0 {
		return
	}
	h := x.w.Header()
	h.Add("Vary", "Origin")
	origin := x.r.Header.Get("Origin")
	for _, allowed := range x.cfg.CORSOrigins {
		if allowed == "*" || origin != "" && strings.EqualFold(allowed, origin) {
			if allowed != "*" {
				allowed = origin
			}
			h.Set("Access-Control-Allow-Origin", allowed)
			h.Set("Access-Control-Expose-Headers", "Content-Length, Content-Range, ETag")
			return
		}
	}
}

func getVersionFile(x *exchange) error {
	f, err := x.cfg.Primary.File(x.r.Context(), x.ref(), x.r.PathValue("path"))
	if err != nil {
		return err
	}
	return x.content(f.Path, f.Digest, "private, no-cache")
}

func getDraftFile(x *exchange) error {
	f, err := x.cfg.Primary.DraftFile(x.r.Context(), x.id, x.r.PathValue("path"))
	if err != nil {
		return err
	}
	return x.content(f.Path, f.Digest, "no-store")
}

// putDraftFile stages one file from the body, of any size.
func putDraftFile(x *exchange) error {
	ctx, err := x.ctx()
	if err != nil {
		return err
	}
	revision, err := x.ifDraft()
	if err != nil {
		return err
	}
	leave, err := x.enterUpload()
	if err != nil {
		return err
	}
	defer leave()
	d, err := x.cfg.Primary.PutFile(ctx, x.id, revision, x.r.PathValue("path"), x.upload(), x.r.ContentLength)
	if err != nil {
		return uploadError(asList(err))
	}
	x.tag(d.Revision)
	return x.done()
}

func deleteDraftFile(x *exchange) error {
	ctx, err := x.ctx()
	if err != nil {
		return err
	}
	patch := primary.Patch{Files: []primary.FileEdit{{Path: x.r.PathValue("path"), Delete: true}}}
	if patch.IfRevision, err = x.ifDraft(); err != nil {
		return err
	}
	d, err := x.cfg.Primary.PatchDraft(ctx, x.id, patch)
	if err != nil {
		return asList(err)
	}
	x.tag(d.Revision)
	return x.done()
}

// content sends a file, or the part of it that is asked for, as it is read.
func (x *exchange) content(path string, d bundle.Digest, cache string) error {
	located, err := x.cfg.Contents.Locate(x.r.Context(), []bundle.Digest{d})
	if bundle.IsKind(err, bundle.KindBlobGone) { // a 409 would ask the reader to store it again
		return bundle.Errorf(bundle.KindNotFound, "The content of this file is not here any more.")
	}
	if err != nil {
		return err
	}
	f := &file{size: located[0].Size, open: func(offset, length int64) (io.ReadCloser, error) {
		return x.cfg.Contents.OpenLocated(x.r.Context(), located[0], offset, length)
	}}
	f.offset, f.until = oneRange(x.r.Header.Get("Range"), f.size)
	defer f.close()
	if err := f.begin(x.r); err != nil {
		return err
	}
	h := x.w.Header()
	h.Set("Content-Type", contentType(path))
	h.Set("Content-Disposition", disposition(path))
	h.Set("ETag", `"`+d.String()+`"`)
	h.Set("Cache-Control", cache)
	h.Set("X-Content-Type-Options", "nosniff")
	if policy := x.filesPolicy(); policy != "" {
		h.Set("Content-Security-Policy", policy)
	}
	http.ServeContent(x.w, x.r, "", time.Time{}, f)
	if f.err != nil && x.r.Context().Err() == nil {
		return f.err
	}
	return nil
}

// filesPolicy returns the Content-Security-Policy of a file, "" for none. A
// signature holds behind any name, so a file is out of the sandbox only where it
// is asked for by the name that files have to themselves.
func (x *exchange) filesPolicy() string {
	if x.cfg.FilesCSP != "" {
		return x.cfg.FilesCSP
	}
	_, host := x.asked()
	own, err := url.Parse(x.cfg.FilesURL)
	if asked := (&url.URL{Host: host}).Hostname(); err == nil && asked != "" && strings.EqualFold(asked, own.Hostname()) {
		return ""
	}
	return "sandbox"
}

// disposition names the file, whose type decides what a browser does with it.
func disposition(path string) string {
	name := path[strings.LastIndexByte(path, '/')+1:]
	for i := range len(name) {
		if c := name[i]; c < ' ' || c >= 0x7F || c == '"' || c == '\\' || c == '%' {
			return "inline; filename*=UTF-8''" + url.PathEscape(name)
		}
	}
	return `inline; filename="` + name + `"`
}

// file is the content of a blob as http.ServeContent wants it: it opens storage
// where it is read, and never more than is wanted.
type file struct {
	open   func(offset, length int64) (io.ReadCloser, error)
	size   int64
	until  int64 // where the one range that is asked for ends
	offset int64
	part   io.ReadCloser
	partAt int64 // offset at which part goes on
	err    error // the first failure of storage
}

// begin opens what the request will read, so that a failure is still an answer.
func (f *file) begin(r *http.Request) error {
	if r.Method == http.MethodHead || f.offset >= f.size || r.Header.Get("If-None-Match") != "" {
		return nil
	}
	return f.reopen()
}

func (f *file) reopen() error {
	f.close()
	length := int64(-1)
	if f.until > f.offset {
		length = f.until - f.offset
	}
	f.part, f.err = f.open(f.offset, length)
	f.partAt = f.offset
	return f.err
}

func (f *file) close() {
	if f.part != nil {
		_ = f.part.Close() // nothing was written
		f.part = nil
	}
}

// Seek implements io.Seeker and costs nothing.
func (f *file) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of a file")
	}
	f.offset = offset
	return offset, nil
}

// Read implements io.Reader.
func (f *file) Read(b []byte) (int, error) {
	for opened := false; ; opened = true {
		if f.err != nil {
			return 0, f.err
		}
		if f.offset >= f.size {
			return 0, io.EOF
		}
		if f.part == nil || f.partAt != f.offset {
			if err := f.reopen(); err != nil {
				return 0, err
			}
		}
		n, err := f.part.Read(b)
		f.offset += int64(n)
		f.partAt = f.offset
		if errors.Is(err, io.EOF) { // of the part; the file may go on
			f.close()
			if err = nil; n == 0 {
				if !opened {
					continue
				}
				err = io.ErrUnexpectedEOF
			}
		}
		f.err = err
		return n, err
	}
}

// oneRange returns the part of a file of size bytes that a Range header asks
// for: all of it, if there is no header, or one that asks for several or cannot
// be read. What is answered is http.ServeContent's to decide: this says what to
// open, and a wrong guess costs another opening.
func oneRange(header string, size int64) (start, end int64) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	first, last, found := strings.Cut(spec, "-")
	a, aerr := strconv.ParseInt(strings.TrimSpace(first), 10, 62)
	b, berr := strconv.ParseInt(strings.TrimSpace(last), 10, 62)
	switch {
	case !ok || !found:
	case first == "" && berr == nil:
		return max(size-b, 0), size
	case aerr == nil && last == "":
		return a, size
	case aerr == nil && berr == nil:
		return a, min(b+1, size)
	}
	return 0, size
}

// upload returns the body of a request that may be of any size.
func (x *exchange) upload() io.Reader {
	if x.r.Body == nil {
		return http.NoBody
	}
	return uploadBody{x.r.Body}
}

// uploadBody marks what goes wrong with reading a body as the client's affair.
type uploadBody struct{ r io.Reader }

// Read implements io.Reader.
func (u uploadBody) Read(b []byte) (int, error) {
	n, err := u.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = brokenOff(err)
	}
	return n, err
}

// uploadError turns bytes that are not what the request promised, a fault where
// they come from storage, into what they are here.
func uploadError(err error) error {
	if e := asError(err); e != nil && e.Kind == bundle.KindCorrupt {
		return refuse(bundle.KindInvalid, http.StatusBadRequest, e.Message)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled) {
		return refuse(bundle.KindInvalid, http.StatusBadRequest, "The body broke off: "+err.Error()+".")
	}
	return err
}
