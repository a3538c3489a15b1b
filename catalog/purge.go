package catalog

// What a row of trash is about.
const (
	trashStage      = 0 // of a draft, under patch floor: it was given up
	trashOverlay    = 1 // of a draft, up to floor: it was committed
	trashDraft      = 2
	trashBundle     = 3 // this and the next wait for deletedKept
	trashCollection = 4 // floor: the last of its bundles that is done
)

const (
	hour         = int64(3600 * 1000 * 1000) // µs
	requestsKept = 24 * hour
	// stagedKept is how long what was staged waits for the next of its patch.
	stagedKept = 24 * hour
	// deletedKept is how long the rows of what was deleted stay. No command
	// brings them back; a dump or a copy of the catalog still has them.
	deletedKept = 30 * 24 * hour
	maxPurge    = 10_000 // rows a command
)

// discard notes what Purge has to remove.
func (a *applier) discard(kind int, subject, floor int64) error {
	return a.run(`INSERT INTO trash (id, kind, subject, floor, time) VALUES (?, ?, ?, ?, ?)`,
		a.state.id(), kind, subject, floor, a.now)
}

// Purgeable reports whether a Purge is worth proposing at now, in µs: whether it
// would remove anything but the results of requests of one hour, which wait for
// each other, since each Purge leaves one more. It costs a few look-ups, whatever
// there is.
func (v *View) Purgeable(now int64) (bool, error) {
	return v.get(`SELECT 1 WHERE EXISTS (SELECT 1 FROM trash WHERE kind < 3)
 OR (SELECT time FROM trash WHERE kind >= 3 ORDER BY id LIMIT 1) < ?
 OR (SELECT min(time) FROM requests) < ?
 OR EXISTS (`+abandonedQuery+`)`, []any{now - deletedKept, now - requestsKept - hour, now - stagedKept, 1}, new(int))
}

// purger removes rows while it may.
type purger struct {
	*applier
	left int64 // rows it may still remove
}

// remove runs a DELETE whose last parameter is the limit of its rows. The text
// has it as +?, not ?: SQLite looks at what is bound to a bare LIMIT parameter to
// plan by it, and so compiles the statement anew whenever another number is.
func (p *purger) remove(text string, args ...any) error {
	if p.left == 0 {
		return nil
	}
	n, err := p.exec(text, append(args, p.left)...)
	p.left -= n
	return err
}

// purge removes rows until it has removed as many as it may or none is left.
func (a *applier) purge(b Purge) error {
	may := int64(min(max(b.Limit, 0), maxPurge))
	p := &purger{applier: a, left: may}
	if err := p.remove(`DELETE FROM requests WHERE time IN (SELECT time FROM requests WHERE time < ? ORDER BY time LIMIT +?)`,
		a.now-requestsKept); err != nil {
		return err
	}
	if err := p.giveUp(); err != nil {
		return err
	}
	for p.left > 0 {
		id, kind, subject, floor, ok, err := a.nextTrash()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := p.empty(id, kind, subject, floor); err != nil {
			return err
		}
		if p.left > 0 { // nothing of it is left
			if err := p.remove(`DELETE FROM trash WHERE id IN (SELECT id FROM trash WHERE id = ? LIMIT +?)`, id); err != nil {
				return err
			}
		}
	}
	a.result.Number = uint64(may - p.left)
	return nil
}

// abandonedQuery lists the staged patches that were touched last before a time.
const abandonedQuery = `SELECT id, draft FROM patches WHERE seq = 0 AND modified < ? ORDER BY modified, id LIMIT +?`

// giveUp makes trash of the patches that were staged and left. Each counts as a
// row, so that their number is bounded, too.
func (p *purger) giveUp() error {
	type staged struct{ patch, draft int64 }
	abandoned, err := collect(p.session, abandonedQuery, []any{p.now - stagedKept, p.left}, func(row scanner) (s staged, err error) {
		err = row.Scan(&s.patch, &s.draft)
		return s, err
	})
	if err != nil {
		return err
	}
	for _, s := range abandoned {
		if err := p.run(`UPDATE patches SET seq = ? WHERE id = ?`, patchGivenUp, s.patch); err != nil {
			return err
		}
		if err := p.discard(trashStage, s.draft, s.patch); err != nil {
			return err
		}
		p.left--
	}
	return nil
}

// nextTrash returns the first row of trash whose time has come. What has to wait
// does not keep what came after it, nor is it looked at: times grow with ids, so
// the first row of those that wait speaks for all of them.
func (a *applier) nextTrash() (id, kind, subject, floor int64, ok bool, err error) {
	ok, err = a.get(`SELECT id, kind, subject, floor FROM trash WHERE kind < 3 ORDER BY id LIMIT 1`, nil,
		&id, &kind, &subject, &floor)
	if ok || err != nil {
		return id, kind, subject, floor, ok, err
	}
	ok, err = a.get(`SELECT id, kind, subject, floor FROM
 (SELECT * FROM trash WHERE kind >= 3 ORDER BY id LIMIT 1) WHERE time < ?`, []any{a.now - deletedKept},
		&id, &kind, &subject, &floor)
	return id, kind, subject, floor, ok, err
}

// empty removes what a row of trash is about.
func (p *purger) empty(id, kind, subject, floor int64) error {
	switch kind {
	case trashStage:
		return p.emptyStage(subject, floor)
	case trashOverlay:
		return p.emptyOverlay(subject, floor)
	case trashDraft:
		return p.emptyDraft(subject)
	case trashBundle:
		return p.emptyBundle(subject)
	}
	return p.emptyCollection(id, subject, floor)
}

// emptyStage removes the operations that were staged under a patch.
func (p *purger) emptyStage(draft, patch int64) error {
	return p.remove(`DELETE FROM draft_files WHERE (draft, path, patch) IN (SELECT draft, path, patch
 FROM draft_files WHERE draft = ? AND patch = ? ORDER BY path LIMIT +?)`, draft, patch)
}

// emptyOverlay removes the operations of a draft up to floor. A patch goes
// after the last of its rows, which have no sequence number of their own; one
// that was given up goes, too.
func (p *purger) emptyOverlay(draft, floor int64) error {
	if err := p.remove(`DELETE FROM draft_files WHERE (draft, path, patch) IN (SELECT f.draft, f.path, f.patch
 FROM draft_files f LEFT JOIN patches p ON p.id = f.patch
 WHERE f.draft = ? AND coalesce(p.seq, f.seq) BETWEEN 1 AND ? ORDER BY f.path, f.patch LIMIT +?)`, draft, floor); err != nil {
		return err
	}
	if err := p.remove(`DELETE FROM draft_links WHERE (draft, name) IN
 (SELECT draft, name FROM draft_links WHERE draft = ? AND seq <= ? ORDER BY name LIMIT +?)`, draft, floor); err != nil {
		return err
	}
	return p.remove(`DELETE FROM patches WHERE id IN (SELECT id FROM patches p WHERE draft = ? AND seq <> 0 AND seq <= ?
 AND NOT EXISTS (SELECT 1 FROM draft_files f WHERE f.draft = p.draft AND f.patch = p.id) ORDER BY id LIMIT +?)`, draft, floor)
}

// emptyDraft removes all operations of a deleted draft, staged ones too.
func (p *purger) emptyDraft(draft int64) error {
	if err := p.remove(`DELETE FROM draft_files WHERE (draft, path, patch) IN
 (SELECT draft, path, patch FROM draft_files WHERE draft = ? ORDER BY path, patch LIMIT +?)`, draft); err != nil {
		return err
	}
	if err := p.remove(`DELETE FROM patches WHERE id IN (SELECT id FROM patches WHERE draft = ? ORDER BY id LIMIT +?)`, draft); err != nil {
		return err
	}
	return p.remove(`DELETE FROM draft_links WHERE (draft, name) IN
 (SELECT draft, name FROM draft_links WHERE draft = ? ORDER BY name LIMIT +?)`, draft)
}

// emptyBundle removes the drafts of a deleted bundle and those of its versions
// that no other version, and no draft, links to. Its own row stays, for a UUID is never used
// again.
func (p *purger) emptyBundle(id int64) error {
	drafts, err := collect(p.session, `SELECT id FROM drafts WHERE bundle = ? AND state = 0 ORDER BY id LIMIT +?`,
		[]any{id, p.left}, func(row scanner) (draft int64, err error) {
			err = row.Scan(&draft)
			return draft, err
		})
	if err != nil {
		return err
	}
	for _, draft := range drafts {
		if err := p.emptyDraft(draft); err != nil || p.left == 0 {
			return err
		}
		if err := p.run(`UPDATE drafts SET state = 1 WHERE id = ?`, draft); err != nil {
			return err
		}
		p.left--
	}
	const unlinked = `SELECT v.num FROM versions v JOIN bundles b ON b.id = v.bundle WHERE v.bundle = ?1
 AND NOT EXISTS (SELECT 1 FROM deps d WHERE d.target = b.uuid AND d.target_num = v.num)
 AND NOT EXISTS (SELECT 1 FROM draft_links l WHERE l.target = b.uuid AND l.target_num = v.num)`
	if err := p.remove(`DELETE FROM deps WHERE (bundle, num, ordinal) IN (SELECT bundle, num, ordinal FROM deps
 WHERE bundle = ?1 AND num IN (`+unlinked+`) ORDER BY num, ordinal LIMIT +?2)`, id); err != nil {
		return err
	}
	return p.remove(`DELETE FROM versions WHERE bundle = ?1 AND num IN (`+unlinked+` ORDER BY v.num LIMIT +?2)`, id)
}

// emptyCollection empties the bundles of a deleted collection one by one.
func (p *purger) emptyCollection(id, collection, floor int64) error {
	for p.left > 0 {
		ok, err := p.get(`SELECT id FROM bundles WHERE collection = ? AND id > ? ORDER BY id LIMIT 1`, []any{collection, floor}, &floor)
		if err != nil || !ok {
			return err
		}
		if err := p.emptyBundle(floor); err != nil || p.left == 0 {
			return err
		}
		p.left--
		if err := p.run(`UPDATE trash SET floor = ? WHERE id = ?`, floor, id); err != nil {
			return err
		}
	}
	return nil
}
