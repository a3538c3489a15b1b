package dir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

func TestErrorsOfTheFileSystemHaveKinds(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bundle.Kind
	}{
		{syscall.ENOSPC, bundle.KindNoSpace},
		{syscall.EDQUOT, bundle.KindNoSpace},
		{syscall.ENOENT, bundle.KindNotFound},
		{syscall.ENOTDIR, bundle.KindNotFound},
		{syscall.EMFILE, bundle.KindUnavailable},
		{syscall.EIO, bundle.KindOther},
		{syscall.EACCES, bundle.KindOther},
	} {
		err := wrap("write object", "aa/x", &os.PathError{Op: "write", Path: "/p", Err: c.err})
		if got := bundle.KindOf(err); got != c.want {
			t.Errorf("%v: kind %v, want %v", c.err, got, c.want)
		}
	}
}

func TestNeitherRenameReplacesAFile(t *testing.T) {
	for name, rename := range map[string]func(from, to string) error{"renameNew": renameNew, "renameByLink": renameByLink} {
		folder := t.TempDir()
		a, b, c := filepath.Join(folder, "a"), filepath.Join(folder, "b"), filepath.Join(folder, "c")
		for _, path := range []string{a, b} {
			if err := os.WriteFile(path, []byte(filepath.Base(path)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := rename(a, b); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s onto a file: %v", name, err)
		}
		if body, err := os.ReadFile(b); string(body) != "b" {
			t.Errorf("%s replaced the file: %q, %v", name, body, err)
		}
		if err := rename(a, c); err != nil {
			t.Errorf("%s to a free name: %v", name, err)
		}
		if _, err := os.Stat(a); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s left the old name: %v", name, err)
		}
	}
}
