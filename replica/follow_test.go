package replica

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/metrics"
	"github.com/blockstored/blockstored/syndication"
)

// counter counts requests by endpoint.
type counter struct {
	PeerClient
	mu   sync.Mutex
	made map[string]int
	// files counts the frames of content that came.
	files int
}

func (c *counter) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == nil {
		c.made = make(map[string]int)
	}
	c.made[what]++
}

func (c *counter) took() (made map[string]int, files int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	made, files = c.made, c.files
	c.made, c.files = nil, 0
	return made, files
}

func (c *counter) Poll(ctx context.Context, req syndication.PollRequest) (*syndication.PollAnswer, error) {
	c.count("poll")
	return c.PeerClient.Poll(ctx, req)
}

func (c *counter) Records(ctx context.Context, req syndication.RecordsRequest) (*syndication.RecordsAnswer, error) {
	c.count("records")
	return c.PeerClient.Records(ctx, req)
}

func (c *counter) Manifests(ctx context.Context, wants []syndication.ManifestWant, fn func(bundle.Frame) error) error {
	if len(wants) > 0 {
		c.count("manifests")
	}
	return c.PeerClient.Manifests(ctx, wants, fn)
}

func (c *counter) Blobs(ctx context.Context, wants []syndication.BlobWant, fn func(bundle.Frame) error) error {
	c.count("blobs")
	return c.PeerClient.Blobs(ctx, wants, func(f bundle.Frame) error {
		c.mu.Lock()
		c.files++
		c.mu.Unlock()
		return fn(f)
	})
}

func TestACopyFollowsItsPrimary(t *testing.T) {
	north, south := two(t)
	c := north.collection("course")
	files := map[string]string{"empty": "", "a/b.txt": "hello", "image": text("image", 200<<10), "video": text("video", 700<<10)}
	b1, b2 := north.bundle(c, "one"), north.bundle(c, "two")
	v1 := north.publish(b1, files)
	v2 := north.publish(b2, map[string]string{"x": "only"})

	count := &counter{}
	south.follow(func(pc PeerClient) PeerClient { count.PeerClient = pc; return count })
	south.awaitVersion(v1)
	south.awaitVersion(v2)
	south.wantCopy(north)
	south.view(func(v *catalog.View) error {
		copied, err := v.Bundle(b1)
		if err != nil {
			return err
		}
		if copied.Title != "title of one" || copied.Owner.Instance != north.id() || copied.State != "copy" || copied.Collection != c {
			t.Errorf("the copy is %+v", copied)
		}
		coll, err := v.Collection(c)
		if err == nil && (coll.Title != "course" || coll.Placeholder) {
			t.Errorf("the collection is %+v", coll)
		}
		return err
	})

	count.took()
	files["a/b.txt"] = "hello again"
	v3 := north.publish(b1, files)
	south.awaitVersion(v3)
	made, came := count.took()
	if made["manifests"] != 1 || made["blobs"] != 1 || made["records"] != 0 || came != 1 {
		t.Errorf("one changed file took %v and %d files", made, came)
	}
	south.wantCopy(north)

	north.propose(catalog.UpdateBundle{ID: b2, Title: new("a new title")})
	south.await("the new title", func(v *catalog.View) (bool, error) {
		copied, err := v.Bundle(b2)
		return copied.Title == "a new title", err
	})
	if made, _ := count.took(); made["manifests"]+made["blobs"]+made["records"] > 0 {
		t.Errorf("a new title took %v", made)
	}
}

func TestManyFilesComeInAHandfulOfRequests(t *testing.T) {
	north, south := two(t)
	files := make(map[string]string)
	for i := range 3000 {
		files[fmt.Sprintf("dir%02d/file%04d.txt", i%40, i)] = text(fmt.Sprint(i), 50+i%700)
	}
	b := north.bundle(north.collection("c"), "large")
	v1 := north.publish(b, files)
	count := &counter{}
	r := south.follow(func(pc PeerClient) PeerClient { count.PeerClient = pc; return count })
	south.awaitVersion(v1)
	made, _ := count.took()
	if made["manifests"] != 1 || made["blobs"] > 3 || made["poll"] > 4 {
		t.Errorf("the first pull took %v", made)
	}
	south.wantCopy(north)

	files["dir07/file0007.txt"] = "edited"
	south.awaitVersion(north.publish(b, files))
	if made, came := count.took(); made["manifests"] != 1 || made["blobs"] != 1 || came != 1 {
		t.Errorf("the edit took %v and %d files", made, came)
	}
	south.wantCopy(north)

	status := must(r.Status(t.Context()))(t)
	if len(status) != 1 || status[0].State != StateFollowing || status[0].Bundles["copy"] != 1 || status[0].Behind != 0 ||
		status[0].WireReceived < status[0].Useful || status[0].Useful == 0 {
		t.Errorf("the status is %+v", status)
	}
}

func TestContentThatIsHereIsNotFetched(t *testing.T) {
	north, south := two(t)
	c := north.collection("c")
	shared := text("shared", 100<<10)
	v1 := north.publish(north.bundle(c, "one"), map[string]string{"a": shared, "b": shared})
	count := &counter{}
	south.follow(func(pc PeerClient) PeerClient { count.PeerClient = pc; return count })
	south.awaitVersion(v1)
	if _, came := count.took(); came != 1 {
		t.Errorf("two names of one file took %d files", came)
	}
	south.awaitVersion(north.publish(north.bundle(c, "two"), map[string]string{"elsewhere": shared}))
	if made, _ := count.took(); made["blobs"] != 0 {
		t.Errorf("content that is here took %v", made)
	}
	south.wantCopy(north)
}

func TestSubscriptionsChooseWhatIsCopied(t *testing.T) {
	north, south := two(t)
	c1, c2 := north.collection("one"), north.collection("two")
	wanted, other, single := north.bundle(c1, "wanted"), north.bundle(c2, "other"), north.bundle(c2, "single")
	v1 := north.publish(wanted, map[string]string{"a": "1"})
	v2 := north.publish(other, map[string]string{"a": "2"})
	v3 := north.publish(single, map[string]string{"a": "3"})
	south.propose(catalog.Unsubscribe{Peer: north.id(), Selector: all})
	south.propose(catalog.Subscribe{Peer: north.id(), Selector: onlyCollection(c1)})
	south.propose(catalog.Subscribe{Peer: north.id(), Selector: onlyBundle(single)})
	south.follow(nil)
	south.awaitVersion(v1)
	south.awaitVersion(v3)
	south.view(func(v *catalog.View) error {
		if visible, err := has(v, v2); visible || err != nil {
			t.Errorf("what is not followed is here: %v, %v", visible, err)
		}
		return nil
	})
	south.propose(catalog.Subscribe{Peer: north.id(), Selector: onlyCollection(c2)})
	south.awaitVersion(v2)
	south.awaitVersion(north.publish(other, map[string]string{"a": "2b"}))
	south.wantCopy(north)
}

func TestABundleMovedToWhereItIsFollowedComesWhole(t *testing.T) {
	north, south := two(t)
	c1, c2 := north.collection("one"), north.collection("two")
	b := north.bundle(c2, "moving")
	v1 := north.publish(b, map[string]string{"a": "1"})
	v2 := north.publish(b, map[string]string{"a": "2"})
	here := north.publish(north.bundle(c1, "here"), map[string]string{"a": "3"})
	south.propose(catalog.Unsubscribe{Peer: north.id(), Selector: all})
	south.propose(catalog.Subscribe{Peer: north.id(), Selector: onlyCollection(c1)})
	south.follow(nil)
	south.awaitVersion(here)
	north.propose(catalog.UpdateBundle{ID: b, Collection: &c1})
	south.awaitVersion(v1)
	south.awaitVersion(v2)
	south.awaitVersion(north.publish(b, map[string]string{"a": "4"}))
	south.wantCopy(north)
}

func TestLinkedVersionsArePulledAlong(t *testing.T) {
	north, south := two(t)
	c1, c2 := north.collection("followed"), north.collection("linked")
	deep, dep, top := north.bundle(c2, "deep"), north.bundle(c2, "dep"), north.bundle(c1, "top")
	v0 := north.publish(deep, map[string]string{"d": "deep"})
	north.publish(dep, map[string]string{"x": "old"})
	v1 := north.publish(dep, map[string]string{"x": "linked"}, v0)
	south.propose(catalog.Unsubscribe{Peer: north.id(), Selector: all})
	south.propose(catalog.Subscribe{Peer: north.id(), Selector: onlyCollection(c1)})
	early := north.publish(top, map[string]string{"t": "no link yet"})
	south.follow(nil)
	south.awaitVersion(early)
	south.awaitVersion(north.publish(top, map[string]string{"t": "links"}, v1))
	south.view(func(v *catalog.View) error {
		for ref, want := range map[bundle.VersionRef]bool{v0: true, v1: true, {Bundle: dep, Number: 1}: false} {
			if visible, err := has(v, ref); visible != want || err != nil {
				t.Errorf("version %v is here: %v, %v", ref, visible, err)
			}
		}
		return nil
	})
	south.wantCopy(north)
	south.propose(catalog.Subscribe{Peer: north.id(), Selector: onlyCollection(c2)})
	south.awaitVersion(bundle.VersionRef{Bundle: dep, Number: 1})
	south.awaitVersion(north.publish(dep, map[string]string{"x": "newer"}))
	south.wantCopy(north)
}

func TestALinkToWhatIsNotHereHoldsItsBundleAlone(t *testing.T) {
	c := &clock{}
	north, south, east := newSite(t, t.TempDir(), "north", c), newSite(t, t.TempDir(), "south", c), newSite(t, t.TempDir(), "east", c)
	north.peerWith(south, all)
	east.peerWith(north, all)
	far := east.publish(east.bundle(east.collection("far"), "far"), map[string]string{"f": "far"})
	north.follow(nil)
	north.awaitVersion(far)
	coll := north.collection("c")
	held, free := north.bundle(coll, "held"), north.bundle(coll, "free")
	v1 := north.publish(held, map[string]string{"a": "1"}, far)
	v2 := north.publish(free, map[string]string{"a": "2"})
	south.follow(nil)
	south.awaitVersion(v2)
	p := south.awaitParked(north.id(), held)
	if p.Reason != reasonDependency || !p.Held {
		t.Errorf("the bundle is aside as %+v", p)
	}
	east.peerWith(south, all)
	south.awaitVersion(far)
	south.awaitVersion(v1)
	south.awaitUnparked(north.id(), held)
	south.wantCopy(north)
}

func TestMetricsOfAPeerComeAndGo(t *testing.T) {
	north, south := two(t)
	v1 := north.publish(north.bundle(north.collection("c"), "b"), map[string]string{"a": "1"})
	registry := prometheus.NewRegistry()
	m := must(metrics.New(registry))(t)
	defer m.Close()
	families := func() map[string]bool {
		found := make(map[string]bool)
		for _, f := range must(registry.Gather())(t) {
			for _, sample := range f.GetMetric() {
				for _, l := range sample.GetLabel() {
					if l.GetName() == "peer" && l.GetValue() == "north" {
						found[f.GetName()] = true
					}
				}
			}
		}
		return found
	}
	r := south.follow(nil, func(c *Config) { c.Metrics = m })
	south.awaitVersion(v1)
	found := families()
	for _, name := range []string{"peer_checkpoint_age_seconds", "peer_oldest_unapplied_seconds", "peer_bytes_total", "peer_useful_bytes_total", "peer_requests_total"} {
		if !found["blockstored_"+name] {
			t.Errorf("%s is missing", name)
		}
	}
	r.stop()
	if found := families(); len(found) > 0 {
		t.Errorf("after the end there are still %v", found)
	}
}
