package blockstored

import (
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

func draftOf(d catalog.Draft) api.Draft {
	return api.Draft{ID: d.ID, Bundle: d.Bundle, Name: d.Name, Revision: d.Revision}
}

// Drafts implements [api.Drafts].
func (i *Instance) Drafts(ctx context.Context) iter.Seq2[api.Draft, error] {
	return list(ctx, i, func(s *state, p catalog.Page) (catalog.Found[catalog.Draft], error) {
		return catalog.FoundOf(func(p catalog.Page) ([]catalog.Paged[catalog.Draft], error) { return s.Drafts(bundle.ID{}, p) }, p)
	}, func(_ *state, d catalog.Draft) (api.Draft, error) {
		return api.Draft{ID: d.ID, Bundle: d.Bundle, Name: d.Name}, nil
	})
}

// Draft implements [api.Drafts].
func (i *Instance) Draft(ctx context.Context, id bundle.ID) (api.Draft, error) {
	if err := i.settle(ctx); err != nil {
		return api.Draft{}, told(ctx, err)
	}
	d, err := i.primary.DraftView(ctx, id)
	if err != nil {
		return api.Draft{}, told(ctx, err)
	}
	out := draftOf(d.Draft)
	out.Staged = api.Staged{
		CreatedAt: timeOf(d.Draft.Created), UpdatedAt: timeOf(d.Draft.Updated),
		Files: make(map[string]api.StagedFile, len(d.Files)), Links: make(map[string]api.StagedLink, len(d.Links)),
	}
	if d.Base != nil {
		out.Staged.Base = &d.Base.Alias
	}
	urls := i.api.FileURLs()
	for _, f := range d.Files {
		url := ""
		if f.Modified {
			url = urls.Staged(id, f.FileInfo)
		} else {
			url = urls.Committed(d.Draft.Bundle, f.FileInfo)
		}
		out.Staged.Files[f.Path] = api.StagedFile{File: api.File{URL: url, Size: f.Size, Hash: f.Hash}, Modified: f.Modified}
	}
	for _, l := range d.Links {
		out.Staged.Links[l.Name] = api.StagedLink{Link: linkOf(l.Link), Modified: l.Modified}
	}
	return out, nil
}

// CreateDraft implements [api.Drafts].
func (i *Instance) CreateDraft(ctx context.Context, b bundle.ID, name string) (api.Draft, error) {
	if _, err := i.ownBundle(ctx, b); err != nil {
		return api.Draft{}, referenced(err, "bundle_uuid", b)
	}
	change, err := i.keyed(ctx, "CreateDraft", "")
	if err != nil {
		return api.Draft{}, err
	}
	d, err := i.primary.CreateDraft(change, primary.NewDraft{Bundle: b, Name: name})
	if err != nil {
		return api.Draft{}, told(ctx, err)
	}
	return draftOf(d), nil
}

// PatchDraft implements [api.Drafts].
func (i *Instance) PatchDraft(ctx context.Context, id bundle.ID, p api.Patch) (revision uint64, err error) {
	change, err := i.keyed(ctx, "PatchDraft", id.String())
	if err != nil {
		return 0, err
	}
	patch := primary.Patch{IfRevision: p.IfRevision}
	for _, path := range slices.Sorted(maps.Keys(p.Files)) { // the first problem is always the same one
		f := p.Files[path]
		patch.Files = append(patch.Files, primary.FileEdit{Path: path, Delete: f.Delete, Stored: f.Stored, Content: f.Content})
	}
	for _, name := range slices.Sorted(maps.Keys(p.Links)) {
		l := p.Links[name]
		patch.Links = append(patch.Links, primary.LinkEdit{
			Name: name, Delete: l.Delete, Bundle: l.Bundle, Version: int64(min(l.Version, math.MaxInt64)),
		})
	}
	d, err := i.primary.PatchDraft(change, id, patch)
	return d.Revision, told(ctx, err)
}

// PutDraftFile implements [api.Drafts].
func (i *Instance) PutDraftFile(ctx context.Context, id bundle.ID, path string, r io.Reader, size int64) (revision uint64, err error) {
	change, err := i.keyed(ctx, "PutDraftFile", id.String()+"/"+path)
	if err != nil {
		return 0, err
	}
	d, err := i.primary.PutFile(change, id, 0, path, api.Sized(r, size), size)
	return d.Revision, told(ctx, err)
}

// DeleteDraftFile implements [api.Drafts].
func (i *Instance) DeleteDraftFile(ctx context.Context, id bundle.ID, path string) (revision uint64, err error) {
	change, err := i.keyed(ctx, "DeleteDraftFile", id.String()+"/"+path)
	if err != nil {
		return 0, err
	}
	patch := primary.Patch{Files: []primary.FileEdit{{Path: path, Delete: true}}}
	d, err := i.primary.PatchDraft(change, id, patch)
	return d.Revision, told(ctx, err)
}

// OpenDraftFile implements [api.Drafts].
func (i *Instance) OpenDraftFile(ctx context.Context, id bundle.ID, path string, r api.Range) (io.ReadCloser, error) {
	if err := i.settle(ctx); err != nil {
		return nil, told(ctx, err)
	}
	f, err := i.primary.DraftFile(ctx, id, path)
	if err != nil {
		return nil, told(ctx, err)
	}
	return i.openContent(ctx, f.File, r)
}

// CommitDraft implements [api.Drafts].
func (i *Instance) CommitDraft(ctx context.Context, id bundle.ID, c api.Commit) (number uint64, err error) {
	change, err := i.keyed(ctx, "CommitDraft", id.String())
	if err != nil {
		return 0, err
	}
	v, err := i.primary.Commit(change, id, primary.CommitOptions{
		ChangeDescription: c.ChangeDescription, License: c.License, Attribution: c.Attribution, Redistribute: c.Redistribute,
		IfRevision: c.IfRevision,
	})
	return v.Number, told(ctx, err)
}

// RebaseDraft implements [api.Drafts].
func (i *Instance) RebaseDraft(ctx context.Context, id bundle.ID, ifRevision uint64) (api.Draft, error) {
	change, err := i.keyed(ctx, "RebaseDraft", id.String())
	if err != nil {
		return api.Draft{}, err
	}
	if _, err := i.primary.Rebase(change, id, ifRevision); err != nil {
		return api.Draft{}, told(ctx, err)
	}
	out, err := i.Draft(ctx, id)
	if bundle.IsKind(err, bundle.KindNotFound) { // it was rebased before, and is gone since
		return api.Draft{ID: id}, nil
	}
	return out, err
}

// DeleteDraft implements [api.Drafts].
func (i *Instance) DeleteDraft(ctx context.Context, id bundle.ID) error {
	change, err := i.keyed(ctx, "DeleteDraft", id.String())
	if err != nil {
		return err
	}
	return told(ctx, i.primary.DeleteDraft(change, id, 0))
}

// MissingBlobs implements [api.Blobs].
func (i *Instance) MissingBlobs(ctx context.Context, ds []bundle.Digest) ([]bundle.Digest, error) {
	if err := i.settle(ctx); err != nil {
		return nil, told(ctx, err)
	}
	missing, err := i.primary.MissingBlobs(ctx, ds)
	return missing, told(ctx, err)
}

// StoreFrames implements [api.Blobs].
func (i *Instance) StoreFrames(ctx context.Context, r io.Reader, length int64) (stored int, err error) {
	stored, err = i.primary.StoreFrameStream(ctx, api.Sized(r, length))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = bundle.Errorf(bundle.KindInvalid, "The frames broke off: %w.", err)
	}
	return stored, told(ctx, misread(err))
}

// StoreBlob implements [api.Blobs].
func (i *Instance) StoreBlob(ctx context.Context, d bundle.Digest, r io.Reader, size int64) error {
	_, err := i.primary.StoreBlob(ctx, api.Sized(r, size), d, size)
	return told(ctx, misread(err))
}

// misread turns bytes that are not what the caller promised, a fault where they
// come from storage, into what they are here.
func misread(err error) error {
	if bundle.IsKind(err, bundle.KindCorrupt) {
		return bundle.Errorf(bundle.KindInvalid, "%w", err)
	}
	return err
}
