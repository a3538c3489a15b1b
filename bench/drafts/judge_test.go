package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// told is a history of one bundle with two drafts, in which everything went
// well:
//
//	 1- 2 client 0 writes a=1 to draft 0      3- 4 it commits: version 1
//	 5- 6 client 1 writes b=2, s=2 to draft 1
//	 7-10 client 1 commits: version 2         8- 9 client 2 writes c=3 to draft 1
//	11-12 client 0 writes s=4 to draft 0     13-14 its commit conflicts
//	15-16 client 0 writes s=2 to draft 0     17-18 it writes a=5
//	19-20 it commits: version 3              21-22 client 2 writes c=6 to draft 1
//
// c=3 and the commit of version 2 overlap: here it came after.
func told() (*history, shown) {
	h := &history{
		writes: []write{
			{span{1, 2}, 0, 0, "a", "1"},
			{span{5, 6}, 1, 1, "b", "2"}, {span{5, 6}, 1, 1, "s", "2"},
			{span{8, 9}, 2, 1, "c", "3"},
			{span{11, 12}, 0, 0, "s", "4"}, {span{15, 16}, 0, 0, "s", "2"}, {span{17, 18}, 0, 0, "a", "5"},
			{span{21, 22}, 2, 1, "c", "6"},
		},
		commits: []commit{
			{span{3, 4}, 0, "k1", 1}, {span{7, 10}, 1, "k2", 2}, {span{13, 14}, 0, "refused", 0}, {span{19, 20}, 0, "k3", 3},
		},
	}
	return h, shown{
		name: "bundle",
		versions: []version{
			{1, "k1", "d1", files{"a": "1"}},
			{2, "k2", "d2", files{"a": "1", "b": "2", "s": "2"}},
			{3, "k3", "d3", files{"a": "5", "b": "2", "s": "2"}},
		},
		drafts: []view{
			{0, "d3", files{"a": "5", "b": "2", "s": "2"}},
			{1, "d2", files{"a": "1", "b": "2", "s": "2", "c": "6"}},
		},
	}
}

func TestWhatMustNotBeIsFound(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(h *history, b *shown)
		want   findings
		text   string
	}{
		{"all is well", func(*history, *shown) {}, findings{}, ""},
		{"a write that overlapped the commit came before it", func(_ *history, b *shown) {
			b.versions[1].files["c"], b.versions[2].files["c"] = "3", "3"
			b.drafts[0].files["c"] = "3"
		}, findings{}, ""},
		{"a later one of overlapping writes is there", func(h *history, b *shown) {
			h.writes = append(h.writes, write{span{4, 7}, 3, 1, "b", "7"})
			for _, f := range []files{b.versions[1].files, b.versions[2].files, b.drafts[0].files, b.drafts[1].files} {
				f["b"] = "7"
			}
		}, findings{}, ""},
		{"a draft was rebased", func(_ *history, b *shown) {
			b.drafts[1] = view{1, "d3", files{"a": "5", "b": "2", "s": "2", "c": "6"}}
		}, findings{}, ""},
		{"an empty bundle", func(h *history, b *shown) {
			*h, *b = history{}, shown{drafts: []view{{0, "", files{}}}}
		}, findings{}, ""},

		{"a file of a PATCH is not in the draft", func(_ *history, b *shown) { delete(b.drafts[1].files, "c") },
			findings{lost: 3}, `the draft of draft 1 shows "" at c`},
		{"a file of a PATCH is not in the version", func(_ *history, b *shown) {
			for _, f := range []files{b.versions[1].files, b.versions[2].files, b.drafts[0].files, b.drafts[1].files} {
				delete(f, "b")
			}
		}, findings{lost: 2}, `version 2 of draft 1 shows "" at b`},
		{"a file that overlapped the commit is nowhere", func(h *history, b *shown) {
			h.writes = h.writes[:7]
			delete(b.drafts[1].files, "c")
		}, findings{lost: 1}, `neither version 2 nor anything later shows it`},
		{"an older write is there", func(h *history, b *shown) {
			h.writes[7].span, b.drafts[1].files["c"] = span{11, 12}, "6"
			h.writes = append(h.writes, write{span{13, 14}, 2, 1, "c", "8"})
		}, findings{lost: 2}, `shows "6" at c, which is none`},
		{"a deleted file is there", func(h *history, _ *shown) {
			h.writes = append(h.writes, write{span{23, 24}, 2, 1, "c", ""})
		}, findings{lost: 2}, `shows "6" at c, which is none`},
		{"a commit undid another", func(_ *history, b *shown) {
			delete(b.versions[2].files, "b")
			delete(b.drafts[0].files, "b")
		}, findings{stray: 1}, `version 3 of draft 0 shows "" at b`},
		{"a file came from nowhere", func(_ *history, b *shown) { b.drafts[0].files["x"] = "9" },
			findings{stray: 1}, `shows "9" at x`},
		{"a file came from the other draft", func(_ *history, b *shown) { b.drafts[0].files["c"] = "6" },
			findings{stray: 1}, `shows "6" at c`},
		{"a draft is based on less than it made", func(_ *history, b *shown) { b.drafts[0].base = "d2" },
			findings{lost: 1}, "draft 0 is based on version 2"},

		{"a gap", func(_ *history, b *shown) { b.versions[2].number = 4 },
			findings{gaps: 1, lost: 1}, "version 4 follows 2"},
		{"the first is missing", func(_ *history, b *shown) { b.versions = b.versions[1:] },
			findings{gaps: 1, lost: 1}, "version 2 follows 0"},
		{"a twin in the list", func(_ *history, b *shown) { b.versions = append(b.versions, b.versions[1]) },
			findings{twins: 2}, "version 2 is listed twice"},
		{"a commit made two versions", func(_ *history, b *shown) {
			b.versions = append(b.versions, version{4, "k3", "d4", b.versions[2].files})
		}, findings{twins: 1, lost: 1}, "versions 3 and 4 are both of commit k3"},
		{"two commits got one number", func(h *history, _ *shown) {
			h.commits = append(h.commits, commit{span{30, 31}, 1, "k4", 3})
		}, findings{twins: 1, lost: 1}, "commits k3 and k4 were both acknowledged as version 3"},
		{"an acknowledged version is gone", func(_ *history, b *shown) { b.versions = b.versions[:2] },
			findings{lost: 1}, "commit k3 was acknowledged as version 3, which is not there"},
		{"a refused commit made a version", func(_ *history, b *shown) {
			b.versions = append(b.versions, version{4, "refused", "d4", b.versions[2].files})
		}, findings{stray: 1}, `version 4 is of commit "refused"`},
		{"a version of nobody", func(_ *history, b *shown) {
			b.versions = append(b.versions, version{4, "", "d4", b.versions[2].files})
		}, findings{stray: 1}, `version 4 is of commit ""`},
		{"numbers against the order of answers", func(h *history, b *shown) {
			h.commits[0].version, h.commits[3].version = 3, 1
			b.versions[0].key, b.versions[2].key = "k3", "k1"
		}, findings{disorder: 2}, "version 1 was sent after version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, b := told()
			c.change(h, &b)
			f := judge(h, []shown{b})
			got := fmt.Sprint(f.lost, f.stray, f.gaps, f.twins, f.disorder)
			want := fmt.Sprint(c.want.lost, c.want.stray, c.want.gaps, c.want.twins, c.want.disorder)
			text := strings.Join(f.texts, "\n")
			if c.want.disorder > 0 { // the contents are then wrong, too
				got, want = fmt.Sprint(f.disorder), fmt.Sprint(c.want.disorder)
			}
			if got != want || !strings.Contains(text, c.text) || (c.text == "") != (text == "") {
				t.Errorf("lost, stray, gaps, twins, disorder: %s, want %s\n%s\n(want %q)", got, want, text, c.text)
			}
		})
	}
}

// TestAnyOneFileMatters takes away or changes each file of each version and
// draft of the history that is well: every time something must be found.
func TestAnyOneFileMatters(t *testing.T) {
	_, well := told()
	all := func(b shown) (fs []files) {
		for _, v := range b.versions {
			fs = append(fs, v.files)
		}
		for _, d := range b.drafts {
			fs = append(fs, d.files)
		}
		return fs
	}
	for i, f := range all(well) {
		for _, path := range slices.Sorted(maps.Keys(f)) {
			for _, value := range []string{"", "other"} {
				h, b := told()
				if all(b)[i][path] = value; value == "" {
					delete(all(b)[i], path)
				}
				if found := judge(h, []shown{b}); len(found.texts) == 0 {
					t.Errorf("%q at %s of the %d. is not found", value, path, i+1)
				}
			}
		}
	}
}
