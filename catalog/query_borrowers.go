package catalog

import "github.com/blockstored/blockstored/bundle"

// Borrower is a version whose links reach a version of another bundle.
type Borrower struct {
	bundle.VersionRef
	Target uint64 // which version of the other bundle
	Direct bool   // by a link of its own; else through what it links to
}

// Borrowers returns the versions whose links reach any version of a bundle, by
// the version reached and then in the order they were made, at most limit of
// those that follow after; from the start if that is zero. Versions of bundles
// deleted here are not among them.
func (v *View) Borrowers(of bundle.ID, after Borrower, limit int) ([]Borrower, error) {
	return collect(v.session, borrowersQuery,
		[]any{of[:], clamp(after.Target), after.Bundle[:], clamp(after.Number), limit},
		func(row scanner) (b Borrower, err error) {
			err = row.Scan(blob{b.Bundle[:]}, &b.Number, &b.Target, &b.Direct)
			return b, err
		})
}

const borrowersQuery = `SELECT b.uuid, d.num, d.target_num, d.direct
 FROM deps d JOIN bundles b ON b.id = d.bundle JOIN collections c ON c.id = b.collection
 WHERE d.target = ? AND (d.target_num, d.bundle, d.num) > (?, coalesce((SELECT id FROM bundles WHERE uuid = ?), 0), ?)
 AND b.state <> 1 AND c.state <> 1 ORDER BY d.target_num, d.bundle, d.num LIMIT +?`
