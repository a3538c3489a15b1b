package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bundle"
)

// maxNamed is how many bad paths one error names.
const maxNamed = 10

// Skipped is an entry of a folder that cannot be published.
type Skipped struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// localFile is one file of the folder that is published.
type localFile struct {
	path string
	blob bundle.Blob
}

// scan lists the regular files below fsys in the order of their paths. Links
// and special files are skipped; a path that the instance would refuse is an
// error that names up to ten of them.
func scan(ctx context.Context, fsys fs.FS) (files []localFile, skipped []Skipped, err error) {
	var bad []string
	err = fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("read the folder: %w", err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case path == ".":
			return nil
		}
		if err := bundle.CheckPath(path); err != nil {
			bad = append(bad, fmt.Sprintf("%q", path))
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		switch {
		case d.IsDir():
		case d.Type().IsRegular():
			files = append(files, localFile{path: path})
		case d.Type()&fs.ModeSymlink != 0:
			skipped = append(skipped, Skipped{path, "symbolic link"})
		default:
			skipped = append(skipped, Skipped{path, "not a regular file"})
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if len(bad) > 0 {
		more := ""
		if len(bad) > maxNamed {
			more = fmt.Sprintf(" and %d more", len(bad)-maxNamed)
			bad = bad[:maxNamed]
		}
		return nil, nil, bundle.Errorf(bundle.KindInvalid,
			"these names cannot be published, rename them: %s%s", strings.Join(bad, ", "), more)
	}
	slices.SortFunc(files, func(a, b localFile) int { return strings.Compare(a.path, b.path) })
	return files, skipped, nil
}

// hashAll fills in the files' blobs, reading as many files at once as there are
// processors.
func hashAll(ctx context.Context, fsys fs.FS, files []localFile, track *tracker) error {
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), len(files)) {
		group.Go(func() error {
			buf := make([]byte, 256<<10)
			for {
				i := int(next.Add(1)) - 1
				if i >= len(files) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				blob, err := hashFile(fsys, files[i].path, buf)
				if err != nil {
					return err
				}
				files[i].blob = blob
				track.add(1, blob.Size)
			}
		})
	}
	return group.Wait()
}

func hashFile(fsys fs.FS, path string, buf []byte) (b bundle.Blob, err error) {
	f, err := fsys.Open(path)
	if err != nil {
		return b, fmt.Errorf("read the folder: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := bundle.NewHasher()
	// The wrapper hides WriteTo, which would bring a buffer of its own.
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, buf); err != nil {
		return b, fmt.Errorf("read %s: %w", path, err)
	}
	return h.Blob(), nil
}
