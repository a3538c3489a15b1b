package primary

import (
	"context"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// answered returns the result that a call with this context's request id had
// before, if it had one: what it would compose now it would compose from a
// state that has changed since, not least by itself. Refusals that the call
// went on after are passed by; one that ended it is the error again.
func (p *Primary) answered(ctx context.Context) (r catalog.Result, done bool, err error) {
	if _, ok := requestOf(ctx, 0); !ok {
		return r, false, nil
	}
	err = p.catalog.View(ctx, func(v *catalog.View) error {
		for attempt := range maxAttempts {
			id, _ := requestOf(ctx, attempt)
			r, err = v.Result(id)
			if bundle.IsKind(err, bundle.KindNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			if done = r.Err == nil; done {
				return nil
			}
			if err := r.Err; !moved(err) && err.Kind != bundle.KindBlobGone {
				return err
			}
		}
		return nil
	})
	return r, done, err
}
