package client

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

func contextWithCause(t *testing.T) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	return ctx, cancel
}

// version answers with a version of these files, whose contents are at /files/.
func version(files map[string]string, content func(w http.ResponseWriter, path string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, path, ok := strings.Cut(r.URL.Path, "/files/"); ok {
			content(w, path)
			return
		}
		v := api.Version{Number: 1, Snapshot: api.Snapshot{Files: map[string]api.File{}}}
		for path, text := range files {
			blob := bundle.BlobOf([]byte(text))
			v.Snapshot.Files[path] = api.File{Size: blob.Size, Hash: blob.Hash}
		}
		_ = json.NewEncoder(w).Encode(v)
	}
}

func honest(files map[string]string) http.HandlerFunc {
	return version(files, func(w http.ResponseWriter, path string) { _, _ = w.Write([]byte(files[path])) })
}

func TestDownloadRefusesPathsThatLeaveTheFolder(t *testing.T) {
	for _, path := range []string{"../x", "/x", "a/../../x", `a\b`, "a//b", "", "./x"} {
		dir := filepath.Join(t.TempDir(), "in")
		c := serve(t, honest(map[string]string{path: "evil", "good": "x"}))
		_, err := Download(t.Context(), c, bundle.NewID(), 1, dir, DownloadOptions{})
		if !bundle.IsKind(err, bundle.KindInvalid) {
			t.Errorf("%q: got %v", path, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%q: something was written", path)
		}
	}
}

func TestDownloadDoesNotFollowLinksOutOfTheFolder(t *testing.T) {
	top := t.TempDir()
	dir, outside := filepath.Join(top, "in"), filepath.Join(top, "outside")
	for _, d := range []string{dir, outside} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	c := serve(t, honest(map[string]string{"a/b": "evil"}))
	if _, err := Download(t.Context(), c, bundle.NewID(), 1, dir, DownloadOptions{Overwrite: true}); err == nil {
		t.Error("accepted")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Errorf("outside holds %v, %v", entries, err)
	}
}

func TestDownloadWritesNothingWrong(t *testing.T) {
	for name, sent := range map[string]string{"other bytes": "CONTENT", "longer": "content and more", "shorter": "cont"} {
		dir := t.TempDir()
		c := serve(t, version(map[string]string{"f": "content"}, func(w http.ResponseWriter, _ string) { _, _ = w.Write([]byte(sent)) }))
		_, err := Download(t.Context(), c, bundle.NewID(), 1, dir, DownloadOptions{})
		if !bundle.IsKind(err, bundle.KindCorrupt) {
			t.Errorf("%s: got %v", name, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("%s: left %v, %v", name, entries, err)
		}
	}
}

func TestDownloadTriesABrokenTransferAgain(t *testing.T) {
	var calls atomic.Int64
	c := serve(t, version(map[string]string{"d/f": "content"}, func(w http.ResponseWriter, _ string) {
		w.Header().Set("Content-Length", "7")
		if calls.Add(1) == 1 {
			_, _ = w.Write([]byte("con"))
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write([]byte("content"))
	}))
	dir := t.TempDir()
	var last Progress
	done, err := Download(t.Context(), c, bundle.NewID(), 1, dir, DownloadOptions{Progress: func(p Progress) { last = p }})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "d", "f")); string(got) != "content" {
		t.Errorf("got %q, %v", got, err)
	}
	if done.Fetched != 1 || last.Bytes != 7 || last.Files != 1 {
		t.Errorf("done %+v, progress %+v", done, last)
	}
}

func TestDownloadKeepsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"same": "1", "other": "mine", "extra": "mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := serve(t, honest(map[string]string{"same": "1", "other": "2"}))
	_, err := Download(t.Context(), c, bundle.NewID(), 1, dir, DownloadOptions{})
	if !bundle.IsKind(err, bundle.KindConflict) {
		t.Errorf("got %v", err)
	}
	done, err := Download(t.Context(), c, bundle.NewID(), 1, dir, DownloadOptions{Overwrite: true})
	if err != nil || done.Fetched != 1 {
		t.Errorf("got %+v, %v", done, err)
	}
	for name, want := range map[string]string{"same": "1", "other": "2", "extra": "mine"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}
