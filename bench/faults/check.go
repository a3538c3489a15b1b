package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// The bounds of one check of one bundle. One that needs more is undecided.
const (
	checkTimeout = 90 * time.Second
	checkSteps   = 1_500_000 // each remembers a state: some 300 bytes
)

// verdict is what the checker says of a history.
type verdict struct {
	illegal   []string // what fits nowhere
	undecided []string // bundles
}

// check looks for an order of each bundle's operations that the model allows. Of
// a bundle for which there is none it writes a picture into dir, unless that is
// empty. It remembers as many states of a bundle as steps says.
func check(all []record, dir string, steps int) (v verdict, err error) {
	parts := byBundle(all)
	for _, bundle := range slices.Sorted(maps.Keys(parts)) {
		ops := operations(parts[bundle])
		m, exhausted := model(steps)
		result := porcupine.CheckOperationsTimeout(m, ops, checkTimeout)
		switch {
		case result == porcupine.Ok:
			continue
		case exhausted() || result == porcupine.Unknown:
			v.undecided = append(v.undecided, bundle)
			continue
		}
		_, info := porcupine.CheckOperationsVerbose(first(model(steps)), ops, checkTimeout)
		v.illegal = append(v.illegal, fmt.Sprintf("bundle %s: %s", bundle, stuck(ops, info)))
		if dir != "" {
			if err := picture(info, filepath.Join(dir, "illegal-"+bundle+".html")); err != nil {
				return v, err
			}
		}
	}
	return v, nil
}

func first(m porcupine.Model, _ func() bool) porcupine.Model { return m }

// stuck says which operation fits nowhere after the longest order that was found:
// of those left out, the one that was answered first.
func stuck(ops []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var longest []porcupine.Operation
	for _, order := range slices.Concat(info.PartialLinearizationsOperations()...) {
		if len(order) > len(longest) {
			longest = order
		}
	}
	s, in := newState(), map[string]bool{}
	name := func(o porcupine.Operation) string { return fmt.Sprint(o.ClientId, o.Call) }
	for _, o := range longest {
		_, s = step(s, o.Input.(op), o.Output.(answer))
		in[name(o)] = true
	}
	var left *porcupine.Operation
	for i, o := range ops {
		if !in[name(o)] && (left == nil || o.Return < left.Return) {
			left = &ops[i]
		}
	}
	if left == nil {
		return "no order is legal"
	}
	return fmt.Sprintf("client %d, %.3f s to %.3f s by %v, %v -> %v fits nowhere after %d operations that leave %v",
		left.ClientId, seconds(left.Call), seconds(left.Return), left.Metadata, left.Input, left.Output, len(longest), s)
}

func seconds(ns int64) float64 { return time.Duration(ns).Seconds() }

// recheck checks a history that was kept, and draws it again.
func recheck(path string, w io.Writer) error {
	encoded, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var kept struct{ Records []record }
	if err := json.Unmarshal(encoded, &kept); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	v, err := check(kept.Records, filepath.Dir(path), checkSteps)
	fmt.Fprintf(w, "%d calls, illegal %d, undecided %d\n", len(kept.Records), len(v.illegal), len(v.undecided))
	for _, text := range slices.Concat(v.illegal, v.undecided) {
		fmt.Fprintln(w, text)
	}
	if err == nil && len(v.illegal)+len(v.undecided) > 0 {
		err = errors.New("this must never be; see above")
	}
	return err
}

// picture draws how far the operations can be ordered.
func picture(info porcupine.LinearizationInfo, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := porcupine.Visualize(first(model(checkSteps)), info, f); err != nil {
		_ = f.Close()
		return fmt.Errorf("draw %s: %w", path, err)
	}
	return f.Close()
}

// operations returns what the checker must order.
func operations(records []record) []porcupine.Operation {
	end := int64(0)
	for _, r := range records {
		end = max(end, r.Return+1)
	}
	var ops []porcupine.Operation
	for _, r := range records {
		if r.checked() {
			ops = append(ops, porcupine.Operation{
				ClientId: r.Client, Input: r.Op, Output: r.Answer, Call: r.Call, Return: r.until(end),
				Metadata: fmt.Sprint(r.Nodes, r.Level),
			})
		}
	}
	return ops
}
