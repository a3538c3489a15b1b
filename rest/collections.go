package rest

import (
	"net/http"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

// toRoot adds the slash that only the root has.
func toRoot(x *exchange) error {
	x.w.Header().Set("Location", x.root()+"/api/v1/")
	x.w.WriteHeader(http.StatusMovedPermanently)
	return nil
}

func getRoot(x *exchange) error {
	base := x.base() + "/api/v1/"
	b := appendText([]byte("{"), "bundles", base+"bundles")
	b = appendText(b, "bundle_versions", base+"bundle_versions")
	b = appendText(b, "collections", base+"collections")
	b = appendText(b, "drafts", base+"drafts")
	return x.json(http.StatusOK, append(b, '}'))
}

func listCollections(x *exchange) error {
	return list(x, listing[catalog.Collection]{
		count: func(v *catalog.View, _ int64) (int64, error) {
			n, err := v.Counts()
			return n.Collections, err
		},
		rows: func(v *catalog.View, p catalog.Page) (catalog.Found[catalog.Collection], error) {
			return catalog.FoundOf(v.Collections, p)
		},
		show: (*printer).collection,
	})
}

func getCollection(x *exchange) error {
	var b []byte
	err := x.view(func(v *catalog.View) error {
		c, err := v.Collection(x.id)
		if err != nil {
			return err
		}
		b, err = x.printer(v).collection(nil, c)
		return err
	})
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, b)
}

func createCollection(x *exchange) error {
	in, err := x.object()
	if err != nil {
		return err
	}
	return x.newCollection(in, bundle.ID{})
}

// newCollection makes a collection of a body's fields; a zero id is chosen.
func (x *exchange) newCollection(in input, id bundle.ID) error {
	var f faults
	title := f.text(in, titleRule, false)
	if err := f.err(); err != nil {
		return err
	}
	ctx, err := x.ctx()
	if err != nil {
		return err
	}
	c, err := x.cfg.Primary.CreateCollection(ctx, primary.NewCollection{ID: id, Title: *title})
	if err != nil {
		return err
	}
	b, err := x.shownCollection(c)
	if err != nil {
		return err
	}
	return x.made(links{x.base()}.collection(c.ID), b)
}

func putCollection(x *exchange) error   { return x.changeCollection(false) }
func patchCollection(x *exchange) error { return x.changeCollection(true) }

func (x *exchange) changeCollection(partial bool) error {
	c, err := x.ownCollection(x.id)
	if err != nil {
		return err
	}
	in, err := x.object()
	if err != nil {
		return err
	}
	var f faults
	title := f.text(in, titleRule, partial)
	if err := f.err(); err != nil {
		return err
	}
	if title != nil {
		ctx, err := x.ctx()
		if err != nil {
			return err
		}
		if c, err = x.cfg.Primary.UpdateCollection(ctx, x.id, *title); err != nil {
			return err
		}
	}
	b, err := x.shownCollection(c)
	if err != nil {
		return err
	}
	return x.changed(b)
}

func (x *exchange) shownCollection(c catalog.Collection) (b []byte, err error) {
	err = x.view(func(v *catalog.View) error {
		b, err = x.printer(v).collection(nil, c)
		return err
	})
	return b, err
}

func deleteCollection(x *exchange) error {
	ctx, err := x.ctx()
	if err != nil {
		return err
	}
	if _, err := x.ownCollection(x.id); err != nil && !x.maybeAnswered(err) {
		return err
	}
	if err := x.cfg.Primary.DeleteCollection(ctx, x.id); err != nil {
		return err
	}
	return x.done()
}

// object reads a body whose fields are wanted.
func (x *exchange) object() (input, error) {
	b, err := x.body()
	if err != nil {
		return nil, err
	}
	return b.object()
}
