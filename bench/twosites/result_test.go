package main

import (
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bench/site"
)

func TestTheTableSaysWhatMovedAndWhatWasFetchedTwice(t *testing.T) {
	wire := func(down int64, polls int) site.Wire {
		return site.Wire{Up: 2000, Down: down, Requests: map[string]int{"GET /peer/v1/poll": polls, "POST /peer/v1/blobs": 1}}
	}
	r := &result{
		Source: "somewhere", North: "dir", South: "s3", Files: 3, Bytes: 10 << 20, Edited: "a/b.go", EditedBytes: 77,
		First:       phase{Publish: 12.3456, Visible: 0.5, Peer: wire(3<<20, 5), Store: site.Wire{Requests: map[string]int{"PUT /south/packs": 4, "PUT /south/x": 2}}},
		Edit:        phase{Publish: 0.4, Visible: 0.05, Peer: wire(900, 2)},
		Kills:       2,
		Undisturbed: wire(2<<20, 1), Compared: 6,
	}
	var text strings.Builder
	if err := r.print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"somewhere: 3 files, 10.0 MiB", "a/b.go, 77 bytes", "12.35 s", "50 ms", "3.00 MiB (0.30 of the content)", "900 bytes",
		"  south   5 GET /peer/v1/poll, 1 POST /peer/v1/blobs\n", "6 PUT", "killed 2 times", "fetched twice 1.00 MiB", "(50.0 %)", "6 files downloaded",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for _, args := range []string{"--nothing", "surplus", "--kills x"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
}
