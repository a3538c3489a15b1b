package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// TestALongListIsIndentedAsItIsSent reads a list of several parts: it is sent part
// by part, and reads as if it had been indented as a whole.
func TestALongListIsIndentedAsItIsSent(t *testing.T) {
	s := newStack(t, nil)
	for i := range 2*pageRows + 1 {
		s.propose(catalog.CreateCollection{ID: bundle.NewID(), Title: fmt.Sprint("collection ", i)})
	}
	plain := s.json("GET", "/api/v1/collections", "").want(t, 200)
	var want bytes.Buffer
	check(t, json.Indent(&want, []byte(plain.body), "", "    "))
	got := s.do("GET", "/api/v1/collections", "", "", "Accept", "application/json; indent=4").want(t, 200)
	if got.body != want.String() {
		t.Errorf("%d bytes, want %d", len(got.body), want.Len())
	}
	if got.ContentLength >= 0 {
		t.Error("it was held in memory as a whole")
	}
}
