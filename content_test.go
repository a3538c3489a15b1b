package blockstored_test

import (
	"testing"

	"github.com/blockstored/blockstored/api/apitest"
)

func TestAnInstanceIsAStore(t *testing.T) {
	apitest.Run(t, open(t, config(t.TempDir())))
}
