package storage

import "github.com/blockstored/blockstored/bundle"

// Location and Located are words of package bundle, since the catalog keeps
// them without knowing this package.
type (
	// Location says where the bytes of a blob lie.
	Location = bundle.Location
	// Located is a blob whose bytes are durable, and where they lie.
	Located = bundle.Located
)
