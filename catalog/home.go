package catalog

import "github.com/blockstored/blockstored/bundle"

// Home returns the collection that a bundle is in and whether this instance
// owns it. Unlike [View.Bundle] it also knows bundles that were deleted: their
// records stand in the log, and whoever was granted the collection must learn
// of the withdrawal. KindNotFound if there never was such a bundle.
func (v *View) Home(id bundle.ID) (collection bundle.ID, own bool, err error) {
	var owner int64
	ok, err := v.get(`SELECT c.uuid, b.owner FROM bundles b JOIN collections c ON c.id = b.collection WHERE b.uuid = ?`,
		[]any{id[:]}, blob{collection[:]}, &owner)
	if err == nil && !ok {
		err = notFound()
	}
	return collection, owner == 0, err
}
