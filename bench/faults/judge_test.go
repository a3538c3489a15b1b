package main

import (
	"slices"
	"strings"
	"testing"
)

// tale is a history of one bundle, as a test tells it, and what its nodes show at
// the end.
type tale struct {
	records []record
	ends    []shown
}

// at adds an operation that began at one moment and was answered at another.
func (t *tale) at(call, ret int64, o op, a answer) *record {
	t.records = append(t.records, record{Bundle: "b", Op: o, Answer: a, Call: call, Return: ret, Nodes: []string{"n1"}})
	return &t.records[len(t.records)-1]
}

// find returns the first record of a kind.
func (t *tale) find(kind string) *record {
	return &t.records[slices.IndexFunc(t.records, func(r record) bool { return r.Op.Kind == kind })]
}

// told is a history in which all went well: a draft is patched twice and
// committed, a second draft is patched, committed onto that, and deleted.
func wellTold() *tale {
	t := &tale{}
	t.at(1, 2, op{Kind: createBundle}, answer{Told: done})
	t.at(3, 4, op{Kind: createDraft, Draft: "d"}, answer{Told: done})
	t.at(5, 6, op{Kind: createDraft, Draft: "e"}, answer{Told: done})
	t.at(7, 8, op{Kind: patchDraft, Draft: "d", Edits: content{"a": "1", "b": "1"}}, answer{Told: done, Revision: 2})
	t.at(9, 10, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 2, Shown: content{"a": "1*", "b": "1*"}})
	t.at(11, 12, op{Kind: patchDraft, Draft: "d", Edits: content{"b": ""}}, answer{Told: done, Revision: 3})
	t.at(13, 14, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 3, Shown: content{"a": "1*"}})
	t.at(15, 16, op{Kind: commitDraft, Draft: "d", Label: "c1"}, answer{Told: done, Number: 1})
	t.at(17, 18, op{Kind: readBundle}, answer{Told: done, Number: 1, Drafts: []string{"d", "e"}})
	t.at(19, 20, op{Kind: readVersion, Number: 1}, answer{Told: done, Shown: content{"a": "1"}})
	t.at(21, 22, op{Kind: readVersion, Number: 2}, answer{Told: missing})
	t.at(23, 24, op{Kind: patchDraft, Draft: "e", Edits: content{"x": "2"}}, answer{Told: done, Revision: 2})
	t.at(25, 26, op{Kind: commitDraft, Draft: "e", Label: "c2"}, answer{Told: done, Number: 2})
	t.at(27, 28, op{Kind: readVersion, Number: 2}, answer{Told: done, Shown: content{"a": "1", "x": "2"}})
	t.at(29, 30, op{Kind: deleteDraft, Draft: "e"}, answer{Told: done})
	t.at(31, 32, op{Kind: readDraft, Draft: "e"}, answer{Told: missing})
	t.at(33, 34, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 4, Shown: content{"a": "1"}})
	t.at(35, 36, op{Kind: listVersions}, answer{Told: done, Number: 2})
	t.at(37, 38, op{Kind: readBundle}, answer{Told: done, Number: 2, Drafts: []string{"d"}})
	for _, node := range []string{"n1", "n2"} {
		t.ends = append(t.ends, shown{node: node, bundle: "b", listed: []int{1, 2}, versions: map[int]version{
			1: {label: "c1", content: content{"a": "1"}},
			2: {label: "c2", content: content{"a": "1", "x": "2"}},
		}})
	}
	return t
}

// conclude returns everything that is found in the tale.
func (t *tale) conclude(tt *testing.T) map[string]int {
	tt.Helper()
	v, err := check(t.records, tt.TempDir(), checkSteps)
	if err != nil {
		tt.Fatal(err)
	}
	f := findings{Illegal: v.illegal, Undecided: v.undecided}
	f.judge(t.records, t.ends)
	found := map[string]int{}
	for name, texts := range map[string][]string{
		"illegal": f.Illegal, "undecided": f.Undecided, "lost": f.Lost, "gaps": f.Gaps, "unreadable": f.Unreadable,
		"invented": f.Invented, "unexplained": f.Unexplained,
	} {
		if len(texts) > 0 {
			found[name] = len(texts)
		}
	}
	return found
}

func TestHistoriesThatMayBeAreAccepted(t *testing.T) {
	for name, change := range map[string]func(t *tale){
		"all is well": func(*tale) {},
		"a patch without an answer took effect": func(t *tale) {
			r := t.find(patchDraft)
			r.Answer = answer{Told: open}
		},
		"a patch without an answer never did": func(t *tale) {
			t.at(39, 40, op{Kind: patchDraft, Draft: "d", Edits: content{"a": "9"}}, answer{Told: open})
			t.at(41, 42, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 4, Shown: content{"a": "1"}})
		},
		"and took effect long after": func(t *tale) {
			t.at(39, 40, op{Kind: patchDraft, Draft: "d", Edits: content{"a": "9"}}, answer{Told: open})
			t.at(41, 42, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 4, Shown: content{"a": "1"}})
			t.at(43, 44, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 5, Shown: content{"a": "9*"}})
		},
		"a refused patch": func(t *tale) {
			t.at(39, 40, op{Kind: patchDraft, Draft: "d", Edits: content{"a": "9"}}, answer{Told: refused})
		},
		"an old read that says so": func(t *tale) {
			t.at(39, 40, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 2, Shown: content{"a": "1*", "b": "1*"}}).Stale = true
			t.at(41, 42, op{Kind: readBundle}, answer{Told: done, Number: 1, Drafts: []string{"d", "e"}}).Level = "local"
		},
		"an old read of a bundle that was not there yet": func(t *tale) {
			t.at(39, 40, op{Kind: readBundle}, answer{Told: missing}).Level = "local"
		},
		"a read without an answer": func(t *tale) {
			t.at(39, 40, op{Kind: readDraft, Draft: "d"}, answer{Told: open})
		},
		"a commit without an answer made a version": func(t *tale) {
			t.find(commitDraft).Answer = answer{Told: open}
		},
		"nothing to commit": func(t *tale) {
			t.at(39, 40, op{Kind: commitDraft, Draft: "d"}, answer{Told: unchanged})
			t.at(41, 42, op{Kind: patchDraft, Draft: "d", Edits: content{"a": "1"}}, answer{Told: done, Revision: 5})
			t.at(43, 44, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 5, Shown: content{"a": "1*"}})
			t.at(45, 46, op{Kind: commitDraft, Draft: "d"}, answer{Told: unchanged})
		},
		"a draft and a newer version changed one path": func(t *tale) {
			t.at(39, 40, op{Kind: patchDraft, Draft: "d", Edits: content{"x": "3"}}, answer{Told: done, Revision: 5})
			t.at(41, 42, op{Kind: commitDraft, Draft: "d"}, answer{Told: conflict})
		},
		"a draft and a newer version made one change": func(t *tale) {
			t.at(39, 40, op{Kind: patchDraft, Draft: "d", Edits: content{"x": "2"}}, answer{Told: done, Revision: 5})
			t.at(41, 42, op{Kind: commitDraft, Draft: "d", Label: "c3"}, answer{Told: done, Number: 3})
			for _, s := range t.ends {
				s.versions[3] = version{label: "c3", content: content{"a": "1", "x": "2"}}
			}
			t.ends[0].listed, t.ends[1].listed = []int{1, 2, 3}, []int{1, 2, 3}
		},
		"a patch at another revision": func(t *tale) {
			t.at(39, 40, op{Kind: patchDraft, Draft: "d", IfRevision: 3, Edits: content{"x": "3"}}, answer{Told: unmet})
			t.at(41, 42, op{Kind: patchDraft, Draft: "d", IfRevision: 4, Edits: content{"x": "3"}}, answer{Told: done, Revision: 5})
		},
		"patches at the same time, read in either order": func(t *tale) {
			t.at(39, 50, op{Kind: patchDraft, Draft: "d", Edits: content{"x": "3"}}, answer{Told: done, Revision: 6})
			t.at(40, 49, op{Kind: patchDraft, Draft: "d", Edits: content{"x": "4"}}, answer{Told: done, Revision: 5})
			t.at(41, 48, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 5, Shown: content{"a": "1", "x": "4*"}})
			t.at(51, 52, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 6, Shown: content{"a": "1", "x": "3*"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			one := wellTold()
			change(one)
			if found := one.conclude(t); len(found) > 0 {
				t.Error(found)
			}
		})
	}
}

func TestHistoriesThatMustNotBeAreRejected(t *testing.T) {
	for name, c := range map[string]struct {
		want   string // kinds of findings
		change func(t *tale)
	}{
		"an old read": {"illegal", func(t *tale) {
			t.at(39, 40, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 3, Shown: content{"a": "1*"}})
		}},
		"reads that go back": {"illegal", func(t *tale) {
			t.at(39, 50, op{Kind: patchDraft, Draft: "d", Edits: content{"x": "3"}}, answer{Told: done, Revision: 5})
			t.at(40, 41, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 5, Shown: content{"a": "1", "x": "3*"}})
			t.at(42, 43, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 4, Shown: content{"a": "1"}})
		}},
		"a list of versions that goes back": {"illegal", func(t *tale) {
			t.at(39, 40, op{Kind: listVersions}, answer{Told: done, Number: 1})
		}},
		"a version that is not there yet": {"illegal", func(t *tale) {
			t.at(39, 40, op{Kind: readVersion, Number: 2}, answer{Told: missing})
		}},
		"a bundle that is not there": {"illegal", func(t *tale) {
			t.at(39, 40, op{Kind: readBundle}, answer{Told: missing})
		}},
		"a lost patch": {"illegal", func(t *tale) {
			t.at(39, 40, op{Kind: patchDraft, Draft: "d", Edits: content{"x": "3"}}, answer{Told: done, Revision: 5})
			t.at(41, 42, op{Kind: patchDraft, Draft: "d", Edits: content{"y": "4"}}, answer{Told: done, Revision: 5})
		}},
		"a patch that took effect twice": {"illegal", func(t *tale) {
			t.at(39, 40, op{Kind: patchDraft, Draft: "d", Edits: content{"a": "3"}}, answer{Told: done})
			t.at(41, 42, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 6, Shown: content{"a": "3*"}})
		}},
		"half a patch": {"illegal invented", func(t *tale) {
			t.records[4].Answer.Shown = content{"a": "1*"}
			t.at(39, 40, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 2, Shown: content{"a": "1*", "b": "1*"}}).Stale = true
		}},
		"a deleted draft that comes back": {"illegal", func(t *tale) {
			t.at(39, 40, op{Kind: readDraft, Draft: "e"}, answer{Told: done, Revision: 3, Shown: content{"a": "1", "x": "2"}})
		}},
		"a deleted draft that is listed": {"illegal", func(t *tale) {
			t.at(39, 40, op{Kind: readBundle}, answer{Told: done, Number: 2, Drafts: []string{"d", "e"}})
		}},
		"a draft that was made and is not there": {"illegal", func(t *tale) {
			t.at(39, 40, op{Kind: createDraft, Draft: "f"}, answer{Told: done})
			t.at(41, 42, op{Kind: patchDraft, Draft: "f", Edits: content{"a": "3"}}, answer{Told: missing})
		}},
		"a refused patch that took effect": {"illegal", func(t *tale) {
			t.at(39, 40, op{Kind: patchDraft, Draft: "d", Edits: content{"a": "9"}}, answer{Told: refused})
			t.at(41, 42, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 5, Shown: content{"a": "9*"}})
		}},
		"a patch at a revision that was gone": {"illegal", func(t *tale) {
			t.at(39, 40, op{Kind: patchDraft, Draft: "d", IfRevision: 3, Edits: content{"a": "9"}}, answer{Told: done, Revision: 5})
		}},
		"a commit that is told of no changes and had some": {"illegal", func(t *tale) {
			t.at(39, 40, op{Kind: patchDraft, Draft: "d", Edits: content{"a": "9"}}, answer{Told: done, Revision: 5})
			t.at(41, 42, op{Kind: commitDraft, Draft: "d"}, answer{Told: unchanged})
		}},
		"a commit that undid another": {"illegal", func(t *tale) {
			t.records[13].Answer.Shown = content{"x": "2"}
			for _, s := range t.ends {
				s.versions[2] = version{label: "c2", content: content{"x": "2"}}
			}
		}},
		"two commits that made one version": {"illegal gaps lost", func(t *tale) {
			t.at(39, 40, op{Kind: patchDraft, Draft: "d", Edits: content{"a": "9"}}, answer{Told: done, Revision: 5})
			t.at(41, 42, op{Kind: commitDraft, Draft: "d", Label: "c3"}, answer{Told: done, Number: 2})
		}},
		"a commit that made two versions": {"gaps lost", func(t *tale) {
			for _, s := range t.ends {
				s.versions[2] = version{label: "c1", content: s.versions[2].content}
			}
		}},
		"an acknowledged version that is not there": {"illegal lost", func(t *tale) {
			t.at(39, 40, op{Kind: patchDraft, Draft: "d", Edits: content{"a": "9"}}, answer{Told: done, Revision: 5})
			t.at(41, 42, op{Kind: commitDraft, Draft: "d", Label: "c3"}, answer{Told: done, Number: 3})
			t.at(43, 44, op{Kind: listVersions}, answer{Told: done, Number: 2})
		}},
		"an acknowledged version that one node does not have": {"lost", func(t *tale) {
			delete(t.ends[1].versions, 2)
			t.ends[1].listed = []int{1}
		}},
		"a gap": {"gaps lost invented", func(t *tale) {
			for i := range t.ends {
				t.ends[i].listed = []int{2}
				delete(t.ends[i].versions, 1)
			}
		}},
		"a version that nobody made": {"invented", func(t *tale) {
			for i := range t.ends {
				t.ends[i].listed = []int{1, 2, 3}
				t.ends[i].versions[3] = version{label: "?", content: content{"a": "1"}}
			}
		}},
		"a node that shows other content": {"lost", func(t *tale) {
			t.ends[1].versions[2] = version{label: "c2", content: content{"a": "1", "x": "3"}}
		}},
		"bytes that do not come": {"unreadable", func(t *tale) {
			t.ends[1].versions[2] = version{label: "c2", content: content{"a": "1", "x": "2"}, unreadable: []string{"x: 503"}}
		}},
		"an old read that never was": {"invented", func(t *tale) {
			t.at(39, 40, op{Kind: readDraft, Draft: "d"}, answer{Told: done, Revision: 3, Shown: content{"a": "7*"}}).Stale = true
			t.records = slices.Delete(t.records, 6, 7)
		}},
		"an old read of content that came later": {"invented", func(t *tale) {
			t.at(20, 21, op{Kind: readDraft, Draft: "e"}, answer{Told: done, Revision: 1, Shown: content{"x": "2*"}}).Level = "local"
		}},
		"an old read of a draft that nobody made": {"invented", func(t *tale) {
			t.at(39, 40, op{Kind: readBundle}, answer{Told: done, Number: 1, Drafts: []string{"q"}}).Stale = true
		}},
		"an old read of a version that never came": {"invented", func(t *tale) {
			t.at(39, 40, op{Kind: listVersions}, answer{Told: done, Number: 3}).Stale = true
		}},
		"an old read of a version that is another at the end": {"invented", func(t *tale) {
			t.at(39, 40, op{Kind: readVersion, Number: 1}, answer{Told: done, Shown: content{"a": "2"}}).Stale = true
		}},
		"an answer that nothing explains": {"unexplained", func(t *tale) {
			t.at(39, 40, op{Kind: readDraft, Draft: "d"}, answer{Told: open}).Unexplained = "500"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			one := wellTold()
			c.change(one)
			found := one.conclude(t)
			for _, kind := range strings.Fields(c.want) {
				if found[kind] == 0 {
					t.Errorf("%s not found", kind)
				}
				delete(found, kind)
			}
			if len(found) > 0 {
				t.Errorf("found, too: %v", found)
			}
		})
	}
}

func TestACheckThatRunsOutOfStepsIsUndecided(t *testing.T) {
	one := wellTold()
	for steps, undecided := range map[int]bool{3: true, 1000: false} {
		v, err := check(one.records, t.TempDir(), steps)
		if err != nil || len(v.illegal) > 0 || (len(v.undecided) > 0) != undecided {
			t.Errorf("%d steps: %+v, %v", steps, v, err)
		}
	}
}
