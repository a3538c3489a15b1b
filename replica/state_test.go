package replica

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/syndication"
)

var update = flag.Bool("update", false, "write the golden files")

func TestTheStatusKeepsItsShape(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	id := must(bundle.ParseID("10000000-0000-4000-8000-000000000001"))(t)
	b, err := json.MarshalIndent([]PeerStatus{
		{Peer: id, Name: "quiet", State: StateIdle, Subscriptions: []Followed{}, Bundles: map[string]int64{}, Alarms: []Alarm{}, Parked: []Parked{}},
		{
			Peer: id, Name: "north", State: StateAlarmed, Subscriptions: []Followed{{Scope: scopeAll}, {Scope: scopeBundle, Target: id}},
			Cursor: 7, LogSize: 9, CheckpointIssued: at, CheckpointAge: 1.5, Behind: 2, OldestUnapplied: at,
			Bundles: map[string]int64{"copy": 3}, WireReceived: 5, WireSent: 4, Useful: 3, Requests: 2, LastError: "e", LastContact: at,
			Alarms: []Alarm{{"FORK", "two logs", at}}, Parked: []Parked{{id, true, "r", "d", at, at, 3}},
			Progress: &Progress{Versions: 1, Files: 2, FilesDone: 1, Bytes: 10, BytesDone: 5, Rate: 2.5, Started: at},
		},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const name = "testdata/status.json"
	if *update {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := must(os.ReadFile(name))(t); !bytes.Equal(b, want) {
		t.Errorf("the status is\n%s\nwant\n%s", b, want)
	}
}

func TestErrorsAreTheStateThatTheyAre(t *testing.T) {
	unavailable := func(reason string) error {
		return bundle.Errorf(bundle.KindUnavailable, "x").With("reason", reason)
	}
	for _, tc := range []struct {
		err   error
		want  State
		whole bool
	}{
		{unavailable(syndication.ReasonUnreachable), StateUnreachable, true},
		{unavailable(syndication.ReasonInterrupted), StateUnreachable, false},
		{unavailable(syndication.ReasonBehind), StateBehind, true},
		{bundle.Errorf(bundle.KindUnavailable, "%w", publog.ErrStale), StateBehind, true},
		{bundle.Errorf(bundle.KindUnavailable, "%w", publog.ErrClockSkew), StateClockSkew, true},
		{bundle.Errorf(bundle.KindUnauthorized, "x").With("reason", syndication.ReasonClock), StateClockSkew, true},
		{bundle.Errorf(bundle.KindUnauthorized, "x").With("reason", syndication.ReasonUnknownPeer), StateRefused, true},
		{local(bundle.Errorf(bundle.KindNoSpace, "x")), StatePaused, true},
		{local(errors.New("disk")), StateBehind, true},
		{bundle.Errorf(bundle.KindNotFound, "x"), StateBehind, false},
		{bundle.Errorf(bundle.KindOther, "x"), StateBehind, false},
		{bundle.Errorf(bundle.KindRateLimited, "x"), StateBehind, true},
		{&publog.AlarmError{Alarm: publog.AlarmAltered}, StateBehind, true},
	} {
		l := newLive()
		l.failed(tc.err)
		if l.current != tc.want || wholePeer(t.Context(), tc.err) != tc.whole {
			t.Errorf("%v is %s, whole peer %v; want %s, %v", tc.err, l.current, wholePeer(t.Context(), tc.err), tc.want, tc.whole)
		}
	}
}

func TestFilesAreAskedForInFewRequestsOfASize(t *testing.T) {
	wants := func(n int, size int64) (ws []want) {
		for i := range n {
			ws = append(ws, want{position: i, file: bundle.File{Size: size}})
		}
		return ws
	}
	for _, tc := range []struct {
		name  string
		wants []want
		want  int
	}{
		{"none", nil, 0},
		{"one", wants(1, 5), 1},
		{"little", wants(1000, 1000), 1},
		{"some", wants(1000, 12<<10), 3},
		{"much", wants(1024, 128<<10), 4},
		{"tiny ones", wants(40000, 1), 3},
		{"empty ones", wants(100, 0), 1},
	} {
		all := chunks(tc.wants)
		total := 0
		for _, ws := range all {
			total += len(ws)
		}
		if len(all) != tc.want || total != len(tc.wants) {
			t.Errorf("%s: %d requests for %d files, want %d for %d", tc.name, len(all), total, tc.want, len(tc.wants))
		}
	}
	var many []want
	for i := range 2500 {
		many = append(many, want{ref: bundle.VersionRef{Number: uint64(i)}, file: bundle.File{Size: 1}})
	}
	if all := chunks(many); len(all) != 3 {
		t.Errorf("files of 2500 versions took %d requests", len(all))
	}
}

func TestBackOffGrowsAndHasABound(t *testing.T) {
	for failures, bound := range map[int]time.Duration{1: time.Second, 3: 4 * time.Second, 50: time.Minute} {
		if d := backOff(failures); d < bound/2 || d > bound {
			t.Errorf("after %d failures the pause is %s", failures, d)
		}
	}
	c := Config{RetryAfter: 30 * time.Second}
	for attempts, want := range map[int64]time.Duration{0: 30 * time.Second, 2: 2 * time.Minute, 1000: time.Hour} {
		if d := c.retryIn(attempts); d != want {
			t.Errorf("after %d attempts a bundle waits %s", attempts, d)
		}
	}
}

// ragged breaks off in the middle of large files, and lies about them on demand.
type ragged struct {
	PeerClient
	mu      sync.Mutex
	cuts    int
	offsets []int64
	change  func(r io.ReadCloser, size int64) (io.ReadCloser, int64)
}

func (r *ragged) File(ctx context.Context, ref bundle.VersionRef, path string, offset int64) (io.ReadCloser, int64, error) {
	body, size, err := r.PeerClient.File(ctx, ref, path, offset)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.offsets = append(r.offsets, offset)
	if err == nil && r.change != nil {
		body, size = r.change(body, size)
	}
	if err == nil && r.cuts > 0 {
		r.cuts--
		return cut{io.LimitReader(body, 100<<10), body}, size, nil
	}
	return body, size, err
}

// cut ends too early.
type cut struct {
	io.Reader
	io.Closer
}

func (c cut) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestALargeFileGoesOnWhereItBrokeOff(t *testing.T) {
	north, south := two(t)
	v1 := north.publish(north.bundle(north.collection("c"), "b"), map[string]string{"video": text("video", 900<<10)})
	r := &ragged{cuts: 5}
	south.follow(func(pc PeerClient) PeerClient { r.PeerClient = pc; return r })
	south.awaitVersion(v1)
	south.wantCopy(north)
	for i, offset := range r.offsets {
		if offset != int64(i)*100<<10 {
			t.Errorf("request %d was from %d", i, offset)
		}
	}
	if len(r.offsets) != 6 {
		t.Errorf("%d requests", len(r.offsets))
	}
}

func TestALargeFileThatIsAlteredRaisesTheAlarm(t *testing.T) {
	for name, change := range map[string]func(r io.ReadCloser, size int64) (io.ReadCloser, int64){
		"other bytes": func(r io.ReadCloser, size int64) (io.ReadCloser, int64) {
			return cut{io.LimitReader(zeros{}, size), r}, size
		},
		"another size": func(r io.ReadCloser, size int64) (io.ReadCloser, int64) { return r, size + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			north, south := two(t)
			v1 := north.publish(north.bundle(north.collection("c"), "b"), map[string]string{"video": text("video", 900<<10)})
			r := &ragged{change: change}
			south.follow(func(pc PeerClient) PeerClient { r.PeerClient = pc; return r })
			south.awaitAlarm(north.id(), string(publog.AlarmAltered))
			south.view(func(v *catalog.View) error {
				if visible, err := has(v, v1); visible || err != nil {
					t.Errorf("visible: %v, %v", visible, err)
				}
				return nil
			})
		})
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestAManifestWithAHugeRootIsFetched(t *testing.T) {
	north, south := two(t)
	c := north.collection("c")
	// Many links make a root of more than a frame.
	var refs []bundle.VersionRef
	dep := north.bundle(c, "dep")
	for range 4 {
		refs = append(refs, north.publish(dep, map[string]string{"f": bundle.NewID().String()}))
	}
	snapshot := &bundle.Snapshot{}
	for i := range 4500 {
		ref := refs[i%len(refs)]
		snapshot.Links = append(snapshot.Links, bundle.Link{
			Name: text(bundle.NewID().String(), 40), Direct: bundle.Dependency{Bundle: ref.Bundle, Version: ref.Number},
		})
	}
	snapshot.Sort()
	top := north.publishSnapshot(north.bundle(c, "top"), snapshot)
	south.follow(nil)
	south.awaitVersion(top)
	south.wantCopy(north)
}

func TestGrantsThatChangeAreFollowed(t *testing.T) {
	c := &clock{}
	north, south := newSite(t, t.TempDir(), "north", c), newSite(t, t.TempDir(), "south", c)
	c1, c2 := north.collection("one"), north.collection("two")
	v1 := north.publish(north.bundle(c1, "a"), map[string]string{"a": "1"})
	v2 := north.publish(north.bundle(c2, "b"), map[string]string{"a": "2"})
	north.peerWith(south, onlyCollection(c1))
	south.propose(catalog.Subscribe{Peer: north.id(), Selector: all})
	south.follow(nil)
	south.awaitVersion(v1)
	south.await("the end of the log", func(v *catalog.View) (bool, error) {
		p, err := v.Peer(north.id())
		return p.Cursor == p.Size && p.Size > 0, err
	})
	north.propose(catalog.SetGrants{Peer: south.id(), Grants: []catalog.Selector{all}})
	south.awaitVersion(v2)
	south.wantCopy(north)
}

func TestPeersComeAndGoWhileItRuns(t *testing.T) {
	c := &clock{}
	north, south, east := newSite(t, t.TempDir(), "north", c), newSite(t, t.TempDir(), "south", c), newSite(t, t.TempDir(), "east", c)
	r := south.follow(nil)
	north.peerWith(south, all)
	v1 := north.publish(north.bundle(north.collection("c"), "b"), map[string]string{"a": "1"})
	south.awaitVersion(v1)
	east.peerWith(south, all)
	v2 := east.publish(east.bundle(east.collection("c"), "b"), map[string]string{"a": "2"})
	south.awaitVersion(v2)
	south.propose(catalog.RemovePeer{Peer: north.id()})
	if got := south.files(v1); got["a"] != "1" {
		t.Errorf("the copy of a former peer is %v", got)
	}
	south.awaitVersion(east.publish(v2.Bundle, map[string]string{"a": "3"}))
	status := must(r.Status(t.Context()))(t)
	if len(status) != 1 || status[0].Name != "east" {
		t.Errorf("the status is %+v", status)
	}
	if err := r.Run(t.Context(), nil); !bundle.IsKind(err, bundle.KindConflict) {
		t.Errorf("a second Run: %v", err)
	}
}

func TestANewDescriptorIsFollowed(t *testing.T) {
	north, south := two(t)
	b := north.bundle(north.collection("c"), "b")
	v1 := north.publish(b, map[string]string{"a": "1"})
	south.follow(nil)
	south.awaitVersion(v1)
	north.clock.advance(time.Minute)
	renamed, changed, err := north.identity.Describe("north, renamed", []string{north.url}, north.clock.Now())
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	north.propose(renamed)
	north.publish(b, map[string]string{"a": "2"})
	south.await("the new descriptor", func(v *catalog.View) (bool, error) {
		p, err := v.Peer(north.id())
		return bytes.Equal(p.Descriptor, renamed.Descriptor), err
	})
}
