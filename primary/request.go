package primary

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

type requestKey struct{}

// WithRequest gives the next changing call made with the returned context a
// request id of the caller's, so that the same call made again within 24 hours
// has no second effect and gets the first answer. One id belongs to one call;
// the facing side derives it from the token and the client's Idempotency-Key.
// Without it every call has a random id.
func WithRequest(ctx context.Context, id catalog.RequestID) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestOf returns what WithRequest gave, for those who propose commands of
// their own.
func RequestOf(ctx context.Context) (id catalog.RequestID, ok bool) { return requestOf(ctx, 0) }

// requestOf returns the caller's request id, if there is one, as it is on the
// given attempt. A refusal is remembered under its id like any other result,
// so a call that proposes anew after one needs another id, and the same one
// when the whole call is repeated.
func requestOf(ctx context.Context, attempt int) (id catalog.RequestID, ok bool) {
	id, ok = ctx.Value(requestKey{}).(catalog.RequestID)
	if !ok || attempt == 0 {
		return id, ok
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(id[:], uint64(attempt)))
	return catalog.RequestID(sum[:len(id)]), true
}

// propose proposes the command that decides a call. attempt counts the
// proposals of one call that were refused in a way that can be mended.
func (p *Primary) propose(ctx context.Context, attempt int, body catalog.Body) (catalog.Result, error) {
	cmd := catalog.NewCommand(p.now(), body)
	if id, ok := requestOf(ctx, attempt); ok {
		cmd.Request = id
	}
	return p.send(ctx, cmd)
}

// proposeAside proposes a command that prepares a call and may be repeated: it
// never takes the caller's request id.
func (p *Primary) proposeAside(ctx context.Context, body catalog.Body) (catalog.Result, error) {
	return p.send(ctx, catalog.NewCommand(p.now(), body))
}

// send proposes cmd. A refusal is an error. What the proposer could not find out
// in its time is told as it says, with the field outcome=unknown.
func (p *Primary) send(ctx context.Context, cmd catalog.Command) (catalog.Result, error) {
	r, err := p.proposer.Propose(ctx, cmd)
	if err == nil && r.Err != nil {
		err = r.Err
	}
	return r, err
}

// field returns a field of the first *bundle.Error in err's chain.
func field(err error, name string) string {
	if e := asError(err); e != nil {
		return e.Fields[name]
	}
	return ""
}

// unmet is the reason of a refusal because a draft is not at the revision that
// the caller wants it to be at: no other attempt can mend that.
const unmet = "unmet"

// atRevision refuses a draft that is at another revision than wanted, unless that
// is 0.
func atRevision(d catalog.Draft, wanted uint64) error {
	if wanted == 0 || wanted == d.Revision {
		return nil
	}
	return bundle.Errorf(bundle.KindPrecondition, "The draft is at revision %d, not %d: read it again.", d.Revision, wanted).With("reason", unmet)
}

// stale reports whether a refusal says that a draft changed since it was read.
func stale(err error) bool {
	return bundle.IsKind(err, bundle.KindPrecondition) && field(err, "reason") != unmet ||
		bundle.IsKind(err, bundle.KindConflict) && field(err, "reason") == "revision"
}

// moved reports whether a refusal says that the draft or its bundle's newest
// version changed since they were read.
func moved(err error) bool {
	return stale(err) || bundle.IsKind(err, bundle.KindConflict) && field(err, "reason") == "head"
}
