package client

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

func TestScanTakesRegularFilesInPathOrder(t *testing.T) {
	files, skipped, err := scan(t.Context(), fstest.MapFS{
		"a/b": {}, "a-b": {}, "a.b": {}, "z": {}, "empty": {Mode: fs.ModeDir},
		"link": {Mode: fs.ModeSymlink}, "pipe": {Mode: fs.ModeNamedPipe},
	})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range files {
		paths = append(paths, f.path)
	}
	if got := strings.Join(paths, " "); got != "a-b a.b a/b z" {
		t.Errorf("files %s", got)
	}
	want := []Skipped{{"link", "symbolic link"}, {"pipe", "not a regular file"}}
	if !slices.Equal(skipped, want) {
		t.Errorf("skipped %v", skipped)
	}
}

func TestScanNamesTheFilesThatCannotBePublished(t *testing.T) {
	fsys := fstest.MapFS{`good`: {}, `bad\name`: {}}
	for i := range 12 {
		fsys[`dir\`+string(rune('a'+i))+`/file`] = &fstest.MapFile{}
	}
	_, _, err := scan(t.Context(), fsys)
	if !bundle.IsKind(err, bundle.KindInvalid) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{`"bad\\name"`, "and 3 more"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "file\"") {
		t.Errorf("%q names the files below a bad folder", err)
	}
}

func TestHashesAreThoseOfTheContents(t *testing.T) {
	fsys := fstest.MapFS{"empty": {}, "text": {Data: []byte("initial version")}, "large": {Data: make([]byte, 1<<20)}}
	files, _, err := scan(t.Context(), fsys)
	if err != nil {
		t.Fatal(err)
	}
	track := &tracker{}
	if err := hashAll(t.Context(), fsys, files, track); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if want := bundle.BlobOf(fsys[f.path].Data); f.blob != want {
			t.Errorf("%s: got %v, want %v", f.path, f.blob, want)
		}
	}
	if track.now.Files != 3 || track.now.Bytes != 1<<20+15 {
		t.Errorf("progress %+v", track.now)
	}
}

func TestAFileThatChangedWhileReadIsNotSent(t *testing.T) {
	f := localFile{"f", bundle.BlobOf([]byte("before"))}
	for _, now := range []string{"after", "behind", "longer than before", ""} {
		_, err := readSmall(fstest.MapFS{"f": {Data: []byte(now)}}, f)
		if !bundle.IsKind(err, bundle.KindConflict) {
			t.Errorf("%q: got %v", now, err)
		}
	}
}

func TestCompareFindsWhatDiffers(t *testing.T) {
	blob := func(s string) bundle.Blob { return bundle.BlobOf([]byte(s)) }
	p := publication{files: []localFile{{"same", blob("1")}, {"changed", blob("2")}, {"new", blob("3")}}}
	file := func(s string) api.File { return api.File{Size: blob(s).Size, Hash: blob(s).Hash} }
	set, gone := p.compare(map[string]api.File{"same": file("1"), "changed": file("x"), "gone": file("4")})
	if len(set) != 2 || set[0].path != "changed" || set[1].path != "new" || !slices.Equal(gone, []string{"gone"}) {
		t.Errorf("set %v, gone %v", set, gone)
	}
}

func TestBatchesHoldEveryFileOnceWithinTheLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.Int64Range(0, bundle.MaxFrameBlob), 0, 3000).Draw(t, "sizes")
		var files []localFile
		var total int64
		for _, n := range sizes {
			files = append(files, localFile{blob: bundle.Blob{Size: n}})
			total += n
		}
		var back []localFile
		for _, batch := range split(files, total) {
			var size int64
			for _, f := range batch {
				size += f.blob.Size
			}
			if len(batch) == 0 || len(batch) > maxBatchFiles || size > maxBatch {
				t.Fatalf("a batch of %d files, %d bytes", len(batch), size)
			}
			back = append(back, batch...)
		}
		if !slices.Equal(back, files) {
			t.Fatal("the batches are not the files")
		}
	})
}

func TestPatchesDeleteFirstAndStayWithinTheLimit(t *testing.T) {
	var set []localFile
	for range patchAtOnce {
		set = append(set, localFile{path: bundle.NewID().String()})
	}
	out := patches(set, []string{"gone"})
	if len(out) != 2 || len(out[0].Files) != patchAtOnce || len(out[1].Files) != 1 {
		t.Fatalf("%d patches", len(out))
	}
	if !out[0].Files["gone"].Delete {
		t.Error("the deletion is not in the first patch")
	}
}

func TestSlugsAreMadeOfTitles(t *testing.T) {
	for title, want := range map[string]string{
		"Mechanics, a first week": "mechanics-a-first-week", "  --x--  ": "x", "Übung 1": "übung-1", "?!": "bundle",
		strings.Repeat("a", 80): strings.Repeat("a", 50), strings.Repeat("a", 49) + " b": strings.Repeat("a", 49) + "b",
		"snake_case": "snake_case",
	} {
		if got := slugOf(title); got != want {
			t.Errorf("%q: got %q, want %q", title, got, want)
		}
	}
}

func TestOnlyWhatMayPassIsTriedAgain(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{bundle.Errorf(bundle.KindUnavailable, "later"), 2},
		{bundle.Errorf(bundle.KindInvalid, "never"), 1},
		{errors.New("disk"), 1},
	} {
		calls := 0
		err := again(t.Context(), func() error {
			if calls++; calls == 2 {
				return nil
			}
			return tt.err
		})
		if calls != tt.want || (err == nil) != (tt.want == 2) {
			t.Errorf("%v: %d calls, %v", tt.err, calls, err)
		}
	}
}

func TestWaitingForAnotherAttemptEndsWithTheContext(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := contextWithCause(t)
	started := time.Now()
	err := again(ctx, func() error { cancel(cause); return bundle.Errorf(bundle.KindUnavailable, "later") })
	if !errors.Is(err, cause) || time.Since(started) > 10*time.Second {
		t.Errorf("got %v after %v", err, time.Since(started))
	}
}
