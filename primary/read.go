package primary

import (
	"context"
	"io"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// FileInfo is one file as the API shows it.
type FileInfo struct {
	bundle.File
	// Hash is the API's hash_digest of the bytes, zero if they are not to be
	// had any more.
	Hash bundle.Hash20
}

// Snapshot returns a version, own or copied, and the root of its content.
// KindNotFound if there is no such version.
func (p *Primary) Snapshot(ctx context.Context, ref bundle.VersionRef) (catalog.Version, *bundle.Manifest, error) {
	v, err := look(ctx, p, ref, (*catalog.View).Version)
	if err != nil {
		return v, nil, err
	}
	m, err := p.manifest(ctx, v.Manifest)
	return v, m, err
}

// Files returns the files of a version by path, without opening any of them.
// The caller must not change the slice.
func (p *Primary) Files(ctx context.Context, ref bundle.VersionRef) ([]FileInfo, error) {
	v, err := look(ctx, p, ref, (*catalog.View).Version)
	if err != nil {
		return nil, err
	}
	_, files, err := p.Content(ctx, v)
	return files, err
}

// Content returns the root of a version's content and its files by path, for who
// has read the version already. No file is opened. The caller must not change
// the slice.
func (p *Primary) Content(ctx context.Context, v catalog.Version) (*bundle.Manifest, []FileInfo, error) {
	m, err := p.manifest(ctx, v.Manifest)
	if err != nil {
		return nil, nil, err
	}
	files, err := p.list(ctx, m)
	return m, files, err
}

// File describes one file of a version. KindNotFound if it has none of that
// path.
func (p *Primary) File(ctx context.Context, ref bundle.VersionRef, path string) (FileInfo, error) {
	_, m, err := p.Snapshot(ctx, ref)
	if err != nil {
		return FileInfo{}, err
	}
	if l, ok := p.listings.get(m.Digest()); ok {
		if i := l.at(path); i < len(l) && l[i].Path == path {
			return l[i], nil
		}
		return FileInfo{}, errNoFile(path)
	}
	f, ok, err := m.Lookup(ctx, p.fetch, path)
	if err != nil {
		return FileInfo{}, err
	}
	if !ok {
		return FileInfo{}, errNoFile(path)
	}
	infos := listing{{File: f}}
	err = p.hash(ctx, infos)
	return infos[0], err
}

// OpenFile opens length bytes of a version's file from offset, -1 for all that
// follow. The caller closes the reader.
func (p *Primary) OpenFile(ctx context.Context, ref bundle.VersionRef, path string, offset, length int64) (io.ReadCloser, FileInfo, error) {
	info, err := p.File(ctx, ref, path)
	if err != nil {
		return nil, info, err
	}
	r, _, err := p.contents.Open(ctx, info.Digest, offset, length)
	return r, info, err
}

// Fetch reads manifest pages, through a cache. It is a [bundle.Fetch], for use
// with the manifests that this package returns.
func (p *Primary) Fetch(ctx context.Context, ds []bundle.Digest) ([][]byte, error) {
	return p.fetch(ctx, ds)
}

func errNoFile(path string) error {
	return bundle.Errorf(bundle.KindNotFound, "There is no file %q here.", path)
}

func (p *Primary) fetch(ctx context.Context, ds []bundle.Digest) ([][]byte, error) {
	out := make([][]byte, len(ds))
	var missed []bundle.Digest
	var at []int
	for i, d := range ds {
		b, ok := p.pages.get(d)
		if !ok {
			missed, at = append(missed, d), append(at, i)
			continue
		}
		out[i] = b
	}
	if missed == nil {
		return out, nil
	}
	bs, err := p.contents.Fetch(ctx, missed)
	if err != nil {
		return nil, err
	}
	for i, b := range bs {
		out[at[i]] = b
		p.pages.add(missed[i], b)
	}
	return out, nil
}

// manifest opens the snapshot of that digest.
func (p *Primary) manifest(ctx context.Context, d bundle.Digest) (*bundle.Manifest, error) {
	if m, ok := p.manifests.get(d); ok {
		return m, nil
	}
	m, err := bundle.Open(ctx, d, p.fetch)
	if err != nil {
		return nil, err
	}
	p.manifests.add(d, m)
	return m, nil
}

// list returns the files of m with their hashes; a nil m has none.
func (p *Primary) list(ctx context.Context, m *bundle.Manifest) (listing, error) {
	if m == nil {
		return nil, nil
	}
	if l, ok := p.listings.get(m.Digest()); ok {
		return l, nil
	}
	l, err := p.walk(ctx, m)
	if err != nil {
		return nil, err
	}
	if err := p.hash(ctx, l); err != nil {
		return nil, err
	}
	for i := range l {
		if l[i].Hash.IsZero() {
			return l, nil // may come back; not to be remembered
		}
	}
	p.listings.add(m.Digest(), l)
	return l, nil
}

// walk returns the files of m without their hashes.
func (p *Primary) walk(ctx context.Context, m *bundle.Manifest) (listing, error) {
	l := make(listing, 0, min(m.NumFiles(), cachedFiles))
	err := m.Walk(ctx, p.fetch, func(f bundle.File) error {
		l = append(l, FileInfo{File: f})
		return nil
	})
	return l, err
}

// hash fills in the hashes that the catalog keeps with each blob.
func (p *Primary) hash(ctx context.Context, l listing) error {
	ds := make([]bundle.Digest, len(l))
	for i, f := range l {
		ds[i] = f.Digest
	}
	blobs, err := look(ctx, p, ds, (*catalog.View).Blobs)
	if err != nil {
		return err
	}
	for i := range l {
		l[i].Hash = blobs[l[i].Digest].Hash
	}
	return nil
}
