package bundle

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := readGolden(t, name); !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%x, want\n%x", name, got, want)
	}
}

func readGolden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pageStore keeps pages in memory and counts what is read.
type pageStore struct {
	pages map[Digest][]byte
	reads int // pages
	calls int
}

func newPageStore() *pageStore { return &pageStore{pages: map[Digest][]byte{}} }

func (s *pageStore) put(pages []Page) {
	for _, p := range pages {
		s.pages[p.Digest] = p.Bytes
	}
}

func (s *pageStore) fetch(_ context.Context, ds []Digest) ([][]byte, error) {
	s.calls++
	if len(ds) > FetchBatch {
		return nil, fmt.Errorf("%d pages in one batch", len(ds))
	}
	out := make([][]byte, len(ds))
	for i, d := range ds {
		b, ok := s.pages[d]
		if !ok {
			return nil, Errorf(KindNotFound, "no page %s", d)
		}
		s.reads++
		out[i] = b
	}
	return out, nil
}

type fatal interface {
	Helper()
	Fatal(...any)
}

// save encodes s into the store and opens it.
func (s *pageStore) save(t fatal, snap *Snapshot) *Manifest {
	t.Helper()
	root, pages, err := Encode(snap)
	if err != nil {
		t.Fatal(err)
	}
	if pages[len(pages)-1].Digest != root {
		t.Fatal("the root is not the last page")
	}
	s.put(pages)
	return s.open(t, root)
}

func (s *pageStore) open(t fatal, root Digest) *Manifest {
	t.Helper()
	m, err := Open(context.Background(), root, s.fetch)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// someFiles makes n files. Wide ones have paths so long that few fit a page,
// so that few make a high tree.
func someFiles(r *rand.Rand, n int, wide bool) map[string]File {
	files := map[string]File{}
	for range n {
		f := someFile(r, r.IntN(4*n+1), wide)
		files[f.Path] = f
	}
	return files
}

func someFile(r *rand.Rand, i int, wide bool) File {
	p := fmt.Sprintf("%02d/file %05d.html", i%7, i)
	if wide {
		p += strings.Repeat("~", 3900)
	}
	return File{p, DigestOf([]byte{byte(r.Uint32()), byte(r.Uint32())}), r.Int64N(1 << 40)}
}

func toSnapshot(files map[string]File, links []Link) *Snapshot {
	s := &Snapshot{Links: links}
	for _, f := range files {
		s.Files = append(s.Files, f)
	}
	s.Sort()
	return s
}

func someLinks(n int) []Link {
	var links []Link
	for i := range n {
		l := Link{Name: fmt.Sprintf("link %03d", i), Direct: Dependency{Bundle: ID{1, byte(i)}, Version: uint64(i + 1), Snapshot: HashOf([]byte{byte(i)})}}
		for j := range i % 3 {
			l.Indirect = append(l.Indirect, Dependency{Bundle: ID{2, byte(j)}, Version: 300, Snapshot: Hash20{byte(j)}})
		}
		links = append(links, l)
	}
	return links
}

func rngGen() *rapid.Generator[*rand.Rand] {
	return rapid.Custom(func(t *rapid.T) *rand.Rand {
		return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	})
}

// filesGen draws sizes around where a tree gains and loses levels.
func filesGen(r *rand.Rand, wide bool) *rapid.Generator[map[string]File] {
	return rapid.Custom(func(t *rapid.T) map[string]File {
		return someFiles(r, rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(100, 500), rapid.IntRange(0, 1200)).Draw(t, "n"), wide)
	})
}
