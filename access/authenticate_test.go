package access

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a catalog with a log of one node, and a clock.
type node struct {
	t  *testing.T
	db *catalog.DB

	mu    sync.Mutex
	now   time.Time
	index uint64
	asked int           // how often Propose was called
	fail  error         // what Propose answers instead
	tried chan struct{} // filled by each Propose
	done  chan catalog.Body
}

func newNode(t *testing.T) *node {
	t.Helper()
	db, err := catalog.Open(t.Context(), t.TempDir(), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &node{t: t, db: db, now: time.Unix(1_800_000_000, 0), tried: make(chan struct{}, 1), done: make(chan catalog.Body, 100)}
}

func (n *node) Now() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now
}

func (n *node) advance(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now = n.now.Add(d)
}

// Propose applies a command at once.
func (n *node) Propose(_ context.Context, cmd catalog.Command) (catalog.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	select {
	case n.tried <- struct{}{}:
	default:
	}
	if n.fail != nil {
		return catalog.Result{}, n.fail
	}
	data, err := cmd.Encode()
	if err != nil {
		return catalog.Result{}, err
	}
	n.index++
	results, err := n.db.Apply([]catalog.Entry{{Index: n.index, Term: 1, Data: data}})
	if err != nil {
		return catalog.Result{}, err
	}
	n.done <- cmd.Body
	return results[0], nil
}

// must applies a command that is not refused.
func (n *node) must(body catalog.Body) catalog.Result {
	n.t.Helper()
	result, err := n.Propose(n.t.Context(), catalog.NewCommand(n.Now(), body))
	if err != nil || result.Err != nil {
		n.t.Fatal(err, result.Err)
	}
	<-n.done
	return result
}

// make makes a token.
func (n *node) make(r TokenRequest) string {
	n.t.Helper()
	body, token, err := r.Prepare(n.Now())
	if err != nil {
		n.t.Fatal(err)
	}
	n.must(body)
	return token
}

func (n *node) tokens() *Tokens {
	return NewTokens(TokensConfig{Catalog: n.db, Proposer: n, Now: n.Now})
}

// used returns the hours of last use by name.
func (n *node) used() map[string]int64 {
	n.t.Helper()
	out := map[string]int64{}
	err := n.db.View(n.t.Context(), func(v *catalog.View) error {
		list, err := v.Tokens()
		for _, t := range list {
			out[t.Name] = t.Used
		}
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

func TestAuthenticateKnowsLiveTokensOnly(t *testing.T) {
	n := newNode(t)
	tokens := n.tokens()
	const brought = "a-key-of-the-site-from-before-it-came-here"
	live := n.make(TokenRequest{Name: "live", Role: "writer"})
	short := n.make(TokenRequest{Name: "short", Role: "reader", ExpiresIn: time.Hour})
	gone := n.make(TokenRequest{Name: "gone", Role: "reader"})
	if got := n.make(TokenRequest{Name: "brought", Role: "reader", Key: brought}); got != brought {
		t.Errorf("a key brought along became %s", got)
	}
	unknown, _ := NewToken()
	for name, key := range map[string]string{"live": live, "short": short, "gone": gone, "brought": brought} {
		for range 2 { // looked up, then remembered
			if token, err := tokens.Authenticate(t.Context(), key); err != nil || token.Name != name {
				t.Errorf("%s: %+v, %v", name, token, err)
			}
		}
	}
	n.must(catalog.RevokeToken{Name: "gone"})
	n.advance(2 * time.Hour)
	for name, key := range map[string]string{
		"expired": short, "revoked": gone, "unknown": unknown, "empty": "", "garbage": "abc", "long": strings.Repeat("x", 300),
	} {
		_, err := tokens.Authenticate(t.Context(), key)
		if !bundle.IsKind(err, bundle.KindUnauthorized) || err.Error() != "Invalid token." {
			t.Errorf("%s: %v", name, err)
		}
	}
	if token, err := tokens.Authenticate(t.Context(), live); err != nil || !Role(token.Role).Allows(ActionWrite) {
		t.Errorf("live: %+v, %v", token, err)
	}
}

func TestARevokedTokenIsRefusedAtOnceWhoeverUsesIt(t *testing.T) {
	n := newNode(t)
	tokens := n.tokens()
	key := n.make(TokenRequest{Name: "ci", Role: "writer"})
	ctx, stop := context.WithCancel(t.Context())
	var users sync.WaitGroup
	for range 4 { // who keep it remembered
		users.Go(func() {
			for ctx.Err() == nil {
				_, _ = tokens.Authenticate(ctx, key)
			}
		})
	}
	n.must(catalog.RevokeToken{Name: "ci"})
	for range 100 {
		if _, err := tokens.Authenticate(t.Context(), key); !bundle.IsKind(err, bundle.KindUnauthorized) {
			t.Fatalf("after its revocation: %v", err)
		}
	}
	stop()
	users.Wait()
}

func TestATokenIsLookedUpAgainOnlyWhenTokensChanged(t *testing.T) {
	n := newNode(t)
	tokens := n.tokens()
	key := n.make(TokenRequest{Name: "ci", Role: "writer"})
	if _, err := tokens.Authenticate(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // the catalog answers nobody whose context has ended
	n.must(catalog.PutSecret{Name: "x"})
	if _, err := tokens.Authenticate(ended, key); err != nil {
		t.Errorf("it was not remembered: %v", err)
	}
	n.make(TokenRequest{Name: "other", Role: "writer"})
	if _, err := tokens.Authenticate(ended, key); !errors.Is(err, context.Canceled) {
		t.Errorf("it is still remembered: %v", err)
	}
}

// running runs tokens until the test ends.
func running(t *testing.T, tokens *Tokens) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { tokens.Run(ctx) })
	t.Cleanup(func() {
		stop()
		run.Wait()
	})
}

func TestALastUseIsNotedOncePerTokenAndHour(t *testing.T) {
	n := newNode(t)
	lms, studio := n.make(TokenRequest{Name: "lms", Role: "writer"}), n.make(TokenRequest{Name: "studio", Role: "writer"})
	n.make(TokenRequest{Name: "unused", Role: "writer"})
	tokens := n.tokens()
	running(t, tokens)
	use := func(keys ...string) {
		t.Helper()
		for _, key := range keys {
			if _, err := tokens.Authenticate(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	await := func(uses int) {
		t.Helper()
		for uses > 0 {
			select {
			case body := <-n.done:
				uses -= len(body.(catalog.UseTokens).Uses)
			case <-time.After(20 * time.Second):
				t.Fatal("a use was not noted")
			}
		}
		if uses < 0 {
			t.Errorf("%d uses too many were noted", -uses)
		}
	}
	hour := func() int64 { return n.Now().Truncate(time.Hour).UnixMicro() }
	use(lms, lms, studio, lms, studio)
	await(2)
	first := hour()
	if got := n.used(); got["lms"] != first || got["studio"] != first || got["unused"] != 0 {
		t.Errorf("used %v, want hour %d", got, first)
	}
	use(lms, lms, studio)
	n.advance(time.Hour)
	use(lms, lms)
	await(1) // of the new hour, and none of the old one
	if got := n.used(); got["lms"] != hour() || got["studio"] != first {
		t.Errorf("used %v, want hours %d and %d", got, hour(), first)
	}
	again := n.tokens() // as after a restart
	if _, err := again.Authenticate(t.Context(), lms); err != nil || len(again.uses) != 0 {
		t.Errorf("an hour that the catalog has is noted again: %v, %v", again.uses, err)
	}
}

func TestAUseThatCannotBeNotedKeepsNobodyWaiting(t *testing.T) {
	n := newNode(t)
	key := n.make(TokenRequest{Name: "lms", Role: "writer"})
	n.fail = bundle.Errorf(bundle.KindUnavailable, "no leader")
	before := n.asked
	<-n.tried // of making the token
	tokens := n.tokens()
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { tokens.Run(ctx) })
	for range 10 {
		if _, err := tokens.Authenticate(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	<-n.tried
	stop()
	run.Wait()
	if tried := n.asked - before; tried != 1 {
		t.Errorf("%d proposals in a moment", tried)
	}
	if len(tokens.uses) != 1 {
		t.Errorf("%d uses are left to note, want the one", len(tokens.uses))
	}
}

func TestARepeatedRequestForATokenDoesNotShowAnother(t *testing.T) {
	n := newNode(t)
	tokens := n.tokens()
	first, _, err := TokenRequest{Name: "a", Role: "writer"}.Prepare(n.Now())
	if err != nil {
		t.Fatal(err)
	}
	result := n.must(first)
	if err := tokens.Made(t.Context(), first, result); err != nil {
		t.Errorf("the first time: %v", err)
	}
	second, _, err := TokenRequest{Name: "a", Role: "writer"}.Prepare(n.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := tokens.Made(t.Context(), second, result); !bundle.IsKind(err, bundle.KindConflict) {
		t.Errorf("the second time: %v", err)
	}
	second.Hash = first.Hash // a key that was brought along both times
	if err := tokens.Made(t.Context(), second, result); err != nil {
		t.Errorf("a key brought along: %v", err)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	db, err := catalog.Open(b.Context(), b.TempDir(), catalog.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	body, key, err := TokenRequest{Name: "a", Role: "writer"}.Prepare(time.Now())
	if err != nil {
		b.Fatal(err)
	}
	data, err := catalog.NewCommand(time.Now(), body).Encode()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := db.Apply([]catalog.Entry{{Index: 1, Term: 1, Data: data}}); err != nil {
		b.Fatal(err)
	}
	tokens := NewTokens(TokensConfig{Catalog: db})
	for _, remember := range []bool{true, false} {
		name := "looked up"
		if remember {
			name = "remembered"
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !remember {
					clear(tokens.known)
				}
				if _, err := tokens.Authenticate(b.Context(), key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
