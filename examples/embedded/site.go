package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

const (
	siteTitle = "Pages"  // of the collection and of its one bundle
	siteSlug  = "pages"  // of the bundle
	draftName = "editor" // of the draft that pages are staged in

	maxPage = 1 << 20 // bytes
)

// site keeps pages as the files of one bundle. What is edited is staged in a
// draft; publishing makes it the bundle's next version.
type site struct {
	store  api.Store // in this process; a client.Client would do as well
	bundle bundle.ID

	editing sync.Mutex // one at a time may make the draft
}

// newSite finds the bundle of the pages, or makes it on the first start.
func newSite(ctx context.Context, store api.Store) (*site, error) {
	for b, err := range store.Bundles(ctx, api.BundleFilter{Text: siteSlug}) {
		if err != nil {
			return nil, err
		}
		if b.Slug == siteSlug && !b.ReadOnly {
			return &site{store: store, bundle: b.ID}, nil
		}
	}
	collection, err := store.CreateCollection(ctx, siteTitle)
	if err != nil {
		return nil, err
	}
	b, err := store.CreateBundle(ctx, api.NewBundle{Collection: collection.ID, Title: siteTitle, Slug: siteSlug})
	if err != nil {
		return nil, err
	}
	return &site{store: store, bundle: b.ID}, nil
}

func (s *site) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", answer(s.list))
	mux.HandleFunc("GET /pages/{page...}", answer(s.show))
	mux.HandleFunc("PUT /pages/{page...}", answer(s.stage))
	mux.HandleFunc("DELETE /pages/{page...}", answer(s.remove))
	mux.HandleFunc("POST /publish", answer(s.publish))
	return mux
}

// answer shows the error of f, if it has one, by its kind.
func answer(f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := f(w, r)
		switch {
		case err == nil:
		case tooBig(err):
			http.Error(w, fmt.Sprintf("A page has at most %d bytes.", maxPage), http.StatusRequestEntityTooLarge)
		case bundle.IsKind(err, bundle.KindNotFound):
			http.Error(w, "There is no such page.", http.StatusNotFound)
		case bundle.IsKind(err, bundle.KindInvalid), bundle.IsKind(err, bundle.KindConflict):
			http.Error(w, err.Error(), http.StatusBadRequest)
		default:
			http.Error(w, "The store does not answer: "+err.Error(), http.StatusServiceUnavailable)
		}
	}
}

func tooBig(err error) bool {
	_, is := errors.AsType[*http.MaxBytesError](err)
	return is
}

// list shows the published pages, a line each.
func (s *site) list(w http.ResponseWriter, r *http.Request) error {
	n, err := s.version(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if n == 0 {
		_, err := io.WriteString(w, "nothing is published yet\n")
		return err
	}
	v, err := s.store.Version(r.Context(), s.bundle, n)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "version %d\n", n)
	for _, page := range slices.Sorted(maps.Keys(v.Snapshot.Files)) {
		fmt.Fprintf(w, "/pages/%s (%d bytes)\n", page, v.Snapshot.Files[page].Size)
	}
	return nil
}

// show sends a published page: of the newest version, or of ?version=N.
func (s *site) show(w http.ResponseWriter, r *http.Request) error {
	n, err := s.version(r)
	if err != nil {
		return err
	}
	if n == 0 {
		return bundle.Errorf(bundle.KindNotFound, "nothing is published yet")
	}
	page, err := s.store.OpenVersionFile(r.Context(), s.bundle, n, r.PathValue("page"), api.Range{})
	if err != nil {
		return err
	}
	defer page.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8") // whoever writes pages may not run scripts here
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = io.Copy(w, page) // the answer has begun: a fault ends it early
	return nil
}

// version returns the version that r asks for; 0 if none is published.
func (s *site) version(r *http.Request) (uint64, error) {
	if asked := r.FormValue("version"); asked != "" {
		n, err := strconv.ParseUint(asked, 10, 64)
		if err != nil || n == 0 {
			return 0, bundle.Errorf(bundle.KindInvalid, "%q is no version: give 1, 2, 3 …", asked)
		}
		return n, nil
	}
	b, err := s.store.Bundle(r.Context(), s.bundle)
	return b.Newest(), err
}

// stage keeps the body as a page that the next publication shows.
func (s *site) stage(w http.ResponseWriter, r *http.Request) error {
	draft, err := s.draft(r.Context())
	if err != nil {
		return err
	}
	body := http.MaxBytesReader(w, r.Body, maxPage)
	if _, err := s.store.PutDraftFile(r.Context(), draft, r.PathValue("page"), body, r.ContentLength); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// remove takes a page out of the next publication.
func (s *site) remove(w http.ResponseWriter, r *http.Request) error {
	draft, err := s.draft(r.Context())
	if err != nil {
		return err
	}
	if _, err := s.store.DeleteDraftFile(r.Context(), draft, r.PathValue("page")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// publish makes what is staged the next version, as a whole or not at all.
func (s *site) publish(w http.ResponseWriter, r *http.Request) error {
	draft, err := s.draft(r.Context())
	if err != nil {
		return err
	}
	n, err := s.store.CommitDraft(r.Context(), draft, api.Commit{ChangeDescription: r.FormValue("change")})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "version %d is published\n", n)
	return err
}

// draft returns the draft that pages are staged in, making it if need be.
func (s *site) draft(ctx context.Context) (bundle.ID, error) {
	s.editing.Lock()
	defer s.editing.Unlock()
	b, err := s.store.Bundle(ctx, s.bundle)
	if err != nil {
		return bundle.ID{}, err
	}
	if id, made := b.Drafts[draftName]; made {
		return id, nil
	}
	d, err := s.store.CreateDraft(ctx, s.bundle, draftName)
	return d.ID, err
}
