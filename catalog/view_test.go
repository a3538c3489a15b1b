package catalog

import (
	"context"
	"testing"
)

func TestAViewThatPanicsLeavesNoTransactionBehind(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	for range 2 * maxReaders {
		func() {
			defer func() { _ = recover() }()
			_ = s.DB.View(ctx, func(v *View) error {
				if _, err := v.Instance(); err != nil {
					t.Fatal(err)
				}
				panic("a caller's mistake")
			})
		}()
	}
	s.bundleIn("later")
	for range 2 * maxReaders {
		if n := read(s, (*View).LogSize); n != 2 {
			t.Fatalf("a later view shows a log of %d records, not the newest", n)
		}
	}
}
