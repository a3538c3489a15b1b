package blockstored

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

func (s *state) version(v catalog.Version) (api.Version, error) {
	b, ok := s.bundles[v.Bundle]
	if !ok {
		var err error
		if b, err = s.Bundle(v.Bundle); err != nil {
			return api.Version{}, err
		}
		s.bundles[v.Bundle] = b
	}
	name, own, err := s.owners.Name(b.Owner)
	return api.Version{
		Bundle: v.Bundle, Number: v.Number, ChangeDescription: v.ChangeDescription, Primary: name, ReadOnly: !own,
	}, err
}

// Versions implements [api.Versions].
func (i *Instance) Versions(ctx context.Context, f api.VersionFilter) iter.Seq2[api.Version, error] {
	filter := catalog.BundleFilter{Collection: f.Collection}
	if f.Bundle != (bundle.ID{}) {
		filter.IDs = []bundle.ID{f.Bundle}
	}
	return list(ctx, i, func(s *state, p catalog.Page) (catalog.Found[catalog.Version], error) {
		return s.FindVersions(filter, p)
	}, (*state).version)
}

// Version implements [api.Versions].
func (i *Instance) Version(ctx context.Context, b bundle.ID, n uint64) (out api.Version, err error) {
	ref := bundle.VersionRef{Bundle: b, Number: n}
	err = i.view(ctx, func(s *state) error {
		v, err := s.Version(ref)
		if err != nil {
			return err
		}
		out, err = s.version(v)
		return err
	})
	if err != nil {
		return api.Version{}, err
	}
	row, m, err := i.primary.Snapshot(ctx, ref)
	if err != nil {
		return api.Version{}, told(ctx, err)
	}
	files, err := i.primary.Files(ctx, ref)
	if err != nil {
		return api.Version{}, told(ctx, err)
	}
	out.Snapshot = api.Snapshot{
		Hash: row.Alias, CreatedAt: timeOf(row.Created),
		Files: make(map[string]api.File, len(files)), Links: make(map[string]api.Link),
	}
	urls := i.api.FileURLs()
	for _, f := range files {
		out.Snapshot.Files[f.Path] = api.File{URL: urls.Committed(b, f), Size: f.Size, Hash: f.Hash}
	}
	for _, l := range m.Links() {
		out.Snapshot.Links[l.Name] = linkOf(l)
	}
	return out, nil
}

func linkOf(l bundle.Link) api.Link {
	out := api.Link{Direct: api.Dependency(l.Direct), Indirect: make([]api.Dependency, len(l.Indirect))}
	for k, d := range l.Indirect {
		out.Indirect[k] = api.Dependency(d)
	}
	return out
}

// DescribeVersion implements [api.Versions].
func (i *Instance) DescribeVersion(ctx context.Context, b bundle.ID, n uint64, description string) (out api.Version, err error) {
	ref := bundle.VersionRef{Bundle: b, Number: n}
	err = i.view(ctx, func(s *state) error {
		if _, err := s.Version(ref); err != nil {
			return err
		}
		_, err := primary.OwnBundle(s.View, b)
		return err
	})
	if err != nil {
		return out, err
	}
	change, err := i.keyed(ctx, "DescribeVersion", fmt.Sprint(b, ",", n))
	if err != nil {
		return out, err
	}
	row, err := i.primary.DescribeVersion(change, ref, description)
	if err != nil {
		return out, told(ctx, err)
	}
	err = i.view(ctx, func(s *state) error {
		out, err = s.version(row)
		return err
	})
	return out, err
}

// OpenVersionFile implements [api.Versions].
func (i *Instance) OpenVersionFile(ctx context.Context, b bundle.ID, n uint64, path string, r api.Range) (io.ReadCloser, error) {
	if err := i.settle(ctx); err != nil {
		return nil, told(ctx, err)
	}
	f, err := i.primary.File(ctx, bundle.VersionRef{Bundle: b, Number: n}, path)
	if err != nil {
		return nil, told(ctx, err)
	}
	return i.openContent(ctx, f.File, r)
}

// openContent opens the part of a file that r names.
func (i *Instance) openContent(ctx context.Context, f bundle.File, r api.Range) (io.ReadCloser, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if r.Offset > 0 && r.Offset >= f.Size {
		return nil, api.NoSuchRange(r)
	}
	length := int64(-1)
	if r.Length > 0 && r.Length < f.Size-r.Offset {
		length = r.Length
	}
	content, _, err := i.contents.Open(ctx, f.Digest, r.Offset, length)
	return content, unread(ctx, err)
}

// WriteArchive implements [api.Versions].
func (i *Instance) WriteArchive(ctx context.Context, b bundle.ID, n uint64, format api.ArchiveFormat, w io.Writer) error {
	if err := i.settle(ctx); err != nil {
		return told(ctx, err)
	}
	archive, err := i.primary.Archive(ctx, bundle.VersionRef{Bundle: b, Number: n}, string(format))
	if err != nil {
		return told(ctx, err)
	}
	return told(ctx, archive.Write(ctx, w))
}

// Diff implements [api.Versions].
func (i *Instance) Diff(ctx context.Context, b bundle.ID, from, to uint64) (api.Diff, error) {
	if err := i.settle(ctx); err != nil {
		return api.Diff{}, told(ctx, err)
	}
	d, err := i.primary.Diff(ctx, b, from, to)
	if err != nil {
		return api.Diff{}, told(ctx, err)
	}
	return api.Diff{
		Files: changesOf(d.Files, func(f primary.FileInfo) api.ChangedFile {
			return api.ChangedFile{Path: f.Path, Size: f.Size, Hash: f.Hash}
		}),
		Links: changesOf(d.Links, func(l bundle.Link) api.ChangedLink {
			return api.ChangedLink{Name: l.Name, Link: linkOf(l)}
		}),
	}, nil
}

func changesOf[A, B any](c primary.Changes[A], as func(A) B) (out api.Changes[B]) {
	for _, group := range []struct {
		from []A
		to   *[]B
	}{{c.Added, &out.Added}, {c.Changed, &out.Changed}, {c.Deleted, &out.Deleted}} {
		*group.to = make([]B, len(group.from))
		for k, one := range group.from {
			(*group.to)[k] = as(one)
		}
	}
	return out
}
