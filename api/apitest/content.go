package apitest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

func (s *suite) forks() {
	origin, d := s.published("a", "1")
	s.patch(d.ID, "a", "2")
	s.commit(d.ID)
	into := s.collection()
	plain, err := s.s.ForkBundle(s.ctx(), origin.ID, api.Fork{Collection: into.ID})
	s.must(err)
	if plain.ID == origin.ID || plain.Collection != into.ID || plain.Title != origin.Title || plain.Slug != origin.Slug ||
		plain.ReadOnly || !slices.Equal(plain.Versions, []uint64{1}) || plain.Revision == 0 {
		s.t.Errorf("forked %+v", plain)
	}
	equal(s, "content of the newest", s.file(plain.ID, 1, "a"), "2")
	text := "of old"
	named, err := s.s.ForkBundle(s.ctx(), origin.ID, api.Fork{Version: 1, Collection: into.ID, Title: "T", Slug: "t", Description: &text})
	s.must(err)
	if named.Title != "T" || named.Slug != "t" || named.Description != text {
		s.t.Errorf("forked %+v", named)
	}
	equal(s, "content of version 1", s.file(named.ID, 1, "a"), "1")
	_, err = s.s.ForkBundle(s.ctx(), origin.ID, api.Fork{Version: 9, Collection: into.ID})
	s.kind("fork an unknown version", err, bundle.KindInvalid)
	_, err = s.s.ForkBundle(s.ctx(), s.newBundle("empty").ID, api.Fork{Collection: into.ID})
	s.kind("fork a bundle without versions", err, bundle.KindInvalid)
	_, err = s.s.ForkBundle(s.ctx(), bundle.NewID(), api.Fork{Collection: into.ID})
	s.kind("fork an unknown bundle", err, bundle.KindNotFound)
	_, err = s.s.ForkBundle(s.ctx(), origin.ID, api.Fork{Collection: bundle.NewID()})
	s.kind("fork into an unknown collection", err, bundle.KindInvalid)
}

func (s *suite) diffs() {
	target, _ := s.published("t", "t")
	b, d := s.published("same", "0", "changed", "1", "deleted", "2")
	s.patch(d.ID, "changed", "one", "added", "3")
	_, err := s.s.DeleteDraftFile(s.ctx(), d.ID, "deleted")
	s.must(err)
	s.link(d.ID, "l", target.ID, 1)
	s.commit(d.ID)
	diff, err := s.s.Diff(s.ctx(), b.ID, 1, 2)
	s.must(err)
	file := func(path, content string) []api.ChangedFile {
		return []api.ChangedFile{{Path: path, Size: int64(len(content)), Hash: bundle.HashOf([]byte(content))}}
	}
	if f := diff.Files; !slices.Equal(f.Added, file("added", "3")) || !slices.Equal(f.Changed, file("changed", "one")) ||
		!slices.Equal(f.Deleted, file("deleted", "2")) {
		s.t.Errorf("files differ by %+v", f)
	}
	if l := diff.Links; len(l.Added) != 1 || l.Added[0].Name != "l" || l.Added[0].Direct.Bundle != target.ID || l.Added[0].Indirect == nil ||
		l.Changed == nil || len(l.Changed)+len(l.Deleted) != 0 {
		s.t.Errorf("links differ by %+v", l)
	}
	back, err := s.s.Diff(s.ctx(), b.ID, 2, 1)
	s.must(err)
	if !slices.Equal(back.Files.Deleted, diff.Files.Added) || len(back.Links.Deleted) != 1 {
		s.t.Errorf("back differ %+v", back)
	}
	_, err = s.s.Diff(s.ctx(), b.ID, 1, 3)
	s.kind("a diff with an unknown version", err, bundle.KindNotFound)
}

func (s *suite) ranges() {
	large := strings.Repeat("0123456789", 60_000)
	b, _ := s.published("small", "0123456789", "large", large, "empty", "")
	for path, content := range map[string]string{"small": "0123456789", "large": large, "empty": ""} {
		size := int64(len(content))
		for _, r := range []api.Range{
			{}, {Length: 1}, {Length: size}, {Length: size + 5}, {Offset: 3}, {Offset: 3, Length: 4}, {Offset: size - 1},
			{Offset: size - 1, Length: 9}, {Offset: size}, {Offset: size + 1, Length: 1}, {Offset: -1}, {Length: -1},
		} {
			what := fmt.Sprintf("%s %+v", path, r)
			got, err := s.s.OpenVersionFile(s.ctx(), b.ID, 1, path, r)
			if r.Offset < 0 || r.Length < 0 || r.Offset > 0 && r.Offset >= size {
				s.kind(what, err, bundle.KindInvalid)
				continue
			}
			end := size
			if r.Length > 0 {
				end = min(size, r.Offset+r.Length)
			}
			if got := s.read(got, err); got != content[r.Offset:end] {
				s.t.Errorf("%s: %d bytes, want %d", what, len(got), end-r.Offset)
			}
		}
	}
	_, err := s.s.OpenVersionFile(s.ctx(), b.ID, 1, "none", api.Range{})
	s.kind("open a file that is not there", err, bundle.KindNotFound)
	_, err = s.s.OpenVersionFile(s.ctx(), b.ID, 2, "small", api.Range{})
	s.kind("open a file of an unknown version", err, bundle.KindNotFound)
}

func (s *suite) archives() {
	large := strings.Repeat("x", bundle.MaxFrameBlob+1)
	b, _ := s.published("a", "1", "dir/ü", "2", "large", large)
	want := map[string]string{"a": "1", "dir/ü": "2", "large": large}
	for format, unpack := range map[api.ArchiveFormat]func([]byte) (map[string]string, error){api.Tar: untar, api.Zip: unzip} {
		var one, two bytes.Buffer
		s.must(s.s.WriteArchive(s.ctx(), b.ID, 1, format, &one))
		s.must(s.s.WriteArchive(s.ctx(), b.ID, 1, format, &two))
		if !bytes.Equal(one.Bytes(), two.Bytes()) {
			s.t.Errorf("%s: two archives of one version differ", format)
		}
		got, err := unpack(one.Bytes())
		s.must(err)
		if paths(got) != paths(want) || got["dir/ü"] != "2" || got["large"] != large {
			s.t.Errorf("%s holds %s", format, paths(got))
		}
	}
	s.kind("another format", s.s.WriteArchive(s.ctx(), b.ID, 1, "rar", io.Discard), bundle.KindInvalid)
	s.kind("an unknown version", s.s.WriteArchive(s.ctx(), b.ID, 2, api.Tar, io.Discard), bundle.KindNotFound)
	full := errors.New("the disk is full")
	if err := s.s.WriteArchive(s.ctx(), b.ID, 1, api.Tar, failing{full}); !errors.Is(err, full) {
		s.t.Errorf("a writer that fails: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func untar(raw []byte) (map[string]string, error) {
	out := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		out[h.Name] = string(content)
	}
}

func unzip(raw []byte) (map[string]string, error) {
	r, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, f := range r.File {
		content, err := f.Open()
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(content)
		if err := errors.Join(err, content.Close()); err != nil {
			return nil, err
		}
		out[f.Name] = string(text)
	}
	return out, nil
}

func (s *suite) blobs() {
	_, d := s.draftOf()
	unique := bundle.NewID().String()
	var frames []byte
	var ds []bundle.Digest
	files := map[string]api.FileEdit{}
	for k := range 300 {
		blob := fmt.Append(nil, unique, k)
		frames = bundle.MakeFrame(blob).AppendTo(frames)
		ds = append(ds, bundle.DigestOf(blob))
		files[fmt.Sprintf("%03d", k)] = api.FileEdit{Stored: ds[k]}
	}
	large := []byte(strings.Repeat(unique, 10_000))
	ds = append(ds, bundle.DigestOf(large))
	missing, err := s.s.MissingBlobs(s.ctx(), append(ds, ds[0], ds[300]))
	s.must(err)
	if !slices.Equal(missing, ds) {
		s.t.Errorf("%d of %d are missing", len(missing), len(ds))
	}
	_, err = s.s.PatchDraft(s.ctx(), d.ID, api.Patch{Files: files})
	s.kind("a patch that names what is not stored", err, bundle.KindBlobGone)

	n, err := s.s.StoreFrames(s.ctx(), bytes.NewReader(frames), int64(len(frames)))
	equal(s, "frames stored", must(s, n, err), 300)
	n, err = s.s.StoreFrames(s.ctx(), bytes.NewReader(frames), -1)
	equal(s, "frames stored again", must(s, n, err), 300)
	s.must(s.s.StoreBlob(s.ctx(), ds[300], bytes.NewReader(large), int64(len(large))))
	s.must(s.s.StoreBlob(s.ctx(), ds[300], bytes.NewReader(large), -1))
	missing, err = s.s.MissingBlobs(s.ctx(), ds)
	if len(must(s, missing, err)) != 0 {
		s.t.Errorf("%d are still missing", len(missing))
	}
	files["large"] = api.FileEdit{Stored: ds[300]}
	_, err = s.s.PatchDraft(s.ctx(), d.ID, api.Patch{Files: files})
	s.must(err)
	equal(s, "a stored file", s.read(s.s.OpenDraftFile(s.ctx(), d.ID, "007", api.Range{})), unique+"7")
	equal(s, "size of the large one", s.draft(d.ID).Staged.Files["large"].Size, int64(len(large)))

	s.kind("bytes of another digest", s.s.StoreBlob(s.ctx(), ds[0], strings.NewReader("other"), 5), bundle.KindInvalid)
	spoilt := slices.Clone(frames)
	spoilt[len(spoilt)-1] ^= 1
	_, err = s.s.StoreFrames(s.ctx(), bytes.NewReader(spoilt), int64(len(spoilt)))
	s.kind("spoilt frames", err, bundle.KindInvalid)
	_, err = s.s.StoreFrames(s.ctx(), bytes.NewReader(frames[:len(frames)-3]), -1)
	s.kind("frames that break off", err, bundle.KindInvalid)
}

func (s *suite) sizes() {
	_, d := s.draftOf()
	large := strings.Repeat("x", 1<<20)
	for _, content := range []string{"", "12345", large} {
		for _, off := range []int64{-1, 1, 5} {
			size := int64(len(content)) + off
			if size < 0 {
				continue
			}
			what := fmt.Sprintf("%d bytes announced as %d", len(content), size)
			_, err := s.s.PutDraftFile(s.ctx(), d.ID, "f", strings.NewReader(content), size)
			s.kind(what, err, bundle.KindInvalid)
			blob := content + bundle.NewID().String()
			digest := bundle.DigestOf([]byte(blob))
			s.kind(what, s.s.StoreBlob(s.ctx(), digest, strings.NewReader(blob), int64(len(blob))+off), bundle.KindInvalid)
			missing, err := s.s.MissingBlobs(s.ctx(), []bundle.Digest{digest})
			equal(s, what+": still missing", len(must(s, missing, err)), 1)
		}
	}
	broken := errors.New("the source broke")
	_, err := s.s.PutDraftFile(s.ctx(), d.ID, "f", io.MultiReader(strings.NewReader(large), brokenReader{broken}), -1)
	if !errors.Is(err, broken) {
		s.t.Errorf("a source that fails: %v", err)
	}
	equal(s, "files of the draft", paths(s.draft(d.ID).Staged.Files), "")
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

func (s *suite) cancelled() {
	b, d := s.published("a", "1")
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(s.ctx())
	cancel(cause)
	_, version := s.s.Version(ctx, b.ID, 1)
	_, patch := s.s.PatchDraft(ctx, d.ID, api.Patch{})
	_, open := s.s.OpenVersionFile(ctx, b.ID, 1, "a", api.Range{})
	_, create := s.s.CreateCollection(ctx, "never")
	_, put := s.s.PutDraftFile(ctx, d.ID, "a", strings.NewReader("x"), 1)
	for what, err := range map[string]error{
		"read": version, "list": last(s.s.Collections(ctx)), "change": patch, "open": open, "create": create, "stream": put,
	} {
		if !errors.Is(err, cause) {
			s.t.Errorf("%s after the end of its context: %v", what, err)
		}
	}
}

func (s *suite) levels() {
	b, d := s.published("a", "1")
	for _, level := range []api.Level{"", api.Consistent, api.Local, api.Strong, "other"} {
		ctx := api.WithLevel(s.ctx(), level)
		_, version := s.s.Version(ctx, b.ID, 1)
		_, draft := s.s.Draft(ctx, d.ID)
		_, diff := s.s.Diff(ctx, b.ID, 1, 1)
		_, missing := s.s.MissingBlobs(ctx, nil)
		for what, err := range map[string]error{
			"version": version, "draft": draft, "list": last(s.s.Bundles(ctx, api.BundleFilter{Collection: b.Collection})),
			"diff": diff, "blobs": missing, "archive": s.s.WriteArchive(ctx, b.ID, 1, api.Tar, io.Discard),
		} {
			if level == "other" {
				s.kind(what+" of no level", err, bundle.KindInvalid)
			} else if err != nil {
				s.t.Errorf("%s of level %q: %v", what, level, err)
			}
		}
		content, err := s.s.OpenVersionFile(ctx, b.ID, 1, "a", api.Range{})
		if level == "other" {
			s.kind("file of no level", err, bundle.KindInvalid)
		} else {
			equal(s, "a at level "+string(level), s.read(content, err), "1")
		}
	}
}

func (s *suite) healthy() { s.must(s.s.Healthy(s.ctx())) }
