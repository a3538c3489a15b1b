package rest

import (
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

// ownCollection returns the collection, which must be this instance's.
func (x *exchange) ownCollection(id bundle.ID) (c catalog.Collection, err error) {
	err = x.view(func(v *catalog.View) (err error) {
		c, err = primary.OwnCollection(v, id)
		return err
	})
	return c, err
}

// ownBundle returns the bundle, which must be this instance's.
func (x *exchange) ownBundle(id bundle.ID) (b catalog.Bundle, err error) {
	err = x.view(func(v *catalog.View) (err error) {
		b, err = primary.OwnBundle(v, id)
		return err
	})
	return b, err
}
