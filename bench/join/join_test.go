package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bench/site/sitetest"
)

// program is what TestMain builds; nothing writes to it later.
var program site.Program

func TestMain(m *testing.M) { os.Exit(sitetest.Main(m, &program)) }

func TestANodeIsAddedUnderLoad(t *testing.T) {
	sitetest.NeedGateway(t)
	o := options{size: 4, writers: 2, settle: 200 * time.Millisecond, after: 200 * time.Millisecond, away: 200 * time.Millisecond}
	r, err := measure(t.Context(), o, program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.report(&text, true); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	if r.Catalog < 4<<20 || r.Ready == 0 || r.Votes < r.Ready {
		t.Error("it measured nothing")
	}
	if r.Away.Copies != 0 || r.Away.Entries == 0 {
		t.Errorf("the follower lacked %d entries and needed %d copies", r.Away.Entries, r.Away.Copies)
	}
	for what, c := range map[string]cost{"leader": r.Leader, "newcomer": r.Newcomer} {
		if c.Memory == 0 || c.Anonymous == 0 || c.Disk == 0 {
			t.Errorf("%s: %+v", what, c)
		}
	}
}

func TestFlagsAreChecked(t *testing.T) {
	if o, err := parse([]string{"--size", "7", "--away", "1s"}); err != nil || o.size != 7 || o.away != time.Second || o.writers != 8 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, bad := range [][]string{{"--size", "0"}, {"--writers", "0"}, {"x"}} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}
