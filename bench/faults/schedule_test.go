package main

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestASeedDecidesTheFaults(t *testing.T) {
	of := func(seed uint64) []fault { return plan(rand.New(rand.NewPCG(seed, 1<<32)), faultKinds, 20*time.Second) }
	if !reflect.DeepEqual(of(1), of(1)) {
		t.Error("one seed, two plans")
	}
	if reflect.DeepEqual(of(1), of(2)) {
		t.Error("two seeds, one plan")
	}
}

func TestFaultsFillTheTimeAndEachKindComesBeforeOneComesAgain(t *testing.T) {
	for seed := range uint64(50) {
		faults := plan(rand.New(rand.NewPCG(seed, 0)), faultKinds, 60*time.Second)
		took, seen := time.Duration(0), map[string]int{}
		for _, f := range faults {
			took += f.After + f.For
			seen[f.Kind]++
			counts := slices.Sorted(maps.Values(seen))
			if len(seen) < len(faultKinds) && counts[len(counts)-1] > 1 || counts[len(counts)-1]-counts[0] > 1 {
				t.Fatalf("seed %d: %v", seed, seen)
			}
			if f.Node == f.Other || f.Node < 0 || f.Node >= nodes || f.Other < 0 || f.Other >= nodes || f.For < 0 {
				t.Errorf("%+v", f)
			}
		}
		if took > 60*time.Second || took < 50*time.Second {
			t.Errorf("seed %d: %v of faults in a minute", seed, took)
		}
	}
}

func TestKindsOfFaultsAreChosenByName(t *testing.T) {
	if some, err := parseKinds("kill,s3"); err != nil || !slices.Equal(some, []string{kill, bucket}) {
		t.Error(some, err)
	}
	if _, err := parseKinds("kill,fire"); err == nil {
		t.Error("fire is no kind of fault")
	}
}
