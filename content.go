package blockstored

import (
	"context"
	"crypto/sha256"
	"errors"
	"iter"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

// The methods that make an Instance an api.Store are in the files content*.go.
// They go to the rooms directly, as the handlers of rest do, and show what these
// return as rest shows it. Who calls them is trusted: there is no token.

var _ api.Store = (*Instance)(nil)

// Healthy returns nil if the catalog answers.
func (i *Instance) Healthy(ctx context.Context) error {
	return i.view(ctx, func(s *state) error {
		_, err := s.Instance()
		return err
	})
}

// state is one consistent state of the catalog, and the names in it.
type state struct {
	*catalog.View
	owners  *primary.Owners
	bundles map[bundle.ID]catalog.Bundle // seen, for lists of versions
}

// settle waits until a read of this node is of the level that the caller wants.
func (i *Instance) settle(ctx context.Context) error {
	_, _, err := i.read(ctx, string(api.LevelOf(ctx)))
	return err
}

// decide waits until a change can be decided on what this node shows.
func (i *Instance) decide(ctx context.Context) error {
	if api.LevelOf(ctx) == api.Strong {
		return i.settle(ctx)
	}
	_, err := i.current(ctx)
	return err
}

// view runs fn on a state of the level that the caller wants.
func (i *Instance) view(ctx context.Context, fn func(s *state) error) error {
	if err := i.settle(ctx); err != nil {
		return told(ctx, err)
	}
	return told(ctx, i.look(ctx, fn))
}

// look runs fn on the state as it is.
func (i *Instance) look(ctx context.Context, fn func(s *state) error) error {
	return i.catalog.View(ctx, func(v *catalog.View) error {
		return fn(&state{v, primary.NewOwners(v), make(map[bundle.ID]catalog.Bundle)})
	})
}

// told returns an error of the rooms as a host sees it.
func told(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil && errors.Is(err, ended) {
		return context.Cause(ctx)
	}
	if c, ok := errors.AsType[*primary.ConflictError](err); ok {
		conflicts := make([]api.Conflict, len(c.Conflicts))
		for k, one := range c.Conflicts {
			conflicts[k] = api.Conflict{Path: one.Path, Link: one.Link, Kind: string(one.Kind)}
		}
		return api.NewConflictError(c.Error(), conflicts)
	}
	if e, ok := errors.AsType[*bundle.Error](err); ok && e.Kind == bundle.KindReadOnly {
		return e.With("primary", e.Fields["primary_name"])
	}
	return err
}

// unread is told for the content of files: bytes that are gone are not found,
// since a reader cannot store them again.
func unread(ctx context.Context, err error) error {
	if bundle.IsKind(err, bundle.KindBlobGone) {
		return bundle.Errorf(bundle.KindNotFound, "The content of this file is not here any more.")
	}
	return told(ctx, err)
}

// referenced is the refusal of a field that names an object which does not exist.
func referenced(err error, field string, id bundle.ID) error {
	if !bundle.IsKind(err, bundle.KindNotFound) {
		return err
	}
	return bundle.Errorf(bundle.KindInvalid, "%s: Object with uuid=%s does not exist.", field, id)
}

// keyed returns the context of the one change that a call makes, with the
// caller's idempotency key if it has one. The same key in a call of another
// method, or on another object, is another request. A change begins with what it
// finds here, so it waits as a read does: the change before it may have been
// made through another node.
func (i *Instance) keyed(ctx context.Context, method, object string) (context.Context, error) {
	if err := i.decide(ctx); err != nil {
		return ctx, told(ctx, err)
	}
	key, err := api.IdempotencyKey(ctx)
	if err != nil || key == "" {
		return ctx, err
	}
	sum := sha256.Sum256([]byte("host\n" + method + " " + object + "\n" + key))
	return primary.WithRequest(ctx, catalog.RequestID(sum[:len(catalog.RequestID{})])), nil
}

// maybeAnswered reports whether err, that an object is not there, may be what this
// very call did when it was made before: whoever decides the change knows.
func maybeAnswered(change context.Context, err error) bool {
	_, keyed := primary.RequestOf(change)
	return keyed && bundle.IsKind(err, bundle.KindNotFound)
}

// pageRows is how many rows of a list are read at a time, in one short view.
const pageRows = 500

// list reads a list page by page while it is ranged over.
func list[R, T any](
	ctx context.Context, i *Instance,
	find func(s *state, p catalog.Page) (catalog.Found[R], error), show func(s *state, row R) (T, error),
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for page, more := (catalog.Page{Limit: pageRows}), true; more; {
			var items []T
			err := i.view(ctx, func(s *state) error {
				found, err := find(s, page)
				if err != nil {
					return err
				}
				for _, r := range found.Rows {
					item, err := show(s, r.Row)
					if err != nil {
						return err
					}
					items = append(items, item)
				}
				page.After, more = found.Next, found.More
				return nil
			})
			if !each(items, err, yield) {
				return
			}
		}
	}
}

// each yields items, and err after them if there is one. It reports whether to
// go on.
func each[T any](items []T, err error, yield func(T, error) bool) bool {
	if err != nil {
		var none T
		yield(none, err)
		return false
	}
	for _, item := range items {
		if !yield(item, nil) {
			return false
		}
	}
	return true
}
