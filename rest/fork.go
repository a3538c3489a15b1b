package rest

import (
	"maps"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

// forkBundle makes an own bundle of a version of this one, which may be a copy:
// the newest, unless the body names another. What the body does not say of the
// new bundle is as it is here; its collection has to be said.
func forkBundle(x *exchange) error {
	var o catalog.Bundle
	err := x.view(func(v *catalog.View) (err error) {
		o, err = v.Bundle(x.id)
		return err
	})
	if err != nil {
		return err
	}
	in, err := x.object()
	if err != nil {
		return err
	}
	of, err := x.forked(in, o)
	if err != nil {
		return err
	}
	change, err := x.bundleFields(withDefaults(in, o), false)
	if err != nil {
		return err
	}
	ctx, err := x.ctx()
	if err != nil {
		return err
	}
	made, err := x.cfg.Primary.Fork(ctx, of, primary.NewBundle{
		Collection: *change.Collection, Slug: *change.Slug, Title: *change.Title, Description: *change.Description,
	})
	if err != nil {
		return err
	}
	b, err := x.shownBundle(func(*catalog.View) (catalog.Bundle, error) { return made, nil })
	if err != nil {
		return err
	}
	return x.made(links{x.base()}.bundle(made.ID), b)
}

// forked returns the version that a body names.
func (x *exchange) forked(in input, o catalog.Bundle) (ref bundle.VersionRef, err error) {
	ref = bundle.VersionRef{Bundle: o.ID, Number: o.Head}
	if v := in["version"]; v.kind != isMissing {
		var ok bool
		if ref.Number, ok = versionNumber(v.text); !ok || v.kind != isNumber && v.kind != isString {
			return ref, refuseField("version", "A valid integer is required.")
		}
	}
	err = x.view(func(v *catalog.View) error {
		_, err := v.Version(ref)
		return err
	})
	if bundle.IsKind(err, bundle.KindNotFound) {
		err = refuseField("version", "This bundle has no such version.")
	}
	return ref, err
}

// withDefaults returns the fields of a body, and those of a bundle that it does
// not have.
func withDefaults(in input, o catalog.Bundle) input {
	all := input{
		"title":       {kind: isString, text: o.Title},
		"slug":        {kind: isString, text: o.Slug},
		"description": {kind: isString, text: o.Description},
	}
	maps.Copy(all, in)
	return all
}
