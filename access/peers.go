package access

import (
	"strings"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// FindPeer returns the peer that an operator names: by its UUID, or by its name
// here in any case. [bundle.KindNotFound] if there is none.
func FindPeer(v *catalog.View, name string) (catalog.Peer, error) {
	if id, err := bundle.ParseID(name); err == nil {
		return v.Peer(id)
	}
	peers, err := v.Peers()
	if err != nil {
		return catalog.Peer{}, err
	}
	for _, p := range peers {
		if strings.EqualFold(p.Name, name) {
			return p, nil
		}
	}
	return catalog.Peer{}, bundle.Errorf(bundle.KindNotFound, "There is no peer %q here: GET /admin/v1/peers or \"blockstored peer list\" lists them.", name)
}
