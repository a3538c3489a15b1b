package rest

import (
	"errors"
	"net/http"

	"github.com/blockstored/blockstored/bundle"
)

// asError returns the first *bundle.Error in err's chain, nil if none.
func asError(err error) *bundle.Error {
	e, _ := errors.AsType[*bundle.Error](err)
	return e
}

// isTooLarge reports whether err says that a body is over its limit.
func isTooLarge(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok || bundle.IsKind(err, bundle.KindTooLarge)
}
