package primary

import (
	"context"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// CommitOptions is what a version says about itself. License and Attribution
// are free text; Redistribute says who may pass the version on: "none", "peers",
// "any", or "" for what the instance's settings say.
type CommitOptions struct {
	ChangeDescription string
	License           string
	Attribution       string
	Redistribute      string
	// IfRevision, unless 0, is the revision that the draft must be at;
	// KindPrecondition otherwise.
	IfRevision uint64
}

func (o *CommitOptions) check() error {
	faults := []fault{
		textField("change_description", &o.ChangeDescription, maxChangeDescription),
		textField("license", &o.License, maxChangeDescription),
		textField("attribution", &o.Attribution, maxChangeDescription),
	}
	switch o.Redistribute {
	case "", "none", "peers", "any":
	default:
		faults = append(faults, fault{"redistribute", "Choose one of none, peers, any."})
	}
	return checkFields(faults...)
}

// Commit makes a draft the next version of its bundle. When it returns, the
// version is durable, the draft's overlay is empty, and its base is the version.
//
// If the bundle moved on since the draft's base, the draft's changes are made to
// the newest version. Where both changed the same the error is a
// *[ConflictError] and nothing changes. A draft that does not differ from its
// base is KindInvalid, "Draft has no changes to commit.".
//
// The cost grows with the paths that the draft touches, not with the bundle.
func (p *Primary) Commit(ctx context.Context, draft bundle.ID, o CommitOptions) (catalog.Version, error) {
	start := p.now()
	if err := o.check(); err != nil {
		return catalog.Version{}, err
	}
	// The draft may be gone since, so a repeated call asks for its answer first.
	r, done, err := p.answered(ctx)
	if !done && err == nil {
		r, err = p.commit(ctx, draft, o)
	}
	if err != nil {
		return catalog.Version{}, err
	}
	v, err := look(ctx, p, bundle.VersionRef{Bundle: r.ID, Number: r.Number}, (*catalog.View).Version)
	if err == nil {
		p.metrics.Commit(p.now().Sub(start))
	}
	return v, err
}

func (p *Primary) commit(ctx context.Context, draft bundle.ID, o CommitOptions) (catalog.Result, error) {
	d, err := look(ctx, p, draft, (*catalog.View).Draft)
	if err != nil {
		return catalog.Result{}, err
	}
	leave, err := p.enterCommit(ctx, d)
	if err != nil {
		return catalog.Result{}, err
	}
	defer leave()
	r, done, err := p.answered(ctx) // the same call may have been under way
	if done || err != nil {
		return r, err
	}
	r, err = again(func(attempt int) (catalog.Result, error) { return p.commitOnce(ctx, attempt, draft, o) })
	if err != nil { // the same call, given up by who made it, may have taken effect since
		if first, done, failed := p.answered(ctx); done && failed == nil {
			return first, nil
		}
	}
	return r, err
}

// enterCommit waits until no other change of the draft and no other commit of
// its bundle is under way here.
func (p *Primary) enterCommit(ctx context.Context, d catalog.Draft) (leave func(), err error) {
	leaveDraft, err := p.drafts.enter(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	leaveBundle, err := p.commits.enter(ctx, d.Bundle)
	if err != nil {
		leaveDraft()
		return nil, err
	}
	return func() { leaveBundle(); leaveDraft() }, nil
}

// maxGone is how often a commit that finds a manifest page gone is composed and
// stored anew. Once mends what garbage collection can do to it.
const maxGone = 2

// again calls try until it succeeds or is refused for good. Each call starts
// from what the catalog holds by then.
func again[R any](try func(attempt int) (R, error)) (R, error) {
	gone := 0
	for attempt := 0; ; attempt++ {
		r, err := try(attempt)
		if bundle.IsKind(err, bundle.KindBlobGone) {
			gone++
		} else if !moved(err) {
			return r, err
		}
		if gone > maxGone || attempt == maxAttempts {
			return r, err
		}
	}
}

// commitOnce composes and proposes a version of the draft as it is now, if that
// is at the revision of o or any will do.
func (p *Primary) commitOnce(ctx context.Context, attempt int, draft bundle.ID, o CommitOptions) (catalog.Result, error) {
	s, err := p.load(ctx, draft)
	if err != nil {
		return catalog.Result{}, err
	}
	if err := atRevision(s.Draft, o.IfRevision); err != nil {
		return catalog.Result{}, err
	}
	head, m, err := p.mergeOnHead(ctx, s)
	if err != nil {
		return catalog.Result{}, err
	}
	if !m.changed {
		return catalog.Result{}, bundle.Errorf(bundle.KindInvalid, "Draft has no changes to commit.").With("reason", "no_changes")
	}
	content, blobs, err := p.writeManifest(ctx, head, m)
	if err != nil {
		return catalog.Result{}, err
	}
	body := catalog.CommitVersion{
		Draft:        draft,
		Revision:     s.Draft.Revision,
		ExpectedHead: s.Head.Number,
		Snapshot: catalog.Snapshot{
			Manifest: content.Digest(),
			Files:    int64(content.NumFiles()),
			Bytes:    content.Bytes(),
			Deps:     catalog.DepsOf(m.links),
		},
		ChangeDescription: o.ChangeDescription,
		License:           o.License,
		Attribution:       o.Attribution,
		Redistribute:      o.Redistribute,
	}
	if room := commandWeight - depWeight*len(body.Snapshot.Deps); locatedWeight*len(blobs) > room {
		if err := p.locate(ctx, blobs); err != nil {
			return catalog.Result{}, err
		}
		blobs = nil
	}
	body.Blobs = blobs
	return p.propose(ctx, attempt, body)
}

// mergeOnHead brings a draft together with its bundle's newest version and
// returns that version's content, nil for none. Conflicts are an error.
func (p *Primary) mergeOnHead(ctx context.Context, s *state) (*bundle.Manifest, *merged, error) {
	head := s.content
	if s.Head.Number != s.Base.Number {
		var err error
		if head, err = p.contentOf(ctx, s.Head); err != nil {
			return nil, nil, err
		}
	}
	m, err := p.merge(ctx, s, head)
	if err != nil {
		return nil, nil, err
	}
	if m.conflicts != nil {
		return nil, nil, newConflictError(s.Draft, s.Head.Number, m.conflicts)
	}
	return head, m, nil
}

// writeManifest stores the pages by which a version differs from the one before
// it, all in one object, and remembers them: the next commit starts from here.
func (p *Primary) writeManifest(ctx context.Context, head *bundle.Manifest, m *merged) (*bundle.Manifest, []bundle.Located, error) {
	root, pages, err := bundle.Edit(ctx, head, p.fetch, m.changes, m.links)
	if err != nil {
		return nil, nil, err
	}
	bs := make([][]byte, len(pages))
	for i, page := range pages {
		bs[i] = page.Bytes
	}
	blobs, err := p.storeBlobs(ctx, bs)
	if err != nil {
		return nil, nil, err
	}
	for _, page := range pages {
		p.pages.add(page.Digest, page.Bytes)
	}
	content, err := p.manifest(ctx, root)
	return content, blobs, err
}

// Rebase moves a draft's base to its bundle's newest version, so that the draft
// reads as it would after a commit. Conflicts are a *[ConflictError], and
// nothing changes. The draft must be at the revision ifRevision, unless that is
// 0; KindPrecondition otherwise.
func (p *Primary) Rebase(ctx context.Context, draft bundle.ID, ifRevision uint64) (catalog.Draft, error) {
	leave, err := p.drafts.enter(ctx, draft)
	if err != nil {
		return catalog.Draft{}, err
	}
	defer leave()
	return p.once(ctx, draft, func() (catalog.Draft, error) {
		return again(func(attempt int) (catalog.Draft, error) { return p.rebaseOnce(ctx, attempt, draft, &ifRevision) })
	})
}

// rebaseOnce rebases the draft as it is now. wanted is the revision that it must
// be at, and follows what this call itself does to it.
func (p *Primary) rebaseOnce(ctx context.Context, attempt int, draft bundle.ID, wanted *uint64) (catalog.Draft, error) {
	s, err := p.load(ctx, draft)
	if err != nil {
		return catalog.Draft{}, err
	}
	if err := atRevision(s.Draft, *wanted); err != nil {
		return catalog.Draft{}, err
	}
	if s.Draft.Base == s.Head.Number {
		return s.Draft, nil
	}
	_, m, err := p.mergeOnHead(ctx, s)
	if err != nil {
		return catalog.Draft{}, err
	}
	revision, err := p.forget(ctx, s.Draft, m.idleFiles, m.idleLinks)
	if err != nil {
		return catalog.Draft{}, err
	}
	if *wanted != 0 {
		*wanted = revision
	}
	r, err := p.propose(ctx, attempt, catalog.RebaseDraft{ID: draft, Revision: revision, Base: s.Head.Number})
	if err != nil {
		return catalog.Draft{}, err
	}
	d := s.Draft
	d.Base, d.Revision, d.Updated = s.Head.Number, r.Revision, r.Time
	return d, nil
}

// forget takes what changes nothing out of a draft's overlay and returns the
// draft's revision then. The draft shows, and comes to, what it did before, so
// nothing is to be undone if the call ends here.
func (p *Primary) forget(ctx context.Context, d catalog.Draft, files, links []string) (uint64, error) {
	revision := d.Revision
	for len(files)+len(links) > 0 {
		body := catalog.ForgetEdits{Draft: d.ID, Revision: revision}
		left := commandWeight
		body.Files, files, left = fitting(files, left)
		body.Links, links, _ = fitting(links, left)
		r, err := p.proposeAside(ctx, body)
		if err != nil {
			return 0, err
		}
		revision = r.Revision
	}
	return revision, nil
}

// fitting returns those of names that come first and fit a weight, the others,
// and what is left of the weight.
func fitting(names []string, weight int) (fit, rest []string, left int) {
	const head = 5 // of a CBOR text, at most
	for n, name := range names {
		if weight -= head + len(name); weight < 0 {
			return names[:n], names[n:], 0
		}
	}
	return names, nil, weight
}
