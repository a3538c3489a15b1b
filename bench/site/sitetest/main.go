package sitetest

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/blockstored/blockstored/bench/site"
)

// Main is for TestMain: it builds the program into a temporary folder, or takes the
// one that the variable BLOCKSTORED_PROGRAM names, sets program to it, runs the tests
// and looks for goroutines that they left. It returns the exit status.
func Main(m *testing.M, program *site.Program) int {
	dir, err := os.MkdirTemp("", "blockstored-test-")
	if err == nil {
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
		*program, err = given().OrBuild(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if code := m.Run(); code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
