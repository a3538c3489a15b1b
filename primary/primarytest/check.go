package primarytest

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/bundle"
)

// Options say what to check.
type Options struct {
	// Clients are clients of one store. With several nodes each is at its own.
	Clients []Store
	// Between, if not nil, lets a call of the last client run inside one of
	// the first: it has fn called when a call has proposed that many commands
	// and is about to propose another. The caller takes it back with cancel.
	Between func(proposals int, fn func()) (cancel func())
}

// Check drives drafts of three bundles that link to each other with random
// patches, commits, rebases, deletions, and repetitions of earlier calls. After
// each the store shows what the model shows; in the end every version does.
//
// It makes fewer runs than rapid does by itself, unless -rapid.checks says how
// many: each reads all that a store with a disk shows, dozens of times.
func Check(t *testing.T, o Options) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set("30"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = checks.Value.Set(checks.DefValue) })
	}
	rapid.Check(t, func(t *rapid.T) {
		r := &run{Options: o}
		for _, versions := range []int{3, 1, 1} {
			r.begin(t, versions)
		}
		actions := map[string]func(*rapid.T){"repeat": r.repeat, "": r.check}
		for name, draw := range r.calls() {
			actions[name] = func(t *rapid.T) { r.alone(t, draw(t), r.client(t)) }
		}
		if o.Between != nil {
			actions["together"], actions["together too"] = r.together, r.together
		}
		t.Repeat(actions)
		for _, b := range r.bundles {
			for number := 1; number < len(b.Versions); number++ {
				r.checkVersion(t, b, number)
			}
		}
	})
}

type run struct {
	Options
	bundles []*Bundle
	drafts  []*Draft
	past    []call // that may be repeated
	keys    int
}

// answer is what a call returned, as far as a repetition returns it again.
type answer struct {
	id     bundle.ID
	number int
}

// call is one call of a client.
type call struct {
	key string
	do  func(s Store, key string) (answer, error)
	// judge holds the answer against the model, and changes that. It is
	// called at the moment at which the call takes effect.
	judge func(t *rapid.T, a answer, err *Refusal)
	// kept, if not nil, reports whether what the call answers with is still
	// there; a call without may not be repeated.
	kept func() bool

	first answer
}

func always() bool { return true }

// calls are what clients can do.
func (r *run) calls() map[string]func(*rapid.T) *call {
	return map[string]func(*rapid.T) *call{
		"create draft": r.createDraft, "patch": r.patch, "patch again": r.patch, "link": r.link,
		"commit": r.commit, "commit too": r.commit, "rebase": r.rebase,
		"delete draft": r.deleteDraft, "delete bundle": r.deleteBundle,
	}
}

// begin makes a bundle with some versions and two drafts.
func (r *run) begin(t *rapid.T, versions int) {
	id, err := r.Clients[0].CreateBundle()
	if err != nil {
		t.Fatal(err)
	}
	b := NewBundle(id)
	r.bundles = append(r.bundles, b)
	r.alone(t, r.creating(b, "work"), r.Clients[0])
	d := r.drafts[len(r.drafts)-1]
	for n := range versions {
		r.alone(t, r.patching(d, Content{Files: map[string]string{"a": fmt.Sprint(n)}}), r.Clients[0])
		r.alone(t, r.committing(d), r.Clients[0])
	}
	r.alone(t, r.creating(b, "other"), r.Clients[0])
}

func (r *run) client(t *rapid.T) Store {
	return r.Clients[rapid.IntRange(0, len(r.Clients)-1).Draw(t, "client")]
}

// refused returns err as what it should be.
func refused(t *rapid.T, err error) *Refusal {
	refusal, ok := errors.AsType[*Refusal](err)
	if err != nil && !ok {
		t.Fatalf("the store failed: %v", err)
	}
	return refusal
}

// key returns one that no other call has, of this run or another.
func (r *run) key() string {
	r.keys++
	return fmt.Sprint("call ", r.keys, " of ", r.bundles[0].ID)
}

// alone makes a call while nobody else makes one.
func (r *run) alone(t *rapid.T, c *call, s Store) {
	c.key = r.key()
	a, err := c.do(s, c.key)
	r.judge(t, c, a, err)
}

func (r *run) judge(t *rapid.T, c *call, a answer, err error) {
	c.judge(t, a, refused(t, err))
	if c.first = a; err == nil && c.kept != nil {
		r.past = append(r.past, *c)
	}
}

// together begins a call of the first client, makes one of the last when the
// first is about to propose a command, and lets the first go on. Both are about
// one draft or about two of a bundle, which were changed just before.
func (r *run) together(t *rapid.T) {
	one := r.aDraft(t, anything)
	two, siblings := one, slices.DeleteFunc(slices.Clone(r.drafts), func(d *Draft) bool { return d == one || d.Of != one.Of || d.Gone })
	if len(siblings) > 0 && rapid.IntRange(0, 2).Draw(t, "same draft") > 0 {
		two = rapid.SampledFrom(siblings).Draw(t, "other draft")
	}
	for i, d := range []*Draft{one, two} {
		change := Content{Files: map[string]string{fmt.Sprint("own/", i): r.key()}}
		r.alone(t, r.patching(d, change), r.Clients[0])
		if rapid.Bool().Draw(t, "link") {
			r.alone(t, r.patching(d, r.someLinks(t, d)), r.Clients[0])
		}
	}
	began, inside := r.about(t, one, "began"), r.about(t, two, "inside")
	last, met := r.Clients[len(r.Clients)-1], false
	cancel := r.Between(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "proposals"), func() {
		met = true
		r.alone(t, inside, last)
	})
	began.key = r.key()
	a, err := began.do(r.Clients[0], began.key)
	cancel()
	r.judge(t, began, a, err)
	if !met {
		r.alone(t, inside, last)
	}
}

// repeat makes a call again that was answered before, by any client.
func (r *run) repeat(t *rapid.T) {
	if len(r.past) == 0 {
		t.Skip("nothing to repeat")
	}
	c := rapid.SampledFrom(r.past).Draw(t, "call")
	a, err := c.do(r.client(t), c.key)
	refusal := refused(t, err)
	switch {
	case c.kept() && (refusal != nil || a != c.first):
		t.Fatalf("a repeated call got %+v, %v; the first %+v", a, err, c.first)
	case refusal != nil:
		want(t, refusal, NotFound, Invalid) // the object, or its bundle, is gone
	}
}

// check compares every bundle's newest version, and every draft, with the model.
func (r *run) check(t *rapid.T) {
	for _, b := range r.bundles {
		head, err := r.client(t).Head(b.ID)
		refusal := refused(t, err)
		switch {
		case b.Gone && (refusal == nil || refusal.Reason != NotFound):
			t.Fatalf("the deleted bundle has %d versions, %v", head, err)
		case b.Gone:
		case err != nil || head != len(b.Versions)-1:
			t.Fatalf("the newest version is %d, not %d: %v", head, len(b.Versions)-1, err)
		default:
			r.checkVersion(t, b, head)
		}
	}
	for _, d := range r.drafts {
		shown, err := r.client(t).Draft(d.ID)
		refusal := refused(t, err)
		switch {
		case d.Missing() && (refusal == nil || refusal.Reason != NotFound):
			t.Fatalf("the deleted draft shows %v, %v", shown, err)
		case d.Missing():
		case err != nil:
			t.Fatal(err)
		default:
			checkShown(t, "the draft", shown, d.View())
			checkModified(t, d, shown)
		}
	}
}

func (r *run) checkVersion(t *rapid.T, b *Bundle, number int) {
	if b.Gone || number == 0 {
		return
	}
	shown, err := r.client(t).Version(b.ID, number)
	if err != nil {
		t.Fatal(err)
	}
	checkShown(t, fmt.Sprint("version ", number), shown, b.Versions[number])
}

func checkShown(t *rapid.T, what string, got Shown, want Content) {
	links := make(map[string][]Ref)
	for name, l := range want.Links {
		links[name] = []Ref{{l.To.ID, l.Number}}
		for _, next := range l.Reaches() {
			links[name] = append(links[name], Ref{next.To.ID, next.Number})
		}
	}
	if !maps.Equal(got.Files, want.Files) || !maps.EqualFunc(got.Links, links, slices.Equal[[]Ref]) {
		t.Fatalf("%s shows %v and %v, not %v and %v", what, got.Files, got.Links, want.Files, links)
	}
}

// checkModified holds the marks of a draft against its overlay. Deleted ones are
// not shown.
func checkModified(t *rapid.T, d *Draft, shown Shown) {
	want := make(map[string]bool)
	for path := range shown.Files {
		_, want[path] = d.Overlay.Files[path]
	}
	for name := range shown.Links {
		_, want[name] = d.Overlay.Links[name]
	}
	if !maps.Equal(shown.Modified, want) {
		t.Fatalf("modified are %v, not %v", shown.Modified, want)
	}
}
