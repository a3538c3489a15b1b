package catalog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

// Views, copies and installs run beside the writer and each other; a view
// shows one moment.
func TestViewsAreOfOneMoment(t *testing.T) {
	s := newSite(t)
	b, draft := s.bundleIn("one")
	ctx, stop := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	for range 2 * maxReaders {
		readers.Go(func() {
			for ctx.Err() == nil {
				err := s.DB.View(ctx, func(v *View) error {
					counts, err := v.Counts()
					if err != nil {
						return err
					}
					vs, err := v.Versions(b, Page{})
					if err != nil {
						return err
					}
					if int64(len(vs)) != counts.Versions || counts.Records != counts.Versions+2 {
						return fmt.Errorf("%d versions, counted %+v", len(vs), counts)
					}
					return nil
				})
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
					return
				}
			}
		})
	}
	readers.Go(func() {
		dir := t.TempDir()
		for n := 0; ctx.Err() == nil; n++ {
			err := s.Copy(ctx, filepath.Join(dir, strconv.Itoa(n)), nil)
			if err != nil && ctx.Err() == nil && !errors.Is(err, errReplaced) {
				t.Error(err)
			}
			if err := s.Sync(); err != nil {
				t.Error(err)
			}
		}
	})
	for n := range 30 {
		s.commit(draft)
		if n%10 == 5 {
			if err := install(s.DB, copyOf(t, s.DB)); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	readers.Wait()
	if got := s.bundleNow(b); got.Head != 30 {
		t.Errorf("%+v", got)
	}
}

func TestAViewEndsWithItsContext(t *testing.T) {
	s := newSite(t)
	s.bundleIn("one")
	ctx, cancel := context.WithCancel(context.Background())
	err := s.DB.View(ctx, func(v *View) error {
		cancel()
		_, err := v.Bundles(BundleFilter{}, Page{})
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := s.DB.View(ctx, func(*View) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func BenchmarkCommit(b *testing.B) {
	s := newSite(b)
	_, draft := s.bundleIn("one")
	commands := make([]Command, 0, 2*b.N)
	for n := range b.N {
		content, manifest := blobOf(fmt.Sprint("file", n)), blobOf(fmt.Sprint("manifest", n))
		commands = append(commands,
			s.command(PatchDraft{Draft: draft, Files: []FileOp{{Path: "a", Digest: content.Digest}}, Blobs: []bundle.Located{content}}),
			s.command(CommitVersion{Draft: draft, Revision: uint64(2*n + 2), ExpectedHead: uint64(n),
				Snapshot: Snapshot{Manifest: manifest.Digest}, Blobs: []bundle.Located{manifest}}))
	}
	b.ResetTimer()
	for n := range commands {
		if r := s.apply(commands[n])[0]; r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

func TestAViewThatPanicsLeavesNoTransactionBehind(t *testing.T) {
	s := newSite(t)
	for range 2 * maxReaders {
		func() {
			defer func() { _ = recover() }()
			_ = s.DB.View(context.Background(), func(v *View) error {
				if _, err := v.Instance(); err != nil {
					t.Error(err)
				}
				panic("a caller's mistake")
			})
		}()
	}
	s.bundleIn("later")
	for range 2 * maxReaders {
		if n := read(s, (*View).LogSize); n != 2 {
			t.Fatalf("a later view shows a log of %d records, not the newest", n)
		}
	}
}
