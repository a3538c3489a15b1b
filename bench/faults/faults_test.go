package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bench/site/sitetest"
)

// program is what TestMain builds; nothing writes to it later.
var program site.Program

func TestMain(m *testing.M) { os.Exit(sitetest.Main(m, &program)) }

// needLab skips t where nodes cannot have networks and disks of their own, and
// lets it fail in CI.
func needLab(t *testing.T) {
	t.Helper()
	sitetest.NeedGateway(t)
	if os.Getuid() != 0 && os.Getenv("BLOCKSTORED_TEST_NOSKIP") != "1" {
		t.Skip("namespaces and disks need root")
	}
}

// brief returns a history of some faults, about four seconds of them.
func brief(t *testing.T, seed uint64, faults ...fault) *play {
	p := newPlay(options{clients: 6, kinds: faultKinds, length: time.Second, logLevel: "info"}, seed, filepath.Join(t.TempDir(), "play"))
	p.faults = faults
	return p
}

func TestNothingIsFoundUnderAnyKindOfFault(t *testing.T) {
	needLab(t)
	work, ctx := errgroup.WithContext(t.Context())
	work.SetLimit(2)
	var plays []*play
	for some := range slices.Chunk(faultKinds, 3) {
		var faults []fault
		for i, kind := range some {
			faults = append(faults, fault{
				Kind: kind, After: 400 * time.Millisecond, For: time.Second, Leader: i < 2, Node: i, Other: (i + 1) % nodes, Part: 0.4,
			})
		}
		p := brief(t, uint64(len(plays)), faults...)
		plays = append(plays, p)
		work.Go(func() error { return p.run(ctx, program) })
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	total := &result{Faults: map[string]int{}}
	for _, p := range plays {
		var text strings.Builder
		if err := p.tell(&text); err != nil {
			t.Error(err)
		}
		if p.findings.any() {
			t.Errorf("%s\n%s", text.String(), p.notes.String())
		}
		total.add(p.result)
	}
	var text strings.Builder
	total.print(&text)
	t.Log(text.String())
	if len(total.Faults) != len(faultKinds) || total.Done < len(plays) || total.VersionsRead == 0 {
		t.Error("that was not much")
	}
}

// TestReadsThatAskNobodyAreNoticed builds a program whose API shows what the node
// has, whatever level is asked for, and puts a slow network around one node: what
// others were told is not there yet then.
func TestReadsThatAskNobodyAreNoticed(t *testing.T) {
	needLab(t)
	defect := variant{"rest/exchange.go", map[string]string{
		"index, stale, err := read(x.r.Context(), level)": "_ = read\n\tindex, stale, err := x.read(x.r.Context(), \"local\")",
	}}
	defective, err := defect.build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const tries = 5 // the first one has hundreds of chances already
	for seed := range uint64(tries) {
		p := brief(t, seed, fault{Kind: slow, After: 100 * time.Millisecond, For: 4 * time.Second, Node: int(seed) % nodes, Part: 1})
		if err := p.run(t.Context(), defective); err != nil {
			t.Fatal(err)
		}
		if len(p.findings.Illegal) > 0 {
			t.Log(p.findings.Illegal[0])
			if pictures, err := filepath.Glob(filepath.Join(p.dir, "illegal-*.html")); err != nil || len(pictures) == 0 {
				t.Error("there is no picture of it", err)
			}
			return
		}
	}
	t.Error("nothing was noticed")
}

func TestTheProgramWithAShortLogCanBeMade(t *testing.T) {
	if _, _, err := shortLog.source(t.Context()); err != nil {
		t.Error(err)
	}
}
