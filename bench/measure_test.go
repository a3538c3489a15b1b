package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{
		{nil, 0}, {[]float64{7}, 7}, {[]float64{9, 1, 5}, 5}, {[]float64{8, 2, 4, 100}, 6},
	} {
		kept := slices.Clone(c.of)
		if got := median(c.of); got != c.want || !slices.Equal(kept, c.of) {
			t.Errorf("median of %v is %v, want %v", kept, got, c.want)
		}
	}
}

func TestRatiosCompareWhatRanInTheSameRound(t *testing.T) {
	// The machine is ten times slower in the second round: the ratio stays.
	if got := medianRatio([]float64{2, 20, 2.2}, []float64{1, 10, 1}); got != 2 {
		t.Errorf("ratio %v, want 2", got)
	}
	file, log := series{seconds: []float64{3, 30}}, series{seconds: []float64{1, 10}}
	if got := weighted(map[*series]float64{&file: 2, &log: 1}, 2); !slices.Equal(got, []float64{7, 70}) {
		t.Errorf("floor %v, want [7 70]", got)
	}
}

func TestSubjectsTakeTurns(t *testing.T) {
	var order []string
	note := func(name string) subject {
		return subject{name: name, clients: 1, op: func(context.Context, int) error { order = append(order, name); return nil }}
	}
	all, err := alternate(t.Context(), rhythm{rounds: 2, slice: 0}, []subject{note("a"), note("b")})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ""); got != "ab"+"abab" {
		t.Errorf("order %s", got)
	}
	if all[1].name != "b" || all[1].ops != 2 || len(all[1].seconds) != 2 {
		t.Errorf("second series %+v", all[1])
	}
}

func TestEachClientWorksUntilTheSliceIsOverAndAnErrorEndsIt(t *testing.T) {
	var calls atomic.Int64
	boom := errors.New("boom")
	_, _, err := run(t.Context(), subject{clients: 3, op: func(_ context.Context, client int) error {
		if client == 1 {
			return boom
		}
		calls.Add(1)
		return nil
	}}, 0)
	if !errors.Is(err, boom) || calls.Load() != 2 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
	ops, took, err := run(t.Context(), subject{clients: 2, op: func(context.Context, int) error { return nil }}, time.Millisecond)
	if err != nil || ops < 2 || took < time.Millisecond {
		t.Errorf("%d operations in %v: %v", ops, took, err)
	}
}

func TestTheTableShowsMediansRatiosAndWhatWasSkipped(t *testing.T) {
	r := newRow("P1", series{name: "edit", clients: 8, ops: 12, seconds: []float64{0.004, 0.002, 0.008}})
	r.compare(1.5, "× the floor", atMost(2))
	var text strings.Builder
	if err := (&report{Rows: []row{r}, Skipped: []string{"nginx: not here"}}).print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2000.0", "4 ms", "2 ms–8 ms", "1.50 × the floor", "≤ 2", " met", "skipped: nginx: not here"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
}

func TestATargetIsMetOrMissed(t *testing.T) {
	for _, c := range []struct {
		target target
		ratio  float64
		text   string
		want   string
	}{
		{atMost(2), 2, "≤ 2", "met"},
		{atMost(2), 2.01, "≤ 2", "MISSED"},
		{atLeast(0.25), 0.25, "≥ 0.25", "met"},
		{atLeast(0.25), 0.24, "≥ 0.25", "MISSED"},
		{target{}, 7, "", ""},
	} {
		var r row
		r.compare(c.ratio, "× it", c.target)
		if r.Target != c.text || r.verdict() != c.want {
			t.Errorf("%v of target %v: shown as %q, %q", c.ratio, c.target, r.Target, r.verdict())
		}
	}
}

func TestSlowPutsDelaysAndCountsPutsAlone(t *testing.T) {
	var got []string
	behind := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.Host+" "+string(body))
	}))
	defer behind.Close()
	s, err := startSlowPuts(t.Context(), behind.URL, 30*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/x", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil || resp.Body.Close() != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); method == http.MethodPut && took < 30*time.Millisecond {
			t.Errorf("a PUT took %v", took)
		}
	}
	host := strings.TrimPrefix(s.URL, "http://")
	if want := []string{"GET " + host + " body", "PUT " + host + " body"}; !slices.Equal(got, want) || s.puts.Load() != 1 {
		t.Errorf("passed on %q, counted %d", got, s.puts.Load())
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for _, args := range []string{"--nothing", "surplus", "--only P9", "--bundles 0", "--clients 0"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
}

func TestTheSameNumbersMakeTheSameFile(t *testing.T) {
	a, b := text(1, 2), text(1, 3)
	if len(a) != fileSize || string(a) == string(b) || string(a) != string(text(1, 2)) {
		t.Errorf("%d bytes, equal %v", len(a), string(a) == string(b))
	}
}
