package catalog

import (
	"context"
	"errors"

	"github.com/blockstored/blockstored/bundle"
)

// View is one read transaction: everything it returns belongs to one moment.
// It is for one goroutine, and for a short time: while it is open, the
// write-ahead log cannot be folded into the database.
type View struct {
	*session
	alive func() error // the context's Err, for scans
}

// View runs fn in a read transaction and returns what fn returns. It waits
// while many others run.
func (db *DB) View(ctx context.Context, fn func(v *View) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h, err := db.use()
	if err != nil {
		return err
	}
	defer h.users.Done()
	s, err := h.reader(ctx)
	if err != nil {
		return err
	}
	broken := true
	defer func() { h.put(s, broken) }()
	if err := s.run(`BEGIN`); err != nil {
		return err
	}
	err = fn(&View{session: s, alive: ctx.Err})
	undo := s.run(`ROLLBACK`)
	broken = undo != nil
	return errors.Join(err, undo)
}

// Applied returns the index and term of the newest entry this view shows.
func (v *View) Applied() (index, term uint64, err error) {
	st, err := loadState(v.session)
	return st.appliedIndex, st.appliedTerm, err
}

// Counts returns the instance's totals.
func (v *View) Counts() (Counts, error) {
	st, err := loadState(v.session)
	return Counts{
		Collections: st.collections, Drafts: st.drafts, Versions: st.versions,
		Records: st.logSize, Blobs: st.blobs,
		Bundles: map[string]int64{
			"own": st.bundlesOwn, "copy": st.bundlesCopy, "withdrawn": st.bundlesWithdrawn,
			"parked": st.parked, "held": st.held,
		},
	}, err
}

// notFound is what every look-up in vain answers.
func notFound() *bundle.Error { return bundle.Errorf(bundle.KindNotFound, "Not found.") }

// Instance returns this instance, KindNotFound before it was made.
func (v *View) Instance() (Instance, error) { return instanceOf(v.session) }

func instanceOf(s *session) (Instance, error) {
	var i Instance
	ok, err := s.get(`SELECT uuid, name, descriptor, generation, created FROM instance WHERE id = 1`, nil,
		blob{i.ID[:]}, &i.Name, &i.Descriptor, &i.Generation, &i.Created)
	if err == nil && !ok {
		return i, bundle.Errorf(bundle.KindNotFound, "this instance was not made yet; run init")
	}
	return i, err
}

// Secret returns a sealed secret, KindNotFound if there is none of that name.
func (v *View) Secret(name string) (sealed []byte, err error) {
	ok, err := v.get(`SELECT sealed FROM secrets WHERE name = ?`, []any{name}, &sealed)
	if err == nil && !ok {
		err = bundle.Errorf(bundle.KindNotFound, "there is no secret named %s", name)
	}
	return sealed, err
}

// Result returns the result of a request of the last 24 hours, KindNotFound if
// none is known.
func (v *View) Result(id RequestID) (Result, error) {
	r, ok, err := resultOf(v.session, id)
	if err == nil && !ok {
		err = notFound()
	}
	return r, err
}
