package primary

import (
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// Owners tells whose objects are by the names that instances have here. It reads
// each name once. For one goroutine; what it has read stays when its view ends.
type Owners struct {
	view  *catalog.View
	self  *catalog.Instance
	names map[bundle.ID]string
}

// NewOwners returns the owners that a view shows.
func NewOwners(v *catalog.View) *Owners {
	return &Owners{view: v, names: make(map[bundle.ID]string)}
}

// Name returns the name of an object's primary as it is known here, and whether
// that is this instance. One that is not known has its id for a name.
func (o *Owners) Name(of bundle.Owner) (name string, own bool, err error) {
	if o.self == nil {
		self, err := o.view.Instance()
		if err != nil {
			return "", false, err
		}
		o.self = &self
	}
	if of.Instance == o.self.ID {
		return o.self.Name, true, nil
	}
	if name, ok := o.names[of.Instance]; ok {
		return name, false, nil
	}
	peer, err := o.view.Peer(of.Instance)
	if bundle.IsKind(err, bundle.KindNotFound) { // not a peer any more, or a peer's peer
		peer.Name, err = of.Instance.String(), nil
	}
	if err != nil {
		return "", false, err
	}
	o.names[of.Instance] = peer.Name
	return peer.Name, false, nil
}

// OwnCollection returns a collection that this instance may write. The refusal
// for a copy is of KindReadOnly and names its primary in the fields primary_name
// and primary_url.
func OwnCollection(v *catalog.View, id bundle.ID) (catalog.Collection, error) {
	c, err := v.Collection(id)
	if err != nil {
		return c, err
	}
	return c, checkOwn(v, "Collection "+id.String(), c.Owner)
}

// OwnBundle returns a bundle that this instance may write; see [OwnCollection].
func OwnBundle(v *catalog.View, id bundle.ID) (catalog.Bundle, error) {
	b, err := v.Bundle(id)
	if err != nil {
		return b, err
	}
	return b, checkOwn(v, "Bundle "+id.String(), b.Owner)
}

func checkOwn(v *catalog.View, what string, o bundle.Owner) error {
	self, err := v.Instance()
	if err != nil || o.Instance == self.ID {
		return err
	}
	name, url := o.Instance.String(), ""
	peer, err := v.Peer(o.Instance)
	switch {
	case err == nil:
		name = peer.Name
		if len(peer.Addresses) > 0 {
			url = peer.Addresses[0]
		}
	case !bundle.IsKind(err, bundle.KindNotFound):
		return err
	}
	return bundle.Errorf(bundle.KindReadOnly, "%s is a read-only copy; its primary is %s", what, name).
		With("primary_name", name).With("primary_url", url)
}
