package primary

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// forkTimeout bounds what a fork does after its bundle was made, whether the
// caller waits for it or not.
const forkTimeout = time.Minute

// Fork makes a bundle of this instance whose version 1 has the content of a
// version of any bundle, own or copied: its files and links, its license and
// attribution, and who may pass it on. The change description names the origin.
// No content is read or stored again, so the cost does not grow with it.
//
// KindNotFound if there is no such version. A fork that fails midway is
// withdrawn, unless the outcome is unknown. With a request id of the caller's
// (see [WithRequest]) it stays, and the same call made again completes it.
func (p *Primary) Fork(ctx context.Context, of bundle.VersionRef, n NewBundle) (catalog.Bundle, error) {
	from, m, err := p.Snapshot(ctx, of)
	if err != nil {
		return catalog.Bundle{}, err
	}
	b, err := p.CreateBundle(ctx, n)
	if err != nil {
		return b, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forkTimeout)
	defer cancel()
	if err := p.forkInto(ctx, b.ID, from, m); err != nil {
		if _, again := requestOf(ctx, 0); !again && field(err, "outcome") != "unknown" {
			if undo := p.DeleteBundle(ctx, b.ID); undo != nil {
				p.log.Warn("primary: a fork failed and its bundle stays empty", "bundle", b.ID, "error", undo)
			}
		}
		return b, err
	}
	return look(ctx, p, b.ID, (*catalog.View).Bundle)
}

// forkInto makes version 1 of a new bundle, through a draft that is gone
// afterwards.
func (p *Primary) forkInto(ctx context.Context, to bundle.ID, from catalog.Version, m *bundle.Manifest) error {
	d, err := p.propose(stepOf(ctx, "draft"), 0, catalog.CreateDraft{ID: bundle.NewID(), Bundle: to, Name: "fork"})
	if err != nil {
		return err
	}
	_, err = p.propose(stepOf(ctx, "version"), 0, catalog.CommitVersion{
		Draft:    d.ID,
		Revision: d.Revision,
		Snapshot: catalog.Snapshot{
			Manifest: from.Manifest, Files: from.Files, Bytes: from.Bytes, Deps: catalog.DepsOf(m.Links()),
		},
		ChangeDescription: fmt.Sprintf("Forked from bundle %s, version %d.", from.Bundle, from.Number),
		License:           from.License,
		Attribution:       from.Attribution,
		Redistribute:      from.Redistribute,
	})
	if err != nil {
		return err
	}
	if _, err := p.propose(stepOf(ctx, "end"), 0, catalog.DeleteDraft{ID: d.ID}); err != nil {
		p.log.Warn("primary: the draft of a fork stays", "bundle", to, "draft", d.ID, "error", err)
	}
	return nil
}

// stepOf returns ctx with a request id of the named step's own, if the call has
// one.
func stepOf(ctx context.Context, step string) context.Context {
	id, ok := requestOf(ctx, 0)
	if !ok {
		return ctx
	}
	sum := sha256.Sum256(append(id[:], step...))
	return WithRequest(ctx, catalog.RequestID(sum[:len(id)]))
}
