package replica

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// await waits until the catalog is as it should be.
func (s *site) await(what string, ok func(v *catalog.View) (bool, error)) {
	s.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		changed := s.db.Changed()
		var good bool
		s.view(func(v *catalog.View) (err error) { good, err = ok(v); return err })
		if good {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			s.t.Fatalf("%s: %s did not come within %s; %s", s.name, what, patience, s.describe())
		}
	}
}

// describe says what stands in the way.
func (s *site) describe() (text string) {
	s.view(func(v *catalog.View) error {
		peers, err := v.Peers()
		for _, p := range peers {
			parked, err := v.Parked(p.ID)
			if err != nil {
				return err
			}
			text += fmt.Sprintf("peer %s: cursor %d of %d, alarms %+v, parked %+v", p.Name, p.Cursor, p.Size, p.Alarms, parked)
		}
		return err
	})
	return text
}

// awaitVersion waits for a version to be visible.
func (s *site) awaitVersion(ref bundle.VersionRef) {
	s.t.Helper()
	s.await(fmt.Sprintf("version %v", ref), func(v *catalog.View) (bool, error) { return has(v, ref) })
}

func has(v *catalog.View, ref bundle.VersionRef) (bool, error) {
	_, err := v.Version(ref)
	if bundle.IsKind(err, bundle.KindNotFound) {
		return false, nil
	}
	return err == nil, err
}

// awaitAlarm waits for an alarm about peer.
func (s *site) awaitAlarm(peer bundle.ID, alarm string) catalog.Alarm {
	s.t.Helper()
	var found catalog.Alarm
	s.await("alarm "+alarm, func(v *catalog.View) (bool, error) {
		p, err := v.Peer(peer)
		for _, a := range p.Alarms {
			if a.Alarm == alarm {
				found = a
				return true, nil
			}
		}
		return false, err
	})
	return found
}

// awaitParked waits for a bundle to be set aside.
func (s *site) awaitParked(peer, id bundle.ID) catalog.ParkedBundle {
	s.t.Helper()
	var found catalog.ParkedBundle
	s.await("a parked bundle", func(v *catalog.View) (bool, error) {
		parked, err := v.Parked(peer)
		for _, p := range parked {
			if p.Bundle == id {
				found = p
				return true, nil
			}
		}
		return false, err
	})
	return found
}

// awaitUnparked waits for a bundle not to be set aside any more.
func (s *site) awaitUnparked(peer, id bundle.ID) {
	s.t.Helper()
	s.await("the end of a parking", func(v *catalog.View) (bool, error) {
		parked, err := v.Parked(peer)
		return !slices.ContainsFunc(parked, func(p catalog.ParkedBundle) bool { return p.Bundle == id }), err
	})
}

func (s *site) peer(id bundle.ID) (p catalog.Peer) {
	s.t.Helper()
	s.view(func(v *catalog.View) (err error) { p, err = v.Peer(id); return err })
	return p
}

// files reads a version back from storage, every byte of it.
func (s *site) files(ref bundle.VersionRef) map[string]string {
	s.t.Helper()
	ctx := context.Background()
	var row catalog.Version
	s.view(func(v *catalog.View) (err error) { row, err = v.Version(ref); return err })
	m := must(bundle.Open(ctx, row.Manifest, s.contents.Fetch))(s.t)
	files := make(map[string]string)
	err := m.Walk(ctx, s.contents.Fetch, func(f bundle.File) error {
		r, _, err := s.contents.Open(ctx, f.Digest, 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if bundle.DigestOf(b) != f.Digest {
			return fmt.Errorf("%s of %v has other bytes", f.Path, ref)
		}
		files[f.Path] = string(b)
		return err
	})
	if err != nil {
		s.t.Fatalf("%s: version %v is visible, but not whole: %v", s.name, ref, err)
	}
	return files
}

// versions lists all that is visible of an owner.
func (s *site) versions(owner bundle.ID) (all []catalog.Version) {
	s.t.Helper()
	s.view(func(v *catalog.View) error {
		found, err := v.FindVersions(catalog.BundleFilter{Owner: owner}, catalog.Page{Limit: 10000})
		if found.More {
			s.t.Fatal("more versions than one page holds")
		}
		for _, r := range found.Rows {
			all = append(all, r.Row)
		}
		return err
	})
	return all
}

// wantCopy fails unless what is visible at s of north is what north published,
// byte for byte.
func (s *site) wantCopy(north *site) {
	s.t.Helper()
	for _, v := range s.versions(north.id()) {
		var original catalog.Version
		north.view(func(view *catalog.View) (err error) { original, err = view.Version(v.VersionRef); return err })
		if v.Manifest != original.Manifest || v.Files != original.Files || v.Bytes != original.Bytes || v.Alias != original.Alias || v.Created != original.Created {
			s.t.Fatalf("the copy is %+v, the original %+v", v, original)
		}
		if got, want := s.files(v.VersionRef), north.files(v.VersionRef); !equal(got, want) {
			s.t.Fatalf("version %v differs: %d files, published were %d", v.VersionRef, len(got), len(want))
		}
	}
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for path, content := range a {
		if other, ok := b[path]; !ok || other != content {
			return false
		}
	}
	return true
}
