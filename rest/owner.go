package rest

import (
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// writable returns a refusal that names the primary if the object belongs to
// another instance. what is the object in words, such as "Bundle 3f…".
func (x *exchange) writable(v *catalog.View, what string, o bundle.Owner) error {
	self, err := v.Instance()
	if err != nil || o.Instance == self.ID {
		return err
	}
	info := primaryInfo{Name: o.Instance.String()}
	peer, err := v.Peer(o.Instance)
	switch {
	case err == nil:
		info.Name = peer.Name
		if len(peer.Addresses) > 0 {
			info.URL = peer.Addresses[0]
		}
	case !bundle.IsKind(err, bundle.KindNotFound):
		return err
	}
	return x.refuseReadOnly(what+" is a read-only copy; its primary is "+info.Name, info)
}

// ownCollection returns the collection, which must be this instance's.
func (x *exchange) ownCollection(id bundle.ID) (c catalog.Collection, err error) {
	err = x.view(func(v *catalog.View) error {
		if c, err = v.Collection(id); err != nil {
			return err
		}
		return x.writable(v, "Collection "+id.String(), c.Owner)
	})
	return c, err
}

// ownBundle returns the bundle, which must be this instance's.
func (x *exchange) ownBundle(id bundle.ID) (b catalog.Bundle, err error) {
	err = x.view(func(v *catalog.View) error {
		if b, err = v.Bundle(id); err != nil {
			return err
		}
		return x.writable(v, "Bundle "+id.String(), b.Owner)
	})
	return b, err
}
