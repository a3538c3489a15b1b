package rest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// archived makes a version of small files, a name that needs more than ASCII, a
// long path and a large file, and returns its contents by path and its URL.
func (s *stack) archived(t *testing.T) (map[string]string, string) {
	t.Helper()
	of, draft := s.draft(t)
	files := map[string]string{
		"é/ö.txt": "umlaut", "empty": "", "z": "last", "m/big.bin": string(noise(1<<20 + 3)),
		strings.Repeat("long/", 40) + "x": "deep",
	}
	for i := range 300 { // more than are read at once
		files[fmt.Sprintf("small/%04d", i)] = fmt.Sprint("content ", i%7)
	}
	patch := `{"files":{`
	for path, content := range files {
		if patch[len(patch)-1] != '{' {
			patch += ","
		}
		patch += fmt.Sprintf("%q:%q", path, entry(content))
	}
	s.json("PATCH", "/api/v1/drafts/"+draft, patch+"}}").want(t, 204)
	s.clock.advance(time.Hour)
	s.do("POST", "/api/v1/drafts/"+draft+"/commit", "", "").want(t, 201)
	return files, "/api/v1/bundle_versions/" + of + ",1/archive"
}

func TestAnArchiveHoldsAllFilesByPathAndIsTheSameEachTime(t *testing.T) {
	s := newStack(t, nil)
	files, url := s.archived(t)
	made := s.clock.Now().UTC().Truncate(time.Second)
	for _, format := range []string{"tar", "zip"} {
		got := s.do("GET", url+"?format="+format, "", "").want(t, 200).body
		s.clock.advance(time.Hour)
		if again := s.do("GET", url+"?format="+format, "", "").want(t, 200).body; again != got {
			t.Errorf("%s: another archive of the same version", format)
		}
		var paths []string
		see := func(path string, modified time.Time, content io.Reader) {
			t.Helper()
			b, err := io.ReadAll(content)
			check(t, err)
			if string(b) != files[path] || !modified.Equal(made) {
				t.Errorf("%s: %s has %d bytes of %v", format, path, len(b), modified)
			}
			paths = append(paths, path)
		}
		if format == "tar" {
			eachOfTar(t, got, see)
		} else {
			eachOfZip(t, got, see)
		}
		if !slices.IsSorted(paths) || len(slices.Compact(paths)) != len(files) {
			t.Errorf("%s: %d files: %q", format, len(paths), paths)
		}
	}
}

func eachOfTar(t *testing.T, archive string, see func(string, time.Time, io.Reader)) {
	t.Helper()
	r := tar.NewReader(strings.NewReader(archive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		check(t, err)
		see(h.Name, h.ModTime, r)
	}
}

func eachOfZip(t *testing.T, archive string, see func(string, time.Time, io.Reader)) {
	t.Helper()
	z, err := zip.NewReader(strings.NewReader(archive), int64(len(archive)))
	check(t, err)
	for _, f := range z.File {
		r, err := f.Open()
		check(t, err)
		see(f.Name, f.Modified, r)
		check(t, r.Close())
	}
}

func TestAnArchiveOfNothingIsEmpty(t *testing.T) {
	s := newStack(t, nil)
	of, draft := s.draft(t)
	s.json("PATCH", "/api/v1/drafts/"+draft, `{"files":{"x":""}}`).want(t, 204)
	s.do("POST", "/api/v1/drafts/"+draft+"/commit", "", "").want(t, 201)
	s.json("PATCH", "/api/v1/drafts/"+draft, `{"files":{"x":null}}`).want(t, 204)
	s.do("POST", "/api/v1/drafts/"+draft+"/commit", "", "").want(t, 201)
	none := func(path string, _ time.Time, _ io.Reader) { t.Error(path) }
	url := "/api/v1/bundle_versions/" + of + ",2/archive"
	eachOfTar(t, s.do("GET", url, "", "").want(t, 200).body, none)
	eachOfZip(t, s.do("GET", url+"?format=zip", "", "").want(t, 200).body, none)
}

func TestAnArchiveThatCannotBeFinishedBreaksOff(t *testing.T) {
	for name, harm := range map[string]func(path string, content []byte) error{
		"a lost object": func(path string, _ []byte) error { return os.Remove(path) },
		"a damaged one": func(path string, content []byte) error {
			content = bytes.Clone(content)
			content[len(content)-1] ^= 1
			return errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, content, 0o600))
		},
	} {
		s := newStack(t, nil)
		files, url := s.archived(t)
		if !s.harm(t, []byte(files["m/big.bin"]), harm) {
			t.Fatal("the large file has no object of its own")
		}
		for _, format := range []string{"tar", "zip"} {
			r, err := http.NewRequestWithContext(t.Context(), "GET", s.server.URL+url+"?format="+format, nil)
			check(t, err)
			r.Header.Set("Authorization", "Token "+s.token)
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := client.Do(r)
			if err != nil {
				continue // broken off before anything was sent
			}
			if _, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Errorf("%s: the %s looks whole", name, format)
			}
			check(t, resp.Body.Close())
		}
	}
}

func TestPathsThatMustNotBeUnpackedAreNotArchived(t *testing.T) {
	s := newStack(t, nil)
	of, draft := s.draft(t)
	s.json("PATCH", "/api/v1/drafts/"+draft, `{"files":{"x":"`+entry("x")+`"}}`).want(t, 204)
	id, err := bundle.ParseID(draft)
	check(t, err)
	s.propose(catalog.PatchDraft{Draft: id, Files: []catalog.FileOp{ // as an import brings it
		{Path: "../x", Digest: bundle.DigestOf([]byte("x")), Size: 1},
	}})
	s.do("POST", "/api/v1/drafts/"+draft+"/commit", "", "").want(t, 201)
	a := s.do("GET", "/api/v1/bundle_versions/"+of+",1/archive", "", "").want(t, 400)
	if a.Header.Get(headerError) != "invalid" || !strings.Contains(a.body, "../x") {
		t.Errorf("%s: %s", a.Header.Get(headerError), a.body)
	}
}

// harm does something to the object that holds exactly content.
func (s *stack) harm(t *testing.T, content []byte, harm func(path string, content []byte) error) (done bool) {
	t.Helper()
	check(t, filepath.WalkDir(filepath.Join(s.folder, "objects"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(b, content) {
			return err
		}
		done = true
		return harm(path, b)
	}))
	return done
}
