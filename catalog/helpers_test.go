package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/blockstored/blockstored/bundle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a catalog under test with its own deterministic clock, ids and seeds.
type site struct {
	testing.TB
	*DB
	dir   string
	index uint64
	log   []Entry
	n     uint64
}

func open(t testing.TB) *site {
	t.Helper()
	s := &site{TB: t, dir: t.TempDir()}
	s.reopen()
	t.Cleanup(func() { _ = s.DB.Close() })
	return s
}

func (s *site) reopen() {
	s.Helper()
	db, err := Open(context.Background(), s.dir, Options{})
	if err != nil {
		s.Fatal(err)
	}
	s.DB = db
}

// newSite is a catalog with an instance.
func newSite(t testing.TB) *site {
	s := open(t)
	s.must(InitInstance{Instance: s.id("instance"), Name: "here", Generation: 1, Secrets: map[string][]byte{"b": {2}, "a": {1}}})
	return s
}

// id is a UUID that name alone decides.
func (s *site) id(name string) bundle.ID { return idOf(name) }

func idOf(name string) bundle.ID {
	sum := sha256.Sum256([]byte(name))
	id := bundle.ID(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

func (s *site) command(body Body) Command {
	s.n++
	c := Command{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() + int64(s.n)*1000, Body: body}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("command"), s.n))
	c.Seed = sum
	copy(c.Request[:], sum[16:])
	return c
}

func (s *site) apply(cs ...Command) []Result {
	s.Helper()
	entries := make([]Entry, len(cs))
	for i, c := range cs {
		b, err := c.Encode()
		if err != nil {
			s.Fatal(err)
		}
		s.index++
		entries[i] = Entry{Index: s.index, Term: 1, Data: b}
	}
	s.log = append(s.log, entries...)
	rs, err := s.DB.Apply(entries)
	if err != nil {
		s.Fatal(err)
	}
	return rs
}

func (s *site) do(body Body) Result {
	s.Helper()
	return s.apply(s.command(body))[0]
}

func (s *site) must(body Body) Result {
	s.Helper()
	r := s.do(body)
	if r.Err != nil {
		s.Fatalf("%T: %v", body, r.Err)
	}
	return r
}

func (s *site) refused(body Body, kind bundle.Kind, message string) *bundle.Error {
	s.Helper()
	before := s.digest()
	r := s.do(body)
	if r.Err == nil {
		s.Fatalf("%T was not refused", body)
	}
	if r.Err.Kind != kind || message != "" && r.Err.Message != message {
		s.Fatalf("%T was refused with %s %q, want %s %q", body, r.Err.Kind, r.Err.Message, kind, message)
	}
	if s.digest() != before {
		s.Fatalf("%T was refused and changed something", body)
	}
	return r.Err
}

func (s *site) view(fn func(v *View) error) {
	s.Helper()
	if err := s.DB.View(context.Background(), fn); err != nil {
		s.Fatal(err)
	}
}

// read is one query of its own view.
func read[T any](s *site, fn func(v *View) (T, error)) T {
	s.Helper()
	var out T
	s.view(func(v *View) (err error) {
		out, err = fn(v)
		return err
	})
	return out
}

// fails expects a query to fail with kind.
func fails[T any](s *site, kind bundle.Kind, fn func(v *View) (T, error)) {
	s.Helper()
	err := s.DB.View(context.Background(), func(v *View) error {
		_, err := fn(v)
		return err
	})
	if !bundle.IsKind(err, kind) {
		s.Fatalf("got %v, want an error of kind %s", err, kind)
	}
}

// digest is the dump's, without the requests and the clock, which refusals
// move too.
func (s *site) digest() bundle.Digest {
	s.Helper()
	h := sha256.New()
	s.view(func(v *View) error {
		return v.dump(h, func(table string) bool { return table != "requests" && table != "state" })
	})
	return bundle.Digest(h.Sum(nil))
}

func blobOf(content string) bundle.Located {
	b := bundle.BlobOf([]byte(content))
	return bundle.Located{Blob: b, Location: bundle.Location{Object: b.Digest, Length: b.Size}}
}

func packed(pack, content string, at int64) bundle.Located {
	b := bundle.BlobOf([]byte(content))
	return bundle.Located{Blob: b, Location: bundle.Location{Object: bundle.DigestOf([]byte(pack)), Offset: at, Length: b.Size, Codec: bundle.CodecZstd}}
}

func fileOp(path, content string) FileOp {
	b := bundle.BlobOf([]byte(content))
	return FileOp{Path: path, Digest: b.Digest, Size: b.Size}
}

// bundleIn makes a collection and a bundle with a draft, named after name.
func (s *site) bundleIn(name string) (b, draft bundle.ID) {
	s.Helper()
	c := s.id("collection " + name)
	if err := s.DB.View(context.Background(), func(v *View) error { _, err := v.Collection(c); return err }); err != nil {
		s.must(CreateCollection{ID: c, Title: name})
	}
	b, draft = s.id("bundle "+name), s.id("draft "+name)
	s.must(CreateBundle{ID: b, Collection: c, Slug: "slug", Title: name, Description: "about " + name})
	s.must(CreateDraft{ID: draft, Bundle: b, Name: "studio_draft"})
	return b, draft
}

// commit publishes the draft with a manifest of its own.
func (s *site) commit(draft bundle.ID, deps ...Dep) Result {
	s.Helper()
	return s.must(s.commitOf(draft, deps...))
}

func (s *site) commitOf(draft bundle.ID, deps ...Dep) CommitVersion {
	s.Helper()
	var c CommitVersion
	s.view(func(v *View) error {
		d, err := v.Draft(draft)
		if err != nil {
			return err
		}
		b, err := v.Bundle(d.Bundle)
		manifest := blobOf(fmt.Sprintf("manifest of %s at %d", d.Bundle, b.Head+1))
		c = CommitVersion{
			Draft: draft, Revision: d.Revision, ExpectedHead: b.Head,
			Snapshot:          Snapshot{Manifest: manifest.Digest, Files: 1, Bytes: 10, Deps: deps},
			Blobs:             []bundle.Located{manifest},
			ChangeDescription: "changed", License: "CC0-1.0", Redistribute: "peers",
		}
		return err
	})
	return c
}
