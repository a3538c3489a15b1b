package catalog

import (
	"fmt"

	"github.com/blockstored/blockstored/bundle"
)

// draftRow is a draft as apply needs it.
type draftRow struct {
	id, base, revision, floor, updated int64
	name                               string
	bundleRow                          bundleRow
}

// ownDraft returns a live draft and its bundle.
func (a *applier) ownDraft(id bundle.ID) (d draftRow, err error) {
	var bundleID bundle.ID
	ok, err := a.get(`SELECT d.id, d.base, d.revision, d.floor, d.updated, d.name, b.uuid
 FROM drafts d JOIN bundles b ON b.id = d.bundle WHERE d.uuid = ? AND d.state = 0`, []any{id[:]},
		&d.id, &d.base, &d.revision, &d.floor, &d.updated, &d.name, blob{bundleID[:]})
	if err != nil {
		return d, err
	}
	if !ok {
		return d, notFound()
	}
	d.bundleRow, err = a.ownBundle(bundleID)
	return d, err
}

func (a *applier) createDraft(b CreateDraft) error {
	row, err := a.ownBundle(b.Bundle)
	if bundle.IsKind(err, bundle.KindNotFound) {
		return bundle.Errorf(bundle.KindInvalid, "Object with uuid=%s does not exist.", b.Bundle).With("field", "bundle_uuid")
	}
	if err != nil {
		return err
	}
	taken, err := a.get(`SELECT 1 FROM drafts WHERE bundle = ? AND name = ? AND state = 0`, []any{row.id, b.Name}, new(int))
	if err != nil {
		return err
	}
	if taken {
		return bundle.Errorf(bundle.KindInvalid, "The fields bundle_uuid, name must make a unique set.").With("reason", "unique")
	}
	n, err := a.exec(`INSERT INTO drafts (id, uuid, bundle, name, base, revision, floor, created, updated, state)
 VALUES (?, ?, ?, ?, ?, 1, 0, ?, ?, 0) ON CONFLICT (uuid) DO NOTHING`,
		a.state.id(), b.ID[:], row.id, b.Name, row.head, a.now, a.now)
	if err != nil {
		return err
	}
	if n == 0 {
		return bundle.Errorf(bundle.KindConflict, "the draft %s exists, or existed; use a new UUID", b.ID)
	}
	a.result.ID, a.result.Revision = b.ID, 1
	return a.countDrafts(&row, 1)
}

func (a *applier) countDrafts(b *bundleRow, n int64) error {
	a.state.drafts += n
	if err := a.run(`UPDATE bundles SET drafts = drafts + ? WHERE id = ?`, n, b.id); err != nil {
		return err
	}
	return a.run(`UPDATE collections SET drafts = drafts + ? WHERE id = ?`, n, b.collection)
}

func (a *applier) stagePatch(b StagePatch) error {
	d, err := a.ownDraft(b.Draft)
	if err != nil {
		return err
	}
	if err := a.locate(b.Blobs); err != nil {
		return err
	}
	patch, seq, found, err := a.patch(d.id, b.Patch)
	if err != nil {
		return err
	}
	if found {
		if err := checkStaged(b.Patch, seq); err != nil {
			return err
		}
		err = a.run(`UPDATE patches SET modified = ? WHERE id = ?`, a.now, patch)
	} else {
		patch = a.state.id()
		err = a.run(`INSERT INTO patches (id, draft, uuid, seq, modified) VALUES (?, ?, ?, 0, ?)`, patch, d.id, b.Patch[:], a.now)
	}
	if err != nil {
		return err
	}
	return a.writeFiles(d.id, patch, 0, b.Files)
}

// patchGivenUp is the sequence number of a staged patch that Purge gave up. Its
// row stays until the draft's next commit, so that a late StagePatch or PatchDraft
// of it is refused: what it would make visible is not all of the patch.
const patchGivenUp = -1

// checkStaged refuses a patch that nothing can be added to any more.
func checkStaged(id bundle.ID, seq int64) error {
	switch {
	case seq == patchGivenUp:
		return bundle.Errorf(bundle.KindConflict, "what was staged as patch %s waited too long and is gone; send all of it again", id)
	case seq != 0:
		return bundle.Errorf(bundle.KindConflict, "patch %s took effect already; use a new id", id)
	}
	return nil
}

// patch looks up a patch of a draft; seq is 0 while it is invisible.
func (a *applier) patch(draft int64, id bundle.ID) (patch, seq int64, found bool, err error) {
	found, err = a.get(`SELECT id, seq FROM patches WHERE draft = ? AND uuid = ?`, []any{draft, id[:]}, &patch, &seq)
	return patch, seq, found, err
}

// writeFiles stores file operations under a patch (0: visible at seq at once).
func (a *applier) writeFiles(draft, patch, seq int64, files []FileOp) error {
	modified := int64(0)
	if patch == 0 {
		modified = a.now
	}
	for _, f := range files {
		var digest any
		if !f.Delete {
			if err := a.mustBeLocated(f.Digest); err != nil {
				return err
			}
			digest = f.Digest[:]
		}
		if err := a.run(`INSERT INTO draft_files (draft, path, patch, seq, modified, digest, size) VALUES (?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (draft, path, patch) DO UPDATE SET seq = excluded.seq, modified = excluded.modified,
 digest = excluded.digest, size = excluded.size`, draft, f.Path, patch, seq, modified, digest, f.Size); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) patchDraft(b PatchDraft) error {
	d, err := a.ownDraft(b.Draft)
	if err != nil {
		return err
	}
	if b.IfRevision != 0 && clamp(b.IfRevision) != d.revision {
		return changedSince(b.Draft)
	}
	if err := a.locate(b.Blobs); err != nil {
		return err
	}
	if b.Patch != (bundle.ID{}) {
		if err := a.flip(d.id, b.Patch); err != nil {
			return err
		}
	}
	seq := a.state.id()
	if err := a.writeFiles(d.id, 0, seq, b.Files); err != nil {
		return err
	}
	for _, l := range b.Links {
		if err := a.writeLink(&d, seq, l); err != nil {
			return err
		}
	}
	a.result.ID, a.result.Revision = b.Draft, uint64(d.revision+1)
	return a.run(`UPDATE drafts SET revision = revision + 1, updated = ? WHERE id = ?`, a.now, d.id)
}

// flip makes what was staged under a patch visible.
func (a *applier) flip(draft int64, id bundle.ID) error {
	patch, seq, found, err := a.patch(draft, id)
	if err != nil {
		return err
	}
	if !found {
		return bundle.Errorf(bundle.KindNotFound, "nothing was staged as patch %s; send it again", id)
	}
	if err := checkStaged(id, seq); err != nil {
		return err
	}
	return a.run(`UPDATE patches SET seq = ?, modified = ? WHERE id = ?`, a.state.id(), a.now, patch)
}

func (a *applier) writeLink(d *draftRow, seq int64, l LinkOp) error {
	var body, target, number any
	if !l.Delete {
		if err := a.checkLink(d, l); err != nil {
			return err
		}
		b, err := pack(&l, shapeLinkOp)
		if err != nil {
			return err
		}
		body, target, number = b, l.Direct.Bundle[:], clamp(l.Direct.Version)
	}
	return a.run(`INSERT INTO draft_links (draft, name, seq, modified, body, target, target_num) VALUES (?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (draft, name) DO UPDATE SET seq = excluded.seq, modified = excluded.modified, body = excluded.body,
 target = excluded.target, target_num = excluded.target_num`,
		d.id, l.Name, seq, a.now, body, target, number)
}

// checkLink refuses a link whose target is not there, or that leads back.
func (a *applier) checkLink(d *draftRow, l LinkOp) error {
	missing := bundle.Errorf(bundle.KindInvalid, "BundleVersion (%s, %d) referenced in Link %s does not exist.",
		l.Direct.Bundle, l.Direct.Version, l.Name)
	target, ok, err := findBundle(a.session, l.Direct.Bundle)
	if err != nil {
		return err
	}
	if !ok || target.gone() {
		return missing
	}
	v, ok, err := findVersion(a.session, target.id, bundle.VersionRef{Bundle: l.Direct.Bundle, Number: l.Direct.Version})
	if err != nil {
		return err
	}
	if !ok {
		return missing
	}
	if v.Alias != l.Direct.Snapshot {
		return bundle.Errorf(bundle.KindInvalid, "BundleVersion (%s, %d) referenced in Link %s has the snapshot %s, not %s.",
			l.Direct.Bundle, l.Direct.Version, l.Name, v.Alias, l.Direct.Snapshot)
	}
	cycle := l.Direct.Bundle == d.bundleRow.uuid
	for _, i := range l.Indirect {
		cycle = cycle || i.Bundle == d.bundleRow.uuid
	}
	if cycle {
		return bundle.Errorf(bundle.KindInvalid, "Link cycle detected: Cannot create draft.").With("reason", "cycle")
	}
	return nil
}

func (a *applier) deleteDraft(b DeleteDraft) error {
	d, err := a.ownDraft(b.ID)
	if err != nil {
		return err
	}
	if b.IfRevision != 0 && clamp(b.IfRevision) != d.revision {
		return changedSince(b.ID)
	}
	if err := a.run(`UPDATE drafts SET state = 1 WHERE id = ?`, d.id); err != nil {
		return err
	}
	if err := a.countDrafts(&d.bundleRow, -1); err != nil {
		return err
	}
	a.result.ID = b.ID
	return a.discard(trashDraft, d.id, 0)
}

func (a *applier) rebaseDraft(b RebaseDraft) error {
	d, err := a.ownDraft(b.ID)
	if err != nil {
		return err
	}
	if err := checkMoved(&d, b.Revision, b.Base); err != nil {
		return err
	}
	a.result.ID, a.result.Revision = b.ID, uint64(d.revision+1)
	return a.run(`UPDATE drafts SET base = ?, revision = revision + 1, updated = ? WHERE id = ?`, clamp(b.Base), a.now, d.id)
}

// forgetEdits leaves alone what is staged: it may become visible later.
func (a *applier) forgetEdits(b ForgetEdits) error {
	d, err := a.ownDraft(b.Draft)
	if err != nil {
		return err
	}
	if clamp(b.Revision) != d.revision {
		return changedSince(b.Draft)
	}
	for _, path := range b.Files {
		if err := a.run(`DELETE FROM draft_files WHERE draft = ?1 AND path = ?2
 AND NOT EXISTS (SELECT 1 FROM patches p WHERE p.id = patch AND p.seq <= 0)`, d.id, path); err != nil {
			return err
		}
	}
	for _, name := range b.Links {
		if err := a.run(`DELETE FROM draft_links WHERE draft = ? AND name = ?`, d.id, name); err != nil {
			return err
		}
	}
	a.result.ID, a.result.Revision = b.Draft, uint64(d.revision+1)
	return a.run(`UPDATE drafts SET revision = revision + 1, updated = ? WHERE id = ?`, a.now, d.id)
}

func changedSince(draft bundle.ID) error {
	return bundle.Errorf(bundle.KindPrecondition, "draft %s has changed since; read it again", draft)
}

// checkMoved refuses what was composed for another revision of the draft or
// another newest version of its bundle.
func checkMoved(d *draftRow, revision, head uint64) error {
	if clamp(revision) != d.revision {
		return bundle.Errorf(bundle.KindConflict, "the draft has changed meanwhile; look again and retry").
			With("reason", "revision").With("revision", fmt.Sprint(d.revision))
	}
	if clamp(head) != d.bundleRow.head {
		return bundle.Errorf(bundle.KindConflict, "the bundle has a newer version %d; look again and retry", d.bundleRow.head).
			With("reason", "head").With("head", fmt.Sprint(d.bundleRow.head))
	}
	return nil
}
