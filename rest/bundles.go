package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

func listBundles(x *exchange) error {
	filter, err := x.bundleFilter()
	if err != nil {
		return err
	}
	return list(x, listing[catalog.Bundle]{
		count: func(v *catalog.View, most int64) (int64, error) { return v.CountBundles(filter, most) },
		rows: func(v *catalog.View, p catalog.Page) (catalog.Found[catalog.Bundle], error) {
			return v.FindBundles(filter, p)
		},
		show:  (*printer).bundle,
		chunk: len(filter.IDs), // which are all looked up for every page
	})
}

// bundleFilter reads the filters: from the query, or from the body if there is
// no query at all, which is how later clients of the original get around the
// length of a URL.
func (x *exchange) bundleFilter() (catalog.BundleFilter, error) {
	query := queryOf(x.r)
	if x.r.URL.RawQuery == "" {
		b, err := x.body()
		if err != nil {
			return catalog.BundleFilter{}, err
		}
		in, err := b.object()
		if err != nil {
			return catalog.BundleFilter{}, err
		}
		query = make(formValues)
		for _, key := range []string{"uuid", "text_search", "collection__uuid"} {
			query[key] = filterText(in[key])
		}
	}
	return parseBundleFilter(query)
}

// filterText returns a body's filter as it would stand in a query.
func filterText(v value) string {
	switch v.kind {
	case isString, isNumber:
		return v.text
	case isOther:
		var list []string
		if json.Unmarshal([]byte(v.text), &list) == nil {
			return strings.Join(list, ",")
		}
		return v.text
	}
	return ""
}

// maxFilterIDs bounds the filter uuid.
const maxFilterIDs = 10_000

func parseBundleFilter(query formValues) (catalog.BundleFilter, error) {
	var f faults
	filter := catalog.BundleFilter{Search: strings.TrimFunc(query["text_search"], isSpace)}
	if text := query["uuid"]; text != "" {
		filter.IDs = []bundle.ID{}
		for one := range strings.SplitSeq(text, ",") {
			if len(filter.IDs) == maxFilterIDs {
				f.add("uuid", fmt.Sprintf("Ask for at most %d at once.", maxFilterIDs))
				break
			}
			id, err := bundle.ParseID(one)
			if err != nil || id.String() != one {
				f.add("uuid", "Select a valid choice. "+one+" is not one of the available choices.")
				break
			}
			filter.IDs = append(filter.IDs, id)
		}
	}
	filter.Collection = f.idFilter(query, "collection__uuid")
	return filter, f.err()
}

// idFilter reads a filter that is one UUID in any spelling; zero if it is
// absent or empty.
func (f *faults) idFilter(query formValues, name string) (id bundle.ID) {
	if text := strings.TrimFunc(query[name], isSpace); text != "" {
		var ok bool
		if id, ok = looseID(text); !ok {
			f.add(name, msgNoUUID)
		}
	}
	return id
}

func getBundle(x *exchange) error {
	if _, err := x.body(); err != nil { // the original parses it first
		return err
	}
	b, err := x.shownBundle(func(v *catalog.View) (catalog.Bundle, error) { return v.Bundle(x.id) })
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, b)
}

// shownBundle appends a bundle, and tells its revision.
func (x *exchange) shownBundle(get func(v *catalog.View) (catalog.Bundle, error)) (b []byte, err error) {
	err = x.view(func(v *catalog.View) error {
		o, err := get(v)
		if err != nil {
			return err
		}
		x.tag(o.Revision)
		b, err = x.printer(v).bundle(nil, o)
		return err
	})
	return b, err
}

func createBundle(x *exchange) error {
	in, err := x.object()
	if err != nil {
		return err
	}
	return x.newBundle(in, bundle.ID{})
}

// newBundle makes a bundle of a body's fields; a zero id is chosen.
func (x *exchange) newBundle(in input, id bundle.ID) error {
	change, err := x.bundleFields(in, false)
	if err != nil {
		return err
	}
	n := primary.NewBundle{ID: id, Collection: *change.Collection, Slug: *change.Slug, Title: *change.Title}
	if change.Description != nil {
		n.Description = *change.Description
	}
	ctx, err := x.ctx()
	if err != nil {
		return err
	}
	o, err := x.cfg.Primary.CreateBundle(ctx, n)
	if err != nil {
		return err
	}
	b, err := x.shownBundle(func(*catalog.View) (catalog.Bundle, error) { return o, nil })
	if err != nil {
		return err
	}
	return x.made(links{x.base()}.bundle(o.ID), b)
}

// bundleFields validates what a body says of a bundle, all fields at once.
func (x *exchange) bundleFields(in input, partial bool) (c primary.BundleChange, err error) {
	var f faults
	var owned error
	if id, ok := f.reference(in, "collection_uuid", partial); ok {
		c.Collection = &id
		if _, err := x.ownCollection(id); bundle.IsKind(err, bundle.KindNotFound) {
			f.add("collection_uuid", noSuchObject(in["collection_uuid"].text))
		} else {
			owned = err
		}
	}
	c.Description = f.text(in, descriptionRule, partial)
	c.Slug = f.text(in, slugRule, partial)
	c.Title = f.text(in, titleRule, partial)
	if err := f.err(); err != nil {
		return c, err
	}
	return c, owned
}

func putBundle(x *exchange) error   { return x.changeBundle(false) }
func patchBundle(x *exchange) error { return x.changeBundle(true) }

func (x *exchange) changeBundle(partial bool) error {
	parsed, err := x.body() // before the bundle is looked for, as in the original
	if err != nil {
		return err
	}
	o, err := x.ownBundle(x.id)
	if err != nil {
		return err
	}
	in, err := parsed.object()
	if err != nil {
		return err
	}
	change, err := x.bundleFields(in, partial)
	if err != nil {
		return err
	}
	wanted, err := x.ifMatch(func() (uint64, error) { return o.Revision, nil })
	if err != nil {
		return err
	}
	if change == (primary.BundleChange{}) {
		if wanted != 0 && wanted != o.Revision {
			return bundle.Errorf(bundle.KindPrecondition, "bundle %s has changed since; read it again", x.id)
		}
	} else {
		change.IfRevision = wanted
		ctx, err := x.ctx()
		if err != nil {
			return err
		}
		if o, err = x.cfg.Primary.UpdateBundle(ctx, x.id, change); err != nil {
			return err
		}
	}
	b, err := x.shownBundle(func(*catalog.View) (catalog.Bundle, error) { return o, nil })
	if err != nil {
		return err
	}
	return x.changed(b)
}

func deleteBundle(x *exchange) error {
	if _, err := x.body(); err != nil {
		return err
	}
	ctx, err := x.ctx()
	if err != nil {
		return err
	}
	if _, err := x.ownBundle(x.id); err != nil && !x.maybeAnswered(err) {
		return err
	}
	if err := x.cfg.Primary.DeleteBundle(ctx, x.id); err != nil {
		return err
	}
	return x.done()
}
