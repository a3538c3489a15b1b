package primary

import (
	"cmp"
	"context"
	"io"
	"slices"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// state is a draft at one moment: its row, the bundle's newest version, what it
// is based on, and what it does to that.
type state struct {
	catalog.DraftState
	content *bundle.Manifest // of Base, nil for none
}

// load reads a draft. KindNotFound if it, or its bundle, is gone.
func (p *Primary) load(ctx context.Context, id bundle.ID) (*state, error) {
	row, err := look(ctx, p, id, (*catalog.View).DraftState)
	if err != nil {
		return nil, err
	}
	content, err := p.contentOf(ctx, row.Base)
	return &state{row, content}, err
}

// contentOf opens a version's manifest, nil for the zero version.
func (p *Primary) contentOf(ctx context.Context, v catalog.Version) (*bundle.Manifest, error) {
	if v.Number == 0 {
		return nil, nil
	}
	return p.manifest(ctx, v.Manifest)
}

// ops returns the overlay's file operations, by path.
func (s *state) ops() []catalog.FileOp {
	ops := make([]catalog.FileOp, len(s.Files))
	for i, f := range s.Files {
		ops[i] = f.FileOp
	}
	return ops
}

func linksOf(m *bundle.Manifest) []bundle.Link {
	if m == nil {
		return nil
	}
	return m.Links()
}

// DraftView is a draft as it would read if it were committed on its base.
type DraftView struct {
	Draft catalog.Draft
	Base  *catalog.Version // nil if the draft began with nothing
	Files []DraftFile      // by path
	Links []DraftLink      // by name
}

// DraftFile is a file of a draft. Modified says that it is in the draft's
// overlay, even with the content it had.
type DraftFile struct {
	FileInfo
	Modified bool
}

// DraftLink is a link of a draft. Modified says that it is in the overlay.
type DraftLink struct {
	bundle.Link
	Modified bool
}

// DraftView returns a draft with all its files and links.
func (p *Primary) DraftView(ctx context.Context, id bundle.ID) (*DraftView, error) {
	s, err := p.load(ctx, id)
	if err != nil {
		return nil, err
	}
	base, err := p.list(ctx, s.content)
	if err != nil {
		return nil, err
	}
	staged := make(listing, 0, len(s.Files))
	for _, f := range s.Files {
		if !f.Delete {
			staged = append(staged, FileInfo{File: bundle.File{Path: f.Path, Digest: f.Digest, Size: f.Size}})
		}
	}
	if err := p.hash(ctx, staged); err != nil {
		return nil, err
	}
	view := &DraftView{Draft: s.Draft, Files: composeFiles(base, s.ops(), staged), Links: composeLinks(s)}
	if s.Base.Number != 0 {
		view.Base = &s.Base
	}
	return view, nil
}

// composeFiles merges two sorted lists; ops are those of staged, and the
// deletions.
func composeFiles(base listing, ops []catalog.FileOp, staged listing) []DraftFile {
	out := make([]DraftFile, 0, len(base)+len(staged))
	for _, op := range ops {
		n := base.at(op.Path)
		for _, f := range base[:n] {
			out = append(out, DraftFile{FileInfo: f})
		}
		if base = base[n:]; len(base) > 0 && base[0].Path == op.Path {
			base = base[1:]
		}
		if !op.Delete {
			out = append(out, DraftFile{staged[0], true})
			staged = staged[1:]
		}
	}
	for _, f := range base {
		out = append(out, DraftFile{FileInfo: f})
	}
	return out
}

func composeLinks(s *state) []DraftLink {
	links := make(map[string]DraftLink)
	for _, l := range linksOf(s.content) {
		links[l.Name] = DraftLink{Link: l}
	}
	for _, op := range s.Links {
		if delete(links, op.Name); !op.Delete {
			links[op.Name] = DraftLink{op.Link, true}
		}
	}
	out := make([]DraftLink, 0, len(links))
	for _, l := range links {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b DraftLink) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// DraftFile describes one file of a draft. KindNotFound if it shows none of
// that path.
func (p *Primary) DraftFile(ctx context.Context, id bundle.ID, path string) (DraftFile, error) {
	s, err := p.load(ctx, id)
	if err != nil {
		return DraftFile{}, err
	}
	base, err := p.treeOf(ctx, s.content, 1)
	if err != nil {
		return DraftFile{}, err
	}
	l := layered{base, s.ops()}
	f, ok, err := l.lookup(ctx, path)
	if err != nil {
		return DraftFile{}, err
	}
	if !ok {
		return DraftFile{}, errNoFile(path)
	}
	_, modified := l.op(path)
	infos := listing{{File: f}}
	err = p.hash(ctx, infos)
	return DraftFile{infos[0], modified}, err
}

// OpenDraftFile opens length bytes of a draft's file from offset, -1 for all
// that follow. The caller closes the reader.
func (p *Primary) OpenDraftFile(ctx context.Context, id bundle.ID, path string, offset, length int64) (io.ReadCloser, DraftFile, error) {
	f, err := p.DraftFile(ctx, id, path)
	if err != nil {
		return nil, f, err
	}
	r, _, err := p.contents.Open(ctx, f.Digest, offset, length)
	return r, f, err
}
