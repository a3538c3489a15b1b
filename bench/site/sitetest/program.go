package sitetest

import (
	"os"
	"testing"

	"github.com/blockstored/blockstored/bench/site"
)

// Program returns the program for one test: what BLOCKSTORED_PROGRAM names, or a new
// build.
func Program(t *testing.T) site.Program {
	t.Helper()
	p, err := given().OrBuild(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// given is a program that was built before the tests began, empty if there is none.
func given() site.Program { return site.Program(os.Getenv("BLOCKSTORED_PROGRAM")) }
