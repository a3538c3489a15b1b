package site

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Tree is the content of a folder or of a version: each file's digest by its
// path with slashes.
type Tree map[string][sha256.Size]byte

// ReadTree reads the regular files below dir and returns their total size.
func ReadTree(dir string) (Tree, int64, error) {
	t, total := Tree{}, int64(0)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // only read
		h := sha256.New()
		n, err := io.Copy(h, f)
		t[filepath.ToSlash(rel)] = [sha256.Size]byte(h.Sum(nil))
		total += n
		return err
	})
	return t, total, err
}

// WriteTree writes files below dir.
func WriteTree(dir string, files map[string][]byte) error {
	for path, content := range files {
		name := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// TreeOf returns the digests of files.
func TreeOf(files map[string][]byte) Tree {
	t := make(Tree, len(files))
	for path, content := range files {
		t[path] = sha256.Sum256(content)
	}
	return t
}

// Compare returns an error that names the first differences between what is
// here and what is wanted.
func (t Tree) Compare(want Tree) error {
	var faults []string
	for path, digest := range want {
		if have, ok := t[path]; !ok {
			faults = append(faults, path+" is missing")
		} else if have != digest {
			faults = append(faults, path+" has other bytes")
		}
	}
	for path := range t {
		if _, ok := want[path]; !ok {
			faults = append(faults, path+" should not be there")
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d files differ: %q", len(faults), len(want), faults[:min(len(faults), 5)])
}
