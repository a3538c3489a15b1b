package rest

import (
	"errors"

	"github.com/blockstored/blockstored/bundle"
)

// asError returns the first *bundle.Error in err's chain, nil if none.
func asError(err error) *bundle.Error {
	e, _ := errors.AsType[*bundle.Error](err)
	return e
}
