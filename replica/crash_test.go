package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/syndication"
)

var errFault = errors.New("injected")

// stumble makes the n-th step of a kind fail, and everything after it, as if the
// process had ended there.
type stumble struct {
	mu   sync.Mutex
	left int
	down bool
	hit  chan struct{}
}

func newStumble(n int) *stumble { return &stumble{left: n, hit: make(chan struct{})} }

func (s *stumble) step() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errFault
	}
	if s.left--; s.left < 0 {
		s.down = true
		close(s.hit)
		return errFault
	}
	return nil
}

// course publishes a few bundles of different shapes and returns the last
// version.
func course(north *site) (last bundle.VersionRef) {
	c := north.collection("course")
	for i := range 4 {
		b := north.bundle(c, fmt.Sprint("b", i))
		files := map[string]string{"big": text(fmt.Sprint("big", i), 300<<10)}
		for k := range 30 {
			files[fmt.Sprintf("dir/%d", k)] = text(fmt.Sprint(i, k), 2000)
		}
		north.publish(b, files)
		files["dir/3"] = "edited"
		last = north.publish(b, files)
	}
	return last
}

// crashAt runs a pull that ends at the n-th step, checks what is visible then,
// and finishes it. It reports whether the pull got that far.
func crashAt(t *testing.T, n int, inject func(south *site, s *stumble)) (crashed bool) {
	north, south := two(t)
	last := course(north)
	s := newStumble(n)
	inject(south, s)
	r := south.follow(nil)
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		defer close(done)
		for {
			changed := south.db.Changed()
			var here bool
			_ = south.db.View(ctx, func(v *catalog.View) (err error) { here, err = has(v, last); return err })
			if here || ctx.Err() != nil {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}()
	select {
	case <-s.hit:
		crashed = true
	case <-done:
	}
	r.stop()
	cancel()
	<-done
	south.wantCopy(north) // I4: what is visible is whole

	south.mu.Lock()
	south.before = nil
	south.mu.Unlock()
	south.driver.setFault(nil)
	south.follow(nil)
	south.awaitVersion(last)
	south.wantCopy(north)
	if got := len(south.versions(north.id())); got != 8 {
		t.Errorf("%d versions are here, published were 8", got)
	}
	return crashed
}

func TestI4ACrashAtAnyStepLeavesWhatIsVisibleWhole(t *testing.T) {
	for name, inject := range map[string]func(*site, *stumble){
		"a command that is not applied": func(south *site, s *stumble) {
			south.before = func(catalog.Command) (bool, error) { return true, s.step() }
		},
		"a command whose answer is lost": func(south *site, s *stumble) {
			lost := true
			south.before = func(catalog.Command) (bool, error) {
				err := s.step()
				if err != nil && lost {
					lost = false
					return false, err
				}
				return true, err
			}
		},
		"an object that is not written": func(south *site, s *stumble) { south.driver.setFault(s.step) },
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			for crashAt(t, n, inject) {
				if n++; n > 50 {
					t.Fatal("the pull never gets through")
				}
			}
			t.Logf("crashed at each of %d steps", n)
		})
	}
}

func TestACrashRefetchesAtMostAPack(t *testing.T) {
	north, south := two(t)
	files := make(map[string]string)
	for i := range 250 {
		files[fmt.Sprint("f", i)] = text(fmt.Sprint(i), 200<<10) // 50 MiB, some 25 on the wire
	}
	v1 := north.publish(north.bundle(north.collection("c"), "large"), files)
	located := 0
	s := newStumble(0)
	south.before = func(cmd catalog.Command) (bool, error) {
		if cmd.Body.CommandKind() == catalog.KindLocateBlobs {
			located++
		}
		if located > 2 {
			return true, s.step()
		}
		return false, nil
	}
	count := &counter{}
	r := south.follow(func(pc PeerClient) PeerClient { count.PeerClient = pc; return count }, func(c *Config) {
		c.Pause = func(ctx context.Context, _ time.Duration) error { <-ctx.Done(); return ctx.Err() } // it is dead
	})
	<-s.hit
	r.stop()
	south.mu.Lock()
	south.before = nil
	south.mu.Unlock()
	_, before := count.took()
	south.follow(func(pc PeerClient) PeerClient { count.PeerClient = pc; return count })
	south.awaitVersion(v1)
	_, after := count.took()
	perFrame := bundle.MakeFrame([]byte(files["f0"])).EncodedLen()
	twice := (before + after - len(files)) * perFrame
	t.Logf("fetched twice: %d files, %d KiB", before+after-len(files), twice>>10)
	if twice > 2*groupBytes+10*perFrame { // two groups, and what was on the line
		t.Errorf("%d bytes were fetched twice", twice)
	}
	south.wantCopy(north)
}

// broken fails for the content of one bundle.
type broken struct {
	PeerClient
	mu  sync.Mutex
	bad bundle.ID
	err error
}

func (b *broken) mend() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bad = bundle.ID{}
}

func (b *broken) refuses(id bundle.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return id == b.bad
}

func (b *broken) Blobs(ctx context.Context, wants []syndication.BlobWant, fn func(bundle.Frame) error) error {
	for _, w := range wants {
		if b.refuses(w.Ref.Bundle) {
			return b.err
		}
	}
	return b.PeerClient.Blobs(ctx, wants, fn)
}

func (b *broken) Manifests(ctx context.Context, wants []syndication.ManifestWant, fn func(bundle.Frame) error) error {
	for _, w := range wants {
		if b.refuses(w.Ref.Bundle) && bundle.IsKind(b.err, bundle.KindNotFound) {
			return b.err
		}
	}
	return b.PeerClient.Manifests(ctx, wants, fn)
}

func TestI10ABundleThatFailsDoesNotDelayAnother(t *testing.T) {
	for name, fault := range map[string]error{
		"its files break off":   bundle.Errorf(bundle.KindUnavailable, "cut").With("reason", syndication.ReasonInterrupted),
		"its primary fails":     bundle.Errorf(bundle.KindOther, "this instance failed to answer"),
		"its manifest is gone":  bundle.Errorf(bundle.KindNotFound, "not here"),
		"its files are refused": bundle.Errorf(bundle.KindForbidden, "no"),
	} {
		t.Run(name, func(t *testing.T) {
			north, south := two(t)
			c := north.collection("c")
			var refs []bundle.VersionRef
			for i := range 5 {
				refs = append(refs, north.publish(north.bundle(c, fmt.Sprint(i)), map[string]string{"f": fmt.Sprint("content ", i)}))
			}
			b := &broken{bad: refs[2].Bundle, err: fault}
			r := south.follow(func(pc PeerClient) PeerClient { b.PeerClient = pc; return b })
			for i, ref := range refs {
				if i != 2 {
					south.awaitVersion(ref)
				}
			}
			p := south.awaitParked(north.id(), refs[2].Bundle)
			if p.Reason != reasonFetch || p.Held {
				t.Errorf("the bundle is aside as %+v", p)
			}
			status := must(r.Status(t.Context()))(t)
			if len(status[0].Parked) != 1 || status[0].Bundles["parked"] != 1 || status[0].Bundles["copy"] < 4 {
				t.Errorf("the status is %+v", status)
			}
			later := north.publish(refs[2].Bundle, map[string]string{"f": "second"})
			south.awaitVersion(north.publish(refs[3].Bundle, map[string]string{"f": "another"}))
			b.mend()
			south.awaitVersion(refs[2])
			south.awaitVersion(later)
			south.awaitUnparked(north.id(), refs[2].Bundle)
			south.wantCopy(north)
		})
	}
}

func TestManyWithdrawalsTogetherWaitForTheOperator(t *testing.T) {
	north, south := two(t)
	c := north.collection("c")
	one, two := north.bundle(c, "one"), north.bundle(c, "two")
	v1 := north.publish(one, map[string]string{"a": "1"})
	v2 := north.publish(two, map[string]string{"a": "2"})
	r := south.follow(nil)
	south.awaitVersion(v1)
	south.awaitVersion(v2)
	state := func(id bundle.ID) (state string) {
		south.view(func(v *catalog.View) error {
			b, err := v.Bundle(id)
			state = b.State
			return err
		})
		return state
	}
	north.propose(catalog.DeleteBundle{ID: one})
	south.await("the withdrawal of one", func(v *catalog.View) (bool, error) {
		b, err := v.Bundle(one)
		return b.State == stateWithdrawn, err
	})
	north.propose(catalog.DeleteBundle{ID: two}) // that is all there is
	p := south.awaitParked(north.id(), two)
	if p.Reason != reasonBrake || !p.Held || state(two) == stateWithdrawn {
		t.Errorf("the bundle is aside as %+v, its state is %s", p, state(two))
	}
	if got := south.files(v1); got["a"] != "1" {
		t.Errorf("the withdrawn copy is %v", got)
	}
	if err := r.Release(t.Context(), north.id(), two); err != nil {
		t.Fatal(err)
	}
	south.await("the withdrawal of two", func(v *catalog.View) (bool, error) {
		b, err := v.Bundle(two)
		return b.State == stateWithdrawn, err
	})
	if err := r.Release(t.Context(), north.id(), bundle.NewID()); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("releasing what is not held: %v", err)
	}
}
