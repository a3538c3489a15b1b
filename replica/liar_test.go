package replica

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/syndication"
)

// liar stands between a subscriber and a real, honest peer, and holds that
// peer's own log key: what it says is well signed.
type liar struct {
	PeerClient
	t     *testing.T
	north *site

	mu     sync.Mutex
	poll   func(req syndication.PollRequest, honest *syndication.PollAnswer) *syndication.PollAnswer
	log    *forgery // answers requests for records, if set
	frame  func(f bundle.Frame) bundle.Frame
	refuse error         // answers polls, if set
	polls  chan struct{} // one token for each poll that was answered with a lie
}

func newLiar(t *testing.T, north *site) *liar {
	return &liar{t: t, north: north, polls: make(chan struct{}, 1000)}
}

func (l *liar) wrap(c PeerClient) PeerClient { l.PeerClient = c; return l }

// lie makes the liar answer polls with fn from now on, at once.
func (l *liar) lie(fn func(req syndication.PollRequest, honest *syndication.PollAnswer) *syndication.PollAnswer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.poll = fn
}

func (l *liar) Poll(ctx context.Context, req syndication.PollRequest) (*syndication.PollAnswer, error) {
	l.mu.Lock()
	poll, refuse := l.poll, l.refuse
	l.mu.Unlock()
	if refuse != nil {
		l.told()
		return nil, refuse
	}
	if poll == nil {
		req.Wait = min(req.Wait, 50*time.Millisecond) // so that lies are told soon
		return l.PeerClient.Poll(ctx, req)
	}
	req.Wait = 10 * time.Millisecond
	honest, err := l.PeerClient.Poll(ctx, req)
	if err != nil {
		return nil, err
	}
	l.told()
	return poll(req, honest), nil
}

func (l *liar) told() {
	select {
	case l.polls <- struct{}{}:
	default:
	}
}

// replays makes the liar answer every poll with the checkpoint before the one
// that is known: genuine, and older.
func (l *liar) replays(south *site) {
	old := south.peer(l.north.id())
	l.north.clock.advance(2 * time.Minute)
	l.north.propose(catalog.CreateCollection{ID: bundle.NewID(), Title: "another"}) // wakes the publisher
	south.await("a newer checkpoint", func(v *catalog.View) (bool, error) {
		p, err := v.Peer(l.north.id())
		return err == nil && p.Issued > old.Issued && p.Size > old.Size, err
	})
	l.lie(func(req syndication.PollRequest, a *syndication.PollAnswer) *syndication.PollAnswer {
		return &syndication.PollAnswer{Note: old.Note, Next: req.From, GrantRevision: req.GrantRevision, Descriptor: a.Descriptor}
	})
}

func (l *liar) Records(ctx context.Context, req syndication.RecordsRequest) (*syndication.RecordsAnswer, error) {
	l.mu.Lock()
	log := l.log
	l.mu.Unlock()
	if log == nil {
		return l.PeerClient.Records(ctx, req)
	}
	a := &syndication.RecordsAnswer{Size: req.Size}
	var at []int64
	for _, e := range log.entries {
		r, err := publog.DecodeRecord(e.Body)
		if err != nil {
			return nil, err
		}
		if r.Subject == req.Subject && e.Index >= req.From {
			at, a.Entries = append(at, e.Index), append(a.Entries, e)
		}
	}
	var err error
	a.Proof, err = publog.ProveLeaves(req.Size, at, log.reader())
	return a, err
}

func (l *liar) Blobs(ctx context.Context, wants []syndication.BlobWant, fn func(bundle.Frame) error) error {
	return l.PeerClient.Blobs(ctx, wants, func(f bundle.Frame) error {
		l.mu.Lock()
		frame := l.frame
		l.mu.Unlock()
		if frame != nil {
			f = frame(f)
		}
		return fn(f)
	})
}

// forgery is a log of the liar's own making, signed with the real key.
type forgery struct {
	l       *liar
	entries []publog.Entry
	hashes  []tlog.Hash
}

// forge begins with the first n records of the real log.
func (l *liar) forge(n int64) *forgery {
	g := &forgery{l: l}
	l.north.view(func(v *catalog.View) error {
		records, err := v.Records(0, int(n))
		for _, r := range records {
			g.add(r.Salt, r.Body)
		}
		return err
	})
	return g
}

func (g *forgery) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			hashes[i] = g.hashes[at]
		}
		return hashes, nil
	})
}

func (g *forgery) add(salt publog.Salt, body []byte) {
	e := publog.Entry{Index: int64(len(g.entries)), Salt: salt, Body: body}
	hashes := must(publog.AppendHashes(e.Index, e.LeafHash(), g.reader()))(g.l.t)
	g.entries, g.hashes = append(g.entries, e), append(g.hashes, hashes...)
}

// answer is what a peer with that log would answer.
func (g *forgery) answer(req syndication.PollRequest, issued time.Time) *syndication.PollAnswer {
	t := g.l.t
	size := int64(len(g.entries))
	root := must(publog.Root(size, g.reader()))(t)
	var skey []byte
	g.l.north.view(func(v *catalog.View) error {
		sealed, err := v.Secret(access.SecretLogKey)
		if err != nil {
			return err
		}
		skey, err = g.l.north.sealer.Open(access.SecretLogKey, sealed)
		return err
	})
	signer := must(publog.NewLogSigner(string(skey)))(t)
	a := &syndication.PollAnswer{Next: max(req.From, size), GrantRevision: req.GrantRevision, Descriptor: bundle.DigestOf(g.l.north.identity.SignedDescriptor())}
	a.Note = must(publog.Sign(publog.Checkpoint{
		Instance: g.l.north.id(), Generation: 1, Size: size, Root: root, Issued: issued.UnixMicro(),
	}, signer))(t)
	a.Consistency = must(publog.ProveConsistency(min(req.Size, size), max(size, min(req.Size, size)), g.reader()))(t)
	var at []int64
	for i := req.From; i < size; i++ {
		at, a.Entries = append(at, i), append(a.Entries, g.entries[i])
	}
	a.Proof = must(publog.ProveLeaves(size, at, g.reader()))(t)
	return a
}

// version returns the body of a version record as the owner would publish it.
func (g *forgery) version(owner bundle.ID, subject bundle.ID, number uint64, prev tlog.Hash) []byte {
	r := publog.Record{
		Kind: publog.RecordVersion, Critical: true, Subject: subject, Owner: bundle.Owner{Instance: owner, Epoch: 1},
		Prev: prev, Time: 1, Version: &publog.VersionBody{Number: number, Manifest: bundle.Digest{1}},
	}
	return must(r.Encode())(g.l.t)
}

// lying is a subscriber that has verified a version of an honest peer, which
// lies from now on.
func lying(t *testing.T) (l *liar, south *site, served bundle.VersionRef, r *running) {
	north, south := two(t)
	b := north.bundle(north.collection("c"), "b")
	served = north.publish(b, map[string]string{"a": "honest", "b": text("b", 1000)})
	l = newLiar(t, north)
	r = south.follow(l.wrap)
	south.awaitVersion(served)
	return l, south, served, r
}

// wantRefusal waits for the alarm and checks that what was verified is served
// on, that nothing of the lie is here, and that intake has stopped.
func (l *liar) wantRefusal(south *site, alarm publog.Alarm, served bundle.VersionRef) {
	l.t.Helper()
	a := south.awaitAlarm(l.north.id(), string(alarm))
	l.t.Logf("%s: %s", a.Alarm, a.Detail)
	if a.Detail == "" || len(a.Evidence) == 0 {
		l.t.Errorf("the alarm has no detail or no evidence: %+v", a)
	}
	if p := south.peer(l.north.id()); len(p.Alarms) != 1 {
		l.t.Errorf("alarms: %+v", p.Alarms)
	}
	if got := south.files(served); got["a"] != "honest" {
		l.t.Errorf("what was verified is served as %v", got)
	}
	if vs := south.versions(l.north.id()); len(vs) != 1 {
		l.t.Errorf("visible are %+v", vs)
	}
}

func TestALyingPeerIsRefusedByName(t *testing.T) {
	t.Run("it alters a blob", func(t *testing.T) {
		l, south, served, r := lying(t)
		l.mu.Lock()
		l.frame = func(f bundle.Frame) bundle.Frame {
			return bundle.Frame{Digest: f.Digest, Codec: bundle.CodecRaw, Size: 4, Payload: []byte("liar")}
		}
		l.mu.Unlock()
		next := l.north.publish(served.Bundle, map[string]string{"a": "good"})
		l.wantRefusal(south, publog.AlarmAltered, served)

		l.mu.Lock()
		l.frame = nil
		l.mu.Unlock()
		if err := r.cfg.apply(t.Context(), catalog.ClearAlarms{Peer: l.north.id(), Alarm: string(publog.AlarmAltered)}); err != nil {
			t.Fatal(err)
		}
		south.awaitVersion(next)
		south.wantCopy(l.north)
	})
	t.Run("it swaps a blob for another", func(t *testing.T) {
		l, south, served, _ := lying(t)
		l.mu.Lock()
		l.frame = func(bundle.Frame) bundle.Frame { return bundle.MakeFrame([]byte("liar")) }
		l.mu.Unlock()
		l.north.publish(served.Bundle, map[string]string{"a": "good"})
		l.wantRefusal(south, publog.AlarmAltered, served)
	})
	t.Run("it alters a record", func(t *testing.T) {
		l, south, served, _ := lying(t)
		l.lie(func(_ syndication.PollRequest, a *syndication.PollAnswer) *syndication.PollAnswer {
			for i := range a.Entries {
				a.Entries[i].Body[len(a.Entries[i].Body)-1] ^= 1
			}
			return a
		})
		<-l.polls
		l.north.publish(served.Bundle, map[string]string{"a": "good"})
		l.wantRefusal(south, publog.AlarmAltered, served)
	})
	t.Run("it shortens its log", func(t *testing.T) {
		l, south, served, _ := lying(t)
		g := l.forge(2)
		l.lie(func(req syndication.PollRequest, _ *syndication.PollAnswer) *syndication.PollAnswer {
			return g.answer(req, l.north.clock.Now())
		})
		l.wantRefusal(south, publog.AlarmRollback, served)
	})
	t.Run("it forks its log", func(t *testing.T) {
		l, south, served, _ := lying(t)
		g := l.forge(2)
		g.add(publog.Salt{1}, g.version(l.north.id(), served.Bundle, 1, tlog.Hash{}))
		g.add(publog.Salt{2}, g.version(l.north.id(), served.Bundle, 2, tlog.Hash{}))
		l.lie(func(req syndication.PollRequest, _ *syndication.PollAnswer) *syndication.PollAnswer {
			return g.answer(req, l.north.clock.Now())
		})
		l.wantRefusal(south, publog.AlarmFork, served)
	})
	t.Run("it stops renewing its log", func(t *testing.T) {
		l, south, served, _ := lying(t)
		l.lie(func(req syndication.PollRequest, a *syndication.PollAnswer) *syndication.PollAnswer {
			return &syndication.PollAnswer{Note: south.peer(l.north.id()).Note, Next: req.From, GrantRevision: req.GrantRevision, Descriptor: a.Descriptor}
		})
		<-l.polls // what is old but not too old is no alarm
		<-l.polls
		if p := south.peer(l.north.id()); len(p.Alarms) != 0 {
			t.Fatalf("alarms: %+v", p.Alarms)
		}
		l.north.clock.advance(16 * time.Minute)
		l.wantRefusal(south, publog.AlarmFreeze, served)

		l.lie(nil) // it is fresh again, and the alarm ends by itself
		next := l.north.publish(served.Bundle, map[string]string{"a": "good"})
		south.awaitVersion(next)
		if p := south.peer(l.north.id()); len(p.Alarms) != 0 {
			t.Fatalf("alarms: %+v", p.Alarms)
		}
	})
	t.Run("it replays an old answer for ever", func(t *testing.T) {
		l, south, served, _ := lying(t)
		l.replays(south)
		<-l.polls
		<-l.polls
		if p := south.peer(l.north.id()); len(p.Alarms) != 0 {
			t.Fatalf("alarms: %+v", p.Alarms)
		}
		l.north.clock.advance(16 * time.Minute)
		l.wantRefusal(south, publog.AlarmFreeze, served)

		l.lie(nil)
		next := l.north.publish(served.Bundle, map[string]string{"a": "good"})
		south.awaitVersion(next)
		south.wantCopy(l.north)
	})
	t.Run("it was rolled back and says that it is behind", func(t *testing.T) {
		l, south, served, _ := lying(t)
		l.mu.Lock()
		l.refuse = bundle.Errorf(bundle.KindUnavailable, "catching up").With("reason", syndication.ReasonBehind)
		l.mu.Unlock()
		<-l.polls
		<-l.polls
		l.north.clock.advance(16 * time.Minute)
		l.wantRefusal(south, publog.AlarmFreeze, served)
	})
	t.Run("it publishes another's bundle", func(t *testing.T) {
		l, south, served, _ := lying(t)
		g := l.forge(south.peer(l.north.id()).Size)
		g.add(publog.Salt{1}, g.version(bundle.NewID(), bundle.NewID(), 1, tlog.Hash{}))
		l.lie(func(req syndication.PollRequest, _ *syndication.PollAnswer) *syndication.PollAnswer {
			return g.answer(req, l.north.clock.Now())
		})
		l.wantRefusal(south, publog.AlarmWrongOwner, served)
		l.wantProof(south, g.entries[len(g.entries)-1])
	})
	t.Run("it shows another's bundle among the records it is asked for", func(t *testing.T) {
		l, south, served, _ := lying(t)
		other := bundle.NewID()
		g := l.forge(south.peer(l.north.id()).Size)
		g.add(publog.Salt{1}, g.version(l.north.id(), other, 2, tlog.Hash{1})) // the records before it are missing
		foreign := len(g.entries)
		g.add(publog.Salt{2}, g.version(bundle.NewID(), other, 1, tlog.Hash{}))
		l.mu.Lock()
		l.log = g
		l.mu.Unlock()
		l.lie(func(req syndication.PollRequest, _ *syndication.PollAnswer) *syndication.PollAnswer {
			a := g.answer(req, l.north.clock.Now())
			a.Entries = slices.DeleteFunc(a.Entries, func(e publog.Entry) bool { return e.Index == int64(foreign) })
			at := make([]int64, len(a.Entries))
			for i, e := range a.Entries {
				at[i] = e.Index
			}
			a.Proof = must(publog.ProveLeaves(int64(len(g.entries)), at, g.reader()))(t)
			return a
		})
		l.wantRefusal(south, publog.AlarmWrongOwner, served)
		l.wantProof(south, g.entries[foreign])
	})
}

func TestABundleOfThisSiteIsNotTakenOver(t *testing.T) {
	l, south, served, _ := lying(t)
	mine := south.bundle(south.collection("mine"), "mine")
	own := south.publish(mine, map[string]string{"m": "mine"})
	g := l.forge(south.peer(l.north.id()).Size)
	g.add(publog.Salt{1}, g.version(l.north.id(), mine, 2, tlog.Hash{}))
	l.lie(func(req syndication.PollRequest, _ *syndication.PollAnswer) *syndication.PollAnswer {
		return g.answer(req, l.north.clock.Now())
	})
	if p := south.awaitParked(l.north.id(), mine); p.Reason != reasonOwner || !p.Held {
		t.Errorf("the bundle is aside as %+v", p)
	}
	if got := south.files(own); got["m"] != "mine" {
		t.Errorf("the own version is %v", got)
	}
	if got := south.files(served); got["a"] != "honest" {
		t.Errorf("what was verified is served as %v", got)
	}
}

func TestARecordThatDoesNotContinueItsBundleHoldsItAlone(t *testing.T) {
	l, south, served, _ := lying(t)
	g := l.forge(south.peer(l.north.id()).Size)
	g.add(publog.Salt{1}, g.version(l.north.id(), served.Bundle, 2, tlog.Hash{9}))
	l.mu.Lock()
	l.log = g
	l.mu.Unlock()
	l.lie(func(req syndication.PollRequest, _ *syndication.PollAnswer) *syndication.PollAnswer {
		return g.answer(req, l.north.clock.Now())
	})
	if p := south.awaitParked(l.north.id(), served.Bundle); p.Reason != reasonChain {
		t.Errorf("the bundle is aside as %+v", p)
	}
	if got := south.files(served); got["a"] != "honest" {
		t.Errorf("what was verified is served as %v", got)
	}
}

func TestARecordThatCannotBeReadHoldsItsBundleAlone(t *testing.T) {
	l, south, served, _ := lying(t)
	other := l.north.publish(l.north.bundle(l.north.collection("d"), "d"), map[string]string{"d": "other"})
	south.awaitVersion(other)
	g := l.forge(south.peer(l.north.id()).Size)
	prev := must(publog.DecodeRecord(g.entries[len(g.entries)-1].Body))(t)
	body := g.version(l.north.id(), other.Bundle, 2, g.entries[len(g.entries)-1].LeafHash())
	if prev.Subject != other.Bundle || body[2] != 1 {
		t.Fatalf("the last record is %+v, and the new one does not begin with its format", prev)
	}
	body[2] = 2 // a later format
	g.add(publog.Salt{1}, body)
	g.add(publog.Salt{2}, []byte{0xa1, 0x01, 0x03}) // and one that tells nothing
	l.lie(func(req syndication.PollRequest, _ *syndication.PollAnswer) *syndication.PollAnswer {
		return g.answer(req, l.north.clock.Now())
	})
	if p := south.awaitParked(l.north.id(), other.Bundle); p.Reason != reasonUnknown || !p.Held {
		t.Errorf("the bundle is aside as %+v", p)
	}
	south.await("the cursor passed it", func(v *catalog.View) (bool, error) {
		p, err := v.Peer(l.north.id())
		return err == nil && p.Cursor == int64(len(g.entries)), err
	})
	if p := south.peer(l.north.id()); len(p.Alarms) != 0 {
		t.Errorf("alarms: %+v", p.Alarms)
	}
	if got := south.files(served); got["a"] != "honest" {
		t.Errorf("what was verified is served as %v", got)
	}
}

// slow is honest, and takes its time: it answers late, a frame at a time, and
// breaks off now and then.
type slow struct {
	PeerClient
	mu     sync.Mutex
	frames int
}

func (s *slow) Poll(ctx context.Context, req syndication.PollRequest) (*syndication.PollAnswer, error) {
	if err := pause(ctx, 10*time.Millisecond); err != nil {
		return nil, err
	}
	req.Limit = 3
	return s.PeerClient.Poll(ctx, req)
}

func (s *slow) Blobs(ctx context.Context, wants []syndication.BlobWant, fn func(bundle.Frame) error) error {
	return s.PeerClient.Blobs(ctx, wants, func(f bundle.Frame) error {
		s.mu.Lock()
		s.frames++
		breaks := s.frames%7 == 0
		s.mu.Unlock()
		if breaks {
			return bundle.Errorf(bundle.KindUnavailable, "cut").With("reason", syndication.ReasonInterrupted)
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
		return fn(f)
	})
}

func TestASlowButHonestPeerRaisesNoAlarm(t *testing.T) {
	north, south := two(t)
	c := north.collection("c")
	var last bundle.VersionRef
	for i := range 12 {
		files := make(map[string]string)
		for k := range 5 {
			files[fmt.Sprint("f", k)] = text(fmt.Sprint(i, k), 500)
		}
		last = north.publish(north.bundle(c, fmt.Sprint("b", i)), files)
	}
	south.follow(func(pc PeerClient) PeerClient { return &slow{PeerClient: pc} })
	south.awaitVersion(last)
	south.wantCopy(north)
	p := south.peer(north.id())
	if len(p.Alarms) != 0 || len(south.versions(north.id())) != 12 {
		t.Errorf("alarms %+v, %d versions", p.Alarms, len(south.versions(north.id())))
	}
	south.view(func(v *catalog.View) error {
		parked, err := v.Parked(north.id())
		if len(parked) != 0 {
			t.Errorf("parked: %+v", parked)
		}
		return err
	})
}

// gone cannot be reached.
type gone struct{ PeerClient }

func (gone) Poll(context.Context, syndication.PollRequest) (*syndication.PollAnswer, error) {
	return nil, bundle.Errorf(bundle.KindUnavailable, "nobody there").With("reason", syndication.ReasonUnreachable)
}

func TestAPeerThatCannotBeReachedIsAStateAndNoAlarm(t *testing.T) {
	for _, tc := range []struct {
		name string
		wrap func(PeerClient) PeerClient
		skew time.Duration
		want State
	}{
		{"unreachable", func(c PeerClient) PeerClient { return gone{c} }, 0, StateUnreachable},
		{"clock", nil, -time.Hour, StateClockSkew},
	} {
		t.Run(tc.name, func(t *testing.T) {
			north, south := two(t)
			south.clock = &clock{}
			south.clock.advance(tc.skew)
			paused := make(chan struct{}, 100)
			r := south.follow(tc.wrap, func(c *Config) {
				c.Pause = func(ctx context.Context, d time.Duration) error {
					paused <- struct{}{}
					return pause(ctx, 10*time.Millisecond)
				}
			})
			for range 3 {
				<-paused
			}
			status := must(r.Status(t.Context()))(t)
			if len(status) != 1 || status[0].State != tc.want || status[0].LastError == "" || len(status[0].Alarms) > 0 {
				t.Errorf("the status is %+v", status)
			}
			if p := south.peer(north.id()); len(p.Alarms) > 0 {
				t.Errorf("alarms: %+v", p.Alarms)
			}
			r.stop()
		})
	}
}
