package replica

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/syndication"
)

// lossy has lost the files of some bundles, for good.
type lossy struct {
	PeerClient
	lost map[bundle.ID]bool
}

func (l *lossy) Blobs(ctx context.Context, wants []syndication.BlobWant, fn func(bundle.Frame) error) error {
	if slices.ContainsFunc(wants, func(w syndication.BlobWant) bool { return l.lost[w.Ref.Bundle] }) {
		return bundle.Errorf(bundle.KindOther, "this instance failed to answer")
	}
	return l.PeerClient.Blobs(ctx, wants, fn)
}

func TestManyBundlesThatCannotBeHadDoNotStopTheOthers(t *testing.T) {
	north, south := two(t)
	c := north.collection("c")
	lost := make(map[bundle.ID]bool)
	var good bundle.VersionRef
	for i := range 3*maxFailing + 1 {
		b := north.bundle(c, fmt.Sprint("b", i))
		good = north.publish(b, map[string]string{"a": text(b.String(), 500)})
		lost[b] = i < 3*maxFailing
	}
	south.follow(func(pc PeerClient) PeerClient { return &lossy{PeerClient: pc, lost: lost} })
	south.awaitVersion(good)
	south.await("the others set aside", func(v *catalog.View) (bool, error) {
		parked, err := v.Parked(north.id())
		return len(parked) == 3*maxFailing, err
	})
	if p := south.peer(north.id()); len(p.Alarms) != 0 {
		t.Errorf("alarms: %+v", p.Alarms)
	}
}

func TestAManifestThatLiesAboutSizesHoldsItsBundleAlone(t *testing.T) {
	north, south := two(t)
	mine := south.bundle(south.collection("mine"), "mine")
	south.publish(mine, map[string]string{"m": "shared"}) // so that nothing is fetched that would show it
	c := north.collection("c")
	north.publish(north.bundle(c, "stores"), map[string]string{"s": "shared", "t": "other"})
	lies := func(slug string, files ...bundle.File) bundle.ID {
		b := north.bundle(c, slug)
		north.publishSnapshot(b, &bundle.Snapshot{Files: files})
		return b
	}
	here := lies("here", bundle.File{Path: "a", Digest: bundle.DigestOf([]byte("shared")), Size: 1 << 40})
	coming := lies("coming", bundle.File{Path: "a", Digest: bundle.DigestOf([]byte("other")), Size: 4})
	good := north.publish(north.bundle(c, "good"), map[string]string{"a": "shared", "b": "good"})
	south.follow(nil)
	south.awaitVersion(good)
	for _, id := range []bundle.ID{here, coming} {
		if p := south.awaitParked(north.id(), id); p.Reason != reasonManifest || !p.Held {
			t.Errorf("the bundle is aside as %+v", p)
		}
	}
	if p := south.peer(north.id()); len(p.Alarms) != 0 {
		t.Errorf("alarms: %+v", p.Alarms)
	}
}

func TestAPeerThatNeverLetsAPollWaitIsAskedLessOften(t *testing.T) {
	l, south, served, r := lying(t)
	r.stop()
	rested := make(chan struct{}, 1)
	south.follow(l.wrap, func(c *Config) {
		c.Pause = func(ctx context.Context, d time.Duration) error {
			if d == firstPause {
				select {
				case rested <- struct{}{}:
				default:
				}
			}
			return pause(ctx, time.Millisecond)
		}
	})
	g := l.forge(south.peer(l.north.id()).Size)
	l.lie(func(req syndication.PollRequest, _ *syndication.PollAnswer) *syndication.PollAnswer {
		return g.answer(req, l.north.clock.Now()) // a new checkpoint of the same log, each time
	})
	select {
	case <-rested:
	case <-time.After(patience):
		t.Error("the peer is asked again at once, for ever")
	}
	if got := south.files(served); got["a"] != "honest" {
		t.Errorf("what was verified is served as %v", got)
	}
}

// thrifty is honest, and answers requests for records a few at a time.
type thrifty struct{ PeerClient }

func (c thrifty) Records(ctx context.Context, req syndication.RecordsRequest) (*syndication.RecordsAnswer, error) {
	if len(req.Versions) == 0 {
		req.Limit = 2
	}
	return c.PeerClient.Records(ctx, req)
}

// verbose is honest, and its records are so large that an answer holds those of
// one version.
type verbose struct{ PeerClient }

func (c verbose) Records(ctx context.Context, req syndication.RecordsRequest) (*syndication.RecordsAnswer, error) {
	if len(req.Versions) > 1 {
		return nil, bundle.Errorf(bundle.KindTooLarge, "ask for fewer at a time")
	}
	return c.PeerClient.Records(ctx, req)
}

func TestLinkedVersionsTooLargeForOneAnswerAreAskedForApart(t *testing.T) {
	north, south := two(t)
	c1, c2 := north.collection("followed"), north.collection("linked")
	early := north.publish(north.bundle(c1, "early"), map[string]string{"e": "early"})
	var linked []bundle.VersionRef
	for i := range 5 {
		b := north.bundle(c2, fmt.Sprint("linked-", i))
		linked = append(linked, north.publish(b, map[string]string{"l": fmt.Sprint(i)}))
	}
	south.propose(catalog.Unsubscribe{Peer: north.id(), Selector: all})
	south.propose(catalog.Subscribe{Peer: north.id(), Selector: onlyCollection(c1)})
	r := south.follow(nil)
	south.awaitVersion(early)
	r.stop()
	south.follow(func(c PeerClient) PeerClient { return verbose{c} })
	south.awaitVersion(north.publish(north.bundle(c1, "top"), map[string]string{"t": "top"}, linked...))
	for _, ref := range linked {
		south.awaitVersion(ref)
	}
	south.wantCopy(north)
}

func TestABundleWithManyPagesOfRecordsMovesWithoutBeingSetAside(t *testing.T) {
	north, south := two(t)
	there, here := north.collection("there"), north.collection("here")
	b := north.bundle(there, "b")
	var last bundle.VersionRef
	for i := range 7 {
		last = north.publish(b, map[string]string{"a": fmt.Sprint(i)})
	}
	south.propose(catalog.Unsubscribe{Peer: north.id(), Selector: all})
	south.propose(catalog.Subscribe{Peer: north.id(), Selector: onlyCollection(here)})
	var parks []string
	south.before = func(cmd catalog.Command) (bool, error) {
		if p, ok := cmd.Body.(catalog.Park); ok {
			parks = append(parks, p.Reason+": "+p.Detail)
		}
		return false, nil
	}
	south.follow(func(c PeerClient) PeerClient { return thrifty{c} })
	south.await("the log taken in", func(v *catalog.View) (bool, error) {
		p, err := v.Peer(north.id())
		return err == nil && p.Size > 0 && p.Cursor == p.Size, err
	})
	north.propose(catalog.UpdateBundle{ID: b, Collection: &here})
	south.awaitVersion(last)
	if vs := south.versions(north.id()); len(vs) != 7 {
		t.Errorf("%d versions came", len(vs))
	}
	south.mu.Lock()
	defer south.mu.Unlock()
	if len(parks) > 0 {
		t.Errorf("it was set aside on the way: %v", parks)
	}
}
