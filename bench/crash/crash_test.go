package main

import (
	"bytes"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bench/site/sitetest"
)

// program is what TestMain builds; nothing writes to it later.
var program site.Program

func TestMain(m *testing.M) { os.Exit(sitetest.Main(m, &program)) }

func TestNothingIsLostWhenTheSubscriberIsKilled(t *testing.T) { kill(t, "subscriber", "dir") }

func TestNothingIsLostWhenASubscriberOnS3IsKilled(t *testing.T) {
	sitetest.NeedGateway(t)
	kill(t, "subscriber", "s3")
}

func TestNothingAcknowledgedIsLostWhenThePrimaryIsKilled(t *testing.T) { kill(t, "primary", "dir") }

func kill(t *testing.T, mode, south string) {
	o := options{kills: 3, seed: 7, north: "dir", south: south}
	r, err := crash(t.Context(), mode, o, program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.report(&text, false); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	if r.verdict() != nil || r.Kills < o.kills || r.Versions == 0 || r.Found != r.Versions {
		t.Errorf("%d kills, %d versions, %d found", r.Kills, r.Versions, r.Found)
	}
}

func TestContentFollowsFromItsNumberAndEveryByteCounts(t *testing.T) {
	files := pullSize.content(1, 2, 3)
	if !maps.EqualFunc(files, pullSize.content(1, 2, 3), bytes.Equal) {
		t.Fatal("the same number made other content")
	}
	number, err := pullSize.attempt(1, 2, files)
	if err != nil || number != 3 {
		t.Fatalf("attempt %d, %v", number, err)
	}
	for name, spoil := range map[string]func(map[string][]byte){
		"static/00.png missing":     func(f map[string][]byte) { delete(f, "static/00.png") },
		"units/05.xml other bytes":  func(f map[string][]byte) { f["units/05.xml"][7] ^= 1 },
		"0 of":                      func(f map[string][]byte) { f["surplus"] = nil },
		`attempt.txt is "x"`:        func(f map[string][]byte) { f[numberFile] = []byte("x") },
		"attempt 4":                 func(f map[string][]byte) { f[numberFile] = []byte("4") },
		"shared/00.xml other bytes": func(f map[string][]byte) { f["shared/00.xml"] = nil },
	} {
		spoilt := pullSize.content(1, 2, 3)
		spoil(spoilt)
		if _, err := pullSize.attempt(1, 2, spoilt); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAViolationIsShownAndFailsTheRun(t *testing.T) {
	r := &result{Mode: "primary"}
	if r.verdict() != nil {
		t.Error("a run without findings fails")
	}
	r.violation(&r.Lost, "attempt %d", 5)
	var text strings.Builder
	if err := r.report(&text, true); err != nil {
		t.Fatal(err)
	}
	if r.Lost != 1 || r.verdict() == nil || !strings.Contains(text.String(), "VIOLATION: attempt 5") {
		t.Error(text.String())
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for _, args := range []string{"--mode nobody", "--kills 0", "--nothing", "surplus"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
}
