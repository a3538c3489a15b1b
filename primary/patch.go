package primary

import (
	"cmp"
	"context"
	"io"
	"slices"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// Patch is a set of changes to a draft that take effect together or not at all.
// Of two edits of one path or link name the later counts.
type Patch struct {
	Files []FileEdit
	Links []LinkEdit
	// IfRevision, when not 0, must be the draft's revision (KindPrecondition
	// otherwise).
	IfRevision uint64
}

// MaxPatchFiles is how many files one [Patch] changes at most.
const MaxPatchFiles = 100_000

// FileEdit sets or deletes one file of a draft. Deleting what is not there is
// fine.
type FileEdit struct {
	Path   string
	Delete bool
	// Stored, if not zero, names bytes stored before (see
	// [Primary.StoreFrames] and [Primary.StoreBlob]); KindBlobGone if they
	// are not here.
	Stored bundle.Digest
	// Content is what the file holds, if Stored is zero. A large file is
	// better streamed: see [Primary.PutFile].
	Content []byte
}

// maxAttempts is how often one call proposes anew after a refusal that can be
// mended. Each means that another's change went through in the meantime.
const maxAttempts = 100

// PatchDraft changes files and links of a draft and returns it as it is then.
// Repeated under its request id once the draft is gone, it returns the ID,
// Revision and Updated of the first answer alone; so do PutFile and Rebase.
//
// What is wrong with the patch is found before anything is stored: KindInvalid
// with the first problem, files before links, in words that the REST API shows
// as they are. Problems of the patch alone come before the draft being missing
// (KindNotFound). More than [MaxPatchFiles] are KindTooLarge.
func (p *Primary) PatchDraft(ctx context.Context, id bundle.ID, patch Patch) (catalog.Draft, error) {
	if len(patch.Files) > MaxPatchFiles {
		return catalog.Draft{}, bundle.Errorf(bundle.KindTooLarge, "One PATCH changes at most %d files: send several.", MaxPatchFiles)
	}
	return p.once(ctx, id, func() (catalog.Draft, error) { return p.patchDraft(ctx, id, patch) })
}

func (p *Primary) patchDraft(ctx context.Context, id bundle.ID, patch Patch) (catalog.Draft, error) {
	c := &change{draft: id, edits: lastOf(patch.Files, func(e FileEdit) string { return e.Path }), ifRevision: patch.IfRevision}
	s, missing := p.load(ctx, id)
	if missing != nil && !bundle.IsKind(missing, bundle.KindNotFound) {
		return catalog.Draft{}, missing
	}
	if err := p.checkFiles(ctx, s, c.edits); err != nil {
		return catalog.Draft{}, err
	}
	var err error
	c.links, err = p.closeLinks(ctx, lastOf(patch.Links, func(e LinkEdit) string { return e.Name }))
	if err != nil {
		return catalog.Draft{}, err
	}
	if missing != nil {
		return catalog.Draft{}, missing
	}
	if err := checkCycle(s.Draft.Bundle, c.links); err != nil {
		return catalog.Draft{}, err
	}
	if err := c.checkRevision(s.Draft); err != nil {
		return catalog.Draft{}, err
	}
	if err := p.prepare(ctx, c); err != nil {
		return catalog.Draft{}, err
	}
	return p.apply(ctx, s, c)
}

// PutFile sets one file of a draft to what r yields, of any size and never
// wholly in memory. size is the expected number of bytes, -1 if unknown. The
// draft must be at the revision ifRevision, unless that is 0; KindPrecondition
// otherwise, also if it is not any more when r is stored.
func (p *Primary) PutFile(ctx context.Context, id bundle.ID, ifRevision uint64, path string, r io.Reader, size int64) (catalog.Draft, error) {
	if err := bundle.CheckPath(path); err != nil {
		return catalog.Draft{}, err
	}
	c := &change{draft: id, edits: []FileEdit{{Path: path}}, ifRevision: ifRevision}
	return p.once(ctx, id, func() (catalog.Draft, error) { return p.putFile(ctx, c, r, size) })
}

func (p *Primary) putFile(ctx context.Context, c *change, r io.Reader, size int64) (catalog.Draft, error) {
	s, err := p.load(ctx, c.draft)
	if err != nil {
		return catalog.Draft{}, err
	}
	if err := p.checkFiles(ctx, s, c.edits); err != nil {
		return catalog.Draft{}, err
	}
	if err := c.checkRevision(s.Draft); err != nil {
		return catalog.Draft{}, err
	}
	l, err := p.store.PutStream(ctx, r, nil, size)
	if err != nil {
		return catalog.Draft{}, err
	}
	c.edits[0].Stored, c.blobs = l.Digest, []bundle.Located{l}
	c.ops = []catalog.FileOp{{Path: c.edits[0].Path, Digest: l.Digest, Size: l.Size}}
	return p.apply(ctx, s, c)
}

// once makes a change of a draft, unless this very call was answered before. One
// that fails looks for that answer again: what it found in its way, such as
// another revision, may be what the same call did meanwhile, which was under way
// when this one came.
func (p *Primary) once(ctx context.Context, id bundle.ID, change func() (catalog.Draft, error)) (catalog.Draft, error) {
	if done, d, err := p.patched(ctx, id); done || err != nil {
		return d, err
	}
	d, err := change()
	if err != nil {
		if done, first, failed := p.patched(ctx, id); done && failed == nil {
			return first, nil
		}
	}
	return d, err
}

// patched returns the draft if this very call was answered before; if the draft
// is gone since, what is left of that answer: its id, revision and time.
func (p *Primary) patched(ctx context.Context, id bundle.ID) (bool, catalog.Draft, error) {
	r, done, err := p.answered(ctx)
	if !done || err != nil {
		return false, catalog.Draft{}, err
	}
	d, err := look(ctx, p, id, (*catalog.View).Draft)
	if bundle.IsKind(err, bundle.KindNotFound) {
		return true, catalog.Draft{ID: id, Revision: r.Revision, Updated: r.Time}, nil
	}
	return true, d, err
}

// lastOf returns the last edit of each name, in the order of those.
func lastOf[E any](edits []E, name func(E) string) []E {
	last := make(map[string]int, len(edits))
	for i, e := range edits {
		last[name(e)] = i
	}
	if len(last) == len(edits) {
		return slices.Clone(edits)
	}
	var out []E
	for i, e := range edits {
		if last[name(e)] == i {
			out = append(out, e)
		}
	}
	return out
}

// change is a patch on its way.
type change struct {
	draft      bundle.ID
	edits      []FileEdit
	links      []catalog.LinkOp
	ifRevision uint64

	ops    []catalog.FileOp // of edits, by path, once their bytes are stored
	blobs  []bundle.Located // of ops, those that may be new here
	staged bundle.ID        // the patch under which the first ops were staged
}

func (c *change) checkRevision(d catalog.Draft) error { return atRevision(d, c.ifRevision) }

// checkFiles returns what is wrong with the first edit that cannot be made to
// the draft. Without a draft it looks at the edits alone.
func (p *Primary) checkFiles(ctx context.Context, s *state, edits []FileEdit) error {
	var now layered
	now.tree = listing(nil)
	if s != nil {
		base, err := p.treeOf(ctx, s.content, len(edits))
		if err != nil {
			return err
		}
		now = layered{base, s.ops()}
	}
	after := newClashes(layered{now.tree, overlaid(now.ops, edits)})
	for _, e := range edits {
		clean := bundle.CheckPath(e.Path)
		if clean != nil && !e.Delete {
			return clean
		}
		if clean == nil && e.Delete {
			continue
		}
		_, exists, err := now.lookup(ctx, e.Path)
		if err != nil {
			return err
		}
		if e.Delete {
			if !exists { // what old data brought may go, nothing else is a path
				return clean
			}
			continue
		}
		clash, err := after.at(ctx, e.Path)
		if err != nil {
			return err
		}
		if clash {
			return bundle.Errorf(bundle.KindInvalid, "\"%s\" is not a valid file name", e.Path)
		}
	}
	return nil
}

// overlaid returns ops with edits made, by path. Digests of edits are not known
// yet.
func overlaid(ops []catalog.FileOp, edits []FileEdit) []catalog.FileOp {
	added := make([]catalog.FileOp, len(edits))
	edited := make(map[string]bool, len(edits))
	for i, e := range edits {
		added[i] = catalog.FileOp{Path: e.Path, Delete: e.Delete, Digest: e.Stored}
		edited[e.Path] = true
	}
	for _, op := range ops {
		if !edited[op.Path] {
			added = append(added, op)
		}
	}
	sortOps(added)
	return added
}

func sortOps(ops []catalog.FileOp) {
	slices.SortFunc(ops, func(a, b catalog.FileOp) int { return cmp.Compare(a.Path, b.Path) })
}

// prepare stores the contents that are not here yet and makes the operations.
func (p *Primary) prepare(ctx context.Context, c *change) error {
	blobs := make([]bundle.Blob, len(c.edits))
	ds := make([]bundle.Digest, 0, len(c.edits))
	for i, e := range c.edits {
		switch {
		case e.Delete:
			continue
		case !e.Stored.IsZero():
			blobs[i].Digest = e.Stored
		default:
			blobs[i].Digest, blobs[i].Size = bundle.DigestOf(e.Content), int64(len(e.Content))
		}
		ds = append(ds, blobs[i].Digest)
	}
	known, err := look(ctx, p, ds, (*catalog.View).Blobs)
	if err != nil {
		return err
	}
	var fresh [][]byte
	for i, e := range c.edits {
		l, here := known[blobs[i].Digest]
		switch {
		case e.Delete:
		case here:
			blobs[i].Size = l.Size
		case !e.Stored.IsZero():
			return bundle.Errorf(bundle.KindBlobGone, "The content %s of file %s is not stored here: send it again.", e.Stored, e.Path)
		default:
			known[blobs[i].Digest] = bundle.Located{Blob: blobs[i]}
			fresh = append(fresh, e.Content)
		}
		c.ops = append(c.ops, catalog.FileOp{Path: e.Path, Delete: e.Delete, Digest: blobs[i].Digest, Size: blobs[i].Size})
	}
	sortOps(c.ops)
	c.blobs, err = p.storeBlobs(ctx, fresh)
	return err
}

// restore stores all contents of c again, whether they are known here or not.
// It reports false if c brings none.
func (p *Primary) restore(ctx context.Context, c *change) (bool, error) {
	var contents [][]byte
	for _, e := range c.edits {
		if !e.Delete && e.Stored.IsZero() {
			contents = append(contents, e.Content)
		}
	}
	if contents == nil {
		return false, nil
	}
	var err error
	c.blobs, err = p.storeBlobs(ctx, contents)
	c.staged = bundle.ID{}
	return err == nil, err
}

// apply proposes c for the draft last seen in state s until it takes effect or
// cannot.
func (p *Primary) apply(ctx context.Context, s *state, c *change) (catalog.Draft, error) {
	leave, err := p.drafts.enter(ctx, c.draft)
	if err != nil {
		return catalog.Draft{}, err
	}
	defer leave()
	restored := false
	for attempt := 0; ; attempt++ {
		if s, err = p.refresh(ctx, s, c); err != nil {
			return catalog.Draft{}, err
		}
		r, err := p.proposePatch(ctx, attempt, s.Draft.Revision, c)
		switch {
		case err == nil:
			d := s.Draft
			d.Revision, d.Updated = r.Revision, r.Time
			return d, nil
		case attempt == maxAttempts:
			return catalog.Draft{}, err
		case bundle.IsKind(err, bundle.KindBlobGone) && !restored:
			if restored, err = p.restoreFor(ctx, c, err); err != nil {
				return catalog.Draft{}, err
			}
		case !stale(err):
			return catalog.Draft{}, err
		}
	}
}

// restoreFor mends the refusal gone, or returns why it cannot.
func (p *Primary) restoreFor(ctx context.Context, c *change, gone error) (bool, error) {
	ok, err := p.restore(ctx, c)
	if err == nil && !ok {
		err = gone
	}
	return ok, err
}

// refresh returns the draft's state: s if that is still it, else a new one that
// c was held against again.
func (p *Primary) refresh(ctx context.Context, s *state, c *change) (*state, error) {
	d, err := look(ctx, p, c.draft, (*catalog.View).Draft)
	if err != nil || d.Revision == s.Draft.Revision {
		return s, err
	}
	if s, err = p.load(ctx, c.draft); err != nil {
		return nil, err
	}
	if err := c.checkRevision(s.Draft); err != nil {
		return nil, err
	}
	return s, p.checkFiles(ctx, s, c.edits)
}

// proposePatch proposes c, in several commands if it is too large for one; the
// last makes all of it visible.
func (p *Primary) proposePatch(ctx context.Context, attempt int, revision uint64, c *change) (catalog.Result, error) {
	ops, blobs := c.ops, c.blobs
	if n := commandWeight - weightOfLinks(c.links); weightOfFiles(ops)+locatedWeight*len(blobs) > n {
		if c.staged == (bundle.ID{}) {
			if err := p.stage(ctx, c); err != nil {
				return catalog.Result{}, err
			}
		}
		ops, blobs = nil, nil
	}
	return p.propose(ctx, attempt, catalog.PatchDraft{
		Draft: c.draft, Patch: c.staged, Files: ops, Links: c.links, Blobs: blobs, IfRevision: revision,
	})
}

// stage proposes all operations of c under a fresh patch. Locations go first:
// apply looks for an operation's blob when it is staged.
func (p *Primary) stage(ctx context.Context, c *change) error {
	patch := bundle.NewID()
	ops, blobs := c.ops, c.blobs
	for len(ops) > 0 || len(blobs) > 0 {
		nb := min(len(blobs), commandWeight/locatedWeight)
		left, no := commandWeight-nb*locatedWeight, 0
		for nb == len(blobs) && no < len(ops) && left >= fileOpWeight+len(ops[no].Path) {
			left -= fileOpWeight + len(ops[no].Path)
			no++
		}
		body := catalog.StagePatch{Draft: c.draft, Patch: patch, Files: ops[:no], Blobs: blobs[:nb]}
		if _, err := p.proposeAside(ctx, body); err != nil {
			return err
		}
		ops, blobs = ops[no:], blobs[nb:]
	}
	c.staged = patch
	return nil
}
