package storage_test

import (
	"errors"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/storage/storagetest"
)

func TestLocationsAreRebuiltFromTheObjectsAlone(t *testing.T) {
	d := openDir(t)
	s, _ := open(t, d)
	claim(t, s, identity())
	want := map[bundle.Digest]storage.Located{}
	for _, l := range putFrames(t, s, sample(3000)) { // a footer longer than the first read
		want[l.Digest] = l
	}
	for _, blob := range [][]byte{noise(1, 300<<10), []byte("alone in its pack")} {
		l := put(t, s, blob)
		want[l.Digest] = l
	}
	if _, err := d.WriteSmall(t.Context(), "aa/not-ours.pack", []byte("x"), ""); err != nil {
		t.Fatal(err)
	}
	for _, hash := range []bool{true, false} {
		found := 0
		err := storage.Rebuild(t.Context(), d, storage.RebuildOptions{HashObjects: hash}, func(l storage.Located) error {
			w := want[l.Digest]
			if !hash && !l.Packed() {
				w.Hash = bundle.Hash20{}
			}
			if l != w {
				t.Errorf("found %+v, want %+v", l, w)
			}
			found++
			return nil
		})
		if err != nil || found != len(want) {
			t.Errorf("found %d of %d, %v", found, len(want), err)
		}
	}
	stop := errors.New("enough")
	err := storage.Rebuild(t.Context(), d, storage.RebuildOptions{}, func(storage.Located) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("Rebuild: %v", err)
	}
}

func TestRebuildNamesDamagedObjectsAndGoesOn(t *testing.T) {
	inner := openDir(t)
	s, _ := open(t, inner)
	bad := put(t, s, []byte("in a pack that is damaged"))
	good := put(t, s, []byte("in a sound pack"))
	d := storagetest.Faulty(inner, func(op storagetest.Op, key string, _ int) storagetest.Fault {
		return storagetest.Fault{Short: op == storagetest.OpRead && key == storage.KeyOf(bad.Location)}
	})
	var damaged []string
	var found []storage.Located
	options := storage.RebuildOptions{Damaged: func(key string, err error) error {
		damaged = append(damaged, key)
		wantKind(t, key, err, bundle.KindCorrupt)
		return nil
	}}
	err := storage.Rebuild(t.Context(), d, options, func(l storage.Located) error {
		found = append(found, l)
		return nil
	})
	if err != nil || len(damaged) != 1 || damaged[0] != storage.KeyOf(bad.Location) || len(found) != 1 || found[0] != good {
		t.Errorf("damaged %q, found %+v, %v", damaged, found, err)
	}
	err = storage.Rebuild(t.Context(), d, storage.RebuildOptions{}, func(storage.Located) error { return nil })
	wantKind(t, "without Damaged", err, bundle.KindCorrupt)
	_, err = storage.ReadPackIndex(t.Context(), inner, "aa/absent.pack")
	wantKind(t, "an absent pack", err, bundle.KindNotFound)
	entries, err := storage.ReadPackIndex(t.Context(), inner, storage.KeyOf(good.Location))
	if err != nil || len(entries) != 1 || entries[0].Blob != good.Blob {
		t.Errorf("ReadPackIndex: %+v, %v", entries, err)
	}
}
