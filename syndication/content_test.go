package syndication

import (
	"context"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

// many returns n files of some bytes each.
func many(n int) map[string]string {
	files := make(map[string]string)
	for i := range n {
		name := strings.Repeat("d/", i%3) + "file" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		files[name] = strings.Repeat(name, 5)
	}
	return files
}

// pages collects the pages that a request for manifests brings.
func pages(t *testing.T, c *Client, wants ...ManifestWant) map[bundle.Digest][]byte {
	t.Helper()
	got := make(map[bundle.Digest][]byte)
	err := c.Manifests(t.Context(), wants, func(f bundle.Frame) error {
		page, _, err := f.Open()
		got[f.Digest] = page
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func fetchFrom(pages map[bundle.Digest][]byte) bundle.Fetch {
	return func(_ context.Context, ds []bundle.Digest) ([][]byte, error) {
		var bs [][]byte
		for _, d := range ds {
			b, ok := pages[d]
			if !ok {
				return nil, bundle.Errorf(bundle.KindNotFound, "page %s is missing", d)
			}
			bs = append(bs, b)
		}
		return bs, nil
	}
}

func TestManifestsAndFilesArriveWholeAndOnlyWhatIsMissing(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	x := a.bundle(a.collection("c"), "x")
	files := many(1500)
	v1 := a.publish(x, files)
	files["d/filea"], files["new"] = "changed", "added"
	v2 := a.publish(x, files)
	a.checkpoint()
	f := newFollow(t, a.peerWith(b, all), a)
	bodies := versions(f.all())
	root1, root2 := bodies[v1].Manifest, bodies[v2].Manifest

	got := pages(t, f.client, ManifestWant{Ref: v1, Manifest: root1})
	first := len(got)
	m, err := bundle.Open(t.Context(), root1, fetchFrom(got))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(t.Context(), fetchFrom(got)); err != nil {
		t.Fatal(err)
	}
	delta := pages(t, f.client, ManifestWant{Ref: v2, Manifest: root2, Have: 1})
	if len(delta) >= first/2 {
		t.Errorf("%d pages changed of %d", len(delta), first)
	}
	maps.Copy(got, delta)
	m, err = bundle.Open(t.Context(), root2, fetchFrom(got))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(t.Context(), fetchFrom(got)); err != nil {
		t.Fatal(err)
	}
	if both := pages(t, f.client, ManifestWant{Ref: v1, Manifest: root1}, ManifestWant{Ref: v2, Manifest: root2}); len(both) != len(got) {
		t.Errorf("%d pages of both, want %d", len(both), len(got))
	}
	below := pages(t, f.client, ManifestWant{Ref: v1, Manifest: root1, Root: got[root1]})
	if len(below) != first-1 || below[root1] != nil {
		t.Errorf("%d pages below the root, want %d", len(below), first-1)
	}
	checkFiles(t, f.client, m, fetchFrom(got), v2, files)
}

// checkFiles fetches every third file and compares.
func checkFiles(t *testing.T, c *Client, m *bundle.Manifest, fetch bundle.Fetch, ref bundle.VersionRef, files map[string]string) {
	t.Helper()
	want := BlobWant{Ref: ref}
	var paths []string
	at := 0
	err := m.Walk(t.Context(), fetch, func(f bundle.File) error {
		if at%3 == 0 {
			want.Positions, paths = append(want.Positions, at), append(paths, f.Path)
		}
		at++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Blobs(t.Context(), []BlobWant{want}, func(f bundle.Frame) error {
		b, _, err := f.Open()
		if string(b) != files[paths[0]] {
			t.Errorf("%s: got %q", paths[0], b)
		}
		paths = paths[1:]
		return err
	})
	if err != nil || len(paths) != 0 {
		t.Errorf("%d files are missing, %v", len(paths), err)
	}
	err = c.Blobs(t.Context(), []BlobWant{{Ref: ref, Positions: []int{at}}}, func(bundle.Frame) error { return nil })
	if !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("a file beyond the last: %v", err)
	}
}

func TestLargeFilesAreFetchedByRange(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	large := strings.Repeat("0123456789abcdef", bundle.MaxFrameBlob/16+1000)
	v1 := a.publish(a.bundle(a.collection("c"), "x"), map[string]string{"large": large, "small": "s", "a b&c/ü": "odd"})
	a.checkpoint()
	client := a.peerWith(b, all)
	read := func(path string, offset int64) string {
		t.Helper()
		r, size, err := client.File(t.Context(), v1, path, offset)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got, err := io.ReadAll(r)
		if err != nil || size != offset+int64(len(got)) {
			t.Fatalf("%s: size %d, %d bytes from %d, %v", path, size, len(got), offset, err)
		}
		return string(got)
	}
	for _, offset := range []int64{0, 1, 100_000, int64(len(large)) - 1} {
		if read("large", offset) != large[offset:] {
			t.Errorf("other bytes from %d", offset)
		}
	}
	if read("small", 0) != "s" || read("a b&c/ü", 1) != "dd" {
		t.Error("other bytes of a small file")
	}
	_, _, err := client.File(t.Context(), v1, "large", int64(len(large)))
	if !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("from its end: %v", err)
	}
	if _, _, err = client.File(t.Context(), v1, "none", 0); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("no such file: %v", err)
	}
	err = client.Blobs(t.Context(), []BlobWant{{Ref: v1, Positions: []int{0, 1, 2}}}, func(bundle.Frame) error { return nil })
	if !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("a large file as a frame: %v", err)
	}
}
