package syndication

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
)

func TestPollsCarryProvenRecordsAsTheLogGrows(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	c := a.collection("c")
	x := a.bundle(c, "x")
	v1 := a.publish(x, map[string]string{"a": "1"})
	a.checkpoint()
	f := newFollow(t, a.peerWith(b, all), a)
	if got := versions(f.all()); len(got) != 1 || got[v1] == nil {
		t.Fatalf("first pull: %v", got)
	}
	if got := kindsOf(f.records, c); !slices.Equal(got, []publog.RecordKind{publog.RecordCollection}) {
		t.Errorf("the collection: %v", got)
	}
	if got := f.poll(nil); len(got) != 0 {
		t.Errorf("nothing new, yet %v", got)
	}
	v2 := a.publish(x, map[string]string{"a": "2"})
	if got := f.poll(nil); len(got) != 0 {
		t.Errorf("records that no checkpoint signs: %v", got)
	}
	a.checkpoint()
	if got := versions(f.poll(nil)); len(got) != 1 || got[v2] == nil {
		t.Errorf("second pull: %v", got)
	}
	for range 5 {
		a.publish(x, map[string]string{"a": "2"})
	}
	a.checkpoint()
	for want := range 5 {
		if got := f.poll(func(r *PollRequest) { r.Limit = 1 }); len(got) != 1 {
			t.Fatalf("page %d: %v", want, got)
		}
	}
	if f.from != f.known.Checkpoint.Size {
		t.Errorf("paged up to %d of %d", f.from, f.known.Checkpoint.Size)
	}
}

func TestAPollWithNothingNewIsSmall(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	x := a.bundle(a.collection("c"), "x")
	for range 20 {
		a.publish(x, map[string]string{"a": "1"})
	}
	a.checkpoint()
	a.peerWith(b, all)
	var moved []Transfer
	client, err := NewClient(ClientConfig{
		Identity: b.identity, Peer: a.identity.ID(), Addresses: []string{a.url}, Now: a.clock.Now,
		Observe: func(t Transfer) { moved = append(moved, t) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	f := newFollow(t, client, a)
	f.all()
	moved = nil
	f.poll(nil)
	if len(moved) != 1 || moved[0].Sent+moved[0].Received > 1024 {
		t.Errorf("moved %+v", moved)
	}
}

func TestAWaitingPollWakesWithNewsOfItsOwn(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	mine, other := a.bundle(a.collection("c"), "mine"), a.bundle(a.collection("d"), "other")
	a.publish(mine, map[string]string{"a": "1"})
	a.checkpoint()
	client := a.peerWith(b, onlyBundle(mine))
	f := newFollow(t, client, a)
	f.all()

	type answer struct {
		a   *PollAnswer
		err error
	}
	answers := make(chan answer, 1)
	req := f.request()
	req.Wait = MaxWait
	go func() {
		a, err := client.Poll(t.Context(), req)
		answers <- answer{a, err}
	}()
	a.publish(other, map[string]string{"b": "1"})
	a.checkpoint()
	select {
	case got := <-answers:
		t.Fatalf("woken by another's record: %+v", got)
	case <-time.After(50 * time.Millisecond): // not a synchronisation: later would only find more
	}
	v2 := a.publish(mine, map[string]string{"a": "2"})
	a.checkpoint()
	got := <-answers
	if got.err != nil {
		t.Fatal(got.err)
	}
	v, err := Check(f.known, req, got.a, a.clock.Now(), Limits{})
	if err != nil || versions(v.Records)[v2] == nil {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestAWaitingPollEndsWithAFreshCheckpoint(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	a.checkpoint()
	f := newFollow(t, a.peerWith(b, all), a)
	f.all()
	if got := f.poll(func(r *PollRequest) { r.Wait = 20 * time.Millisecond }); len(got) != 0 {
		t.Errorf("%v", got)
	}
	a.server.Close()
	req := f.request()
	req.Wait = MaxWait
	if _, err := f.client.Poll(t.Context(), req); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("a poll at a node that shuts down: %v", err)
	}
}

func TestANodeBehindItsSubscriberSaysSo(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	client := a.peerWith(b, all)
	_, err := client.Poll(t.Context(), PollRequest{})
	wantReason(t, "before the first checkpoint", err, bundle.KindUnavailable, ReasonBehind)
	a.checkpoint()
	size := newFollow(t, client, a)
	size.all()
	_, err = client.Poll(t.Context(), PollRequest{Size: size.known.Checkpoint.Size + 5, Wait: 10 * time.Millisecond})
	wantReason(t, "poll", err, bundle.KindUnavailable, ReasonBehind)
	_, err = client.Records(t.Context(), RecordsRequest{Subject: idA, Size: size.known.Checkpoint.Size + 5})
	wantReason(t, "records", err, bundle.KindUnavailable, ReasonBehind)
}

// I8: a peer sees what it was granted; of the rest, only how many records
// there are.
func TestGrantsShowWhatTheyNameAndNothingElse(t *testing.T) {
	a := newSite(t, "north")
	c, d := a.collection("collection c"), a.collection("collection d")
	x, y, z, lonely := a.bundle(c, "x"), a.bundle(c, "y"), a.bundle(d, "z"), a.bundle(d, "lonely")
	z1 := a.publish(z, map[string]string{"z": "1"})
	z2 := a.publish(z, map[string]string{"z": "2"})
	x1 := a.publish(x, map[string]string{"x": "1"}, z1)
	y1 := a.publish(y, map[string]string{"y": "1"})
	l1 := a.publish(lonely, map[string]string{"l": "1"})
	a.checkpoint()
	everything := map[bundle.VersionRef]bool{x1: true, y1: true, z1: true, z2: true, l1: true}
	tests := []struct {
		name     string
		grants   []catalog.Selector
		versions []bundle.VersionRef
		subjects []bundle.ID // what else may be seen
	}{
		{"all", []catalog.Selector{all}, slices.Collect(maps.Keys(everything)), []bundle.ID{c, d, x, y, z, lonely}},
		{"collection", []catalog.Selector{onlyCollection(c)}, []bundle.VersionRef{x1, y1, z1}, []bundle.ID{c, x, y, z}},
		{"bundle with a link", []catalog.Selector{onlyBundle(x)}, []bundle.VersionRef{x1, z1}, []bundle.ID{x, z}},
		{"bundle", []catalog.Selector{onlyBundle(y)}, []bundle.VersionRef{y1}, []bundle.ID{y}},
		{"nothing that exists", []catalog.Selector{onlyBundle(bundle.NewID())}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newSite(t, "south")
			f := newFollow(t, a.peerWith(b, tt.grants...), a)
			a.checkpoint()
			got := versions(f.all())
			for ref := range everything {
				if want := slices.Contains(tt.versions, ref); (got[ref] != nil) != want {
					t.Errorf("version %v seen: %v, want %v", ref, got[ref] != nil, want)
				}
				a.checkContent(t, f.client, ref, slices.Contains(tt.versions, ref))
			}
			for _, r := range f.records {
				if r.Record.Subject != (bundle.ID{}) && !slices.Contains(tt.subjects, r.Record.Subject) {
					t.Errorf("a %s record of %s is seen", r.Record.Kind, r.Record.Subject)
				}
			}
			a.checkNothingElse(t, f)
		})
	}
}

// checkContent asks in every way for a version's content.
func (s *testSite) checkContent(t *testing.T, c *Client, ref bundle.VersionRef, granted bool) {
	t.Helper()
	keep := func(bundle.Frame) error { return nil }
	var version catalog.Version
	s.view(func(v *catalog.View) { version, _ = v.Version(ref) })
	f, _, fileErr := c.File(t.Context(), ref, "", 0)
	if fileErr == nil {
		f.Close()
	}
	for name, err := range map[string]error{
		"manifests": c.Manifests(t.Context(), []ManifestWant{{Ref: ref, Manifest: version.Manifest}}, keep),
		"blobs":     c.Blobs(t.Context(), []BlobWant{{Ref: ref, Positions: []int{0}}}, keep),
		"file":      fileErr,
	} {
		if granted && err != nil || !granted && !bundle.IsKind(err, bundle.KindNotFound) {
			t.Errorf("%s of %v, granted %v: %v", name, ref, granted, err)
		}
	}
}

// checkNothingElse looks at the raw answers for bodies and salts of records
// that were not seen.
func (s *testSite) checkNothingElse(t *testing.T, f *follow) {
	t.Helper()
	seen := make(map[int64]bool)
	for _, r := range f.records {
		seen[r.Index] = true
	}
	var raw []byte
	for from := int64(0); from < f.known.Checkpoint.Size; {
		a, err := f.client.Poll(t.Context(), PollRequest{From: from, GrantRevision: f.grants})
		if err != nil {
			t.Fatal(err)
		}
		b, err := a.encode()
		if err != nil {
			t.Fatal(err)
		}
		raw, from = append(raw, b...), a.Next
	}
	s.view(func(v *catalog.View) {
		records, err := v.Records(0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records {
			if !seen[rec.Index] && (bytes.Contains(raw, rec.Salt[:]) || bytes.Contains(raw, rec.Body)) {
				t.Errorf("record %d, which is not granted, is in the answer", rec.Index)
			}
		}
	})
}

func TestWithdrawalsReachWhoWasGrantedTheCollection(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	c, d := a.collection("c"), a.collection("d")
	x, y := a.bundle(c, "x"), a.bundle(d, "y")
	a.publish(x, map[string]string{"x": "1"})
	a.checkpoint()
	f := newFollow(t, a.peerWith(b, onlyCollection(c)), a)
	f.all()
	a.propose(catalog.DeleteBundle{ID: x})
	a.propose(catalog.DeleteBundle{ID: y})
	a.checkpoint()
	if got := f.poll(nil); len(got) != 1 || got[0].Record.Withdrawal == nil || got[0].Record.Subject != x {
		t.Errorf("%+v", got)
	}
	a.propose(catalog.DeleteCollection{ID: c})
	a.checkpoint()
	if got := kindsOf(f.poll(nil), c); !slices.Equal(got, []publog.RecordKind{publog.RecordWithdrawal}) {
		t.Errorf("the collection: %v", got)
	}
}

func TestABundleMovedIntoAGrantedCollectionIsHealedByItsSubject(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	c, d := a.collection("c"), a.collection("d")
	x := a.bundle(d, "x")
	x1 := a.publish(x, map[string]string{"x": "1"})
	a.checkpoint()
	f := newFollow(t, a.peerWith(b, onlyCollection(c)), a)
	f.all()
	a.propose(catalog.UpdateBundle{ID: x, Collection: &c})
	a.checkpoint()
	if got := f.poll(nil); len(got) != 1 || got[0].Record.Bundle == nil {
		t.Fatalf("%+v", got)
	}
	req := RecordsRequest{Subject: x, Size: f.known.Checkpoint.Size}
	answer, err := f.client.Records(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	records, err := CheckRecords(f.known.Checkpoint, req, answer)
	if err != nil || len(records) != 3 || versions(records)[x1] == nil {
		t.Errorf("%+v, %v", records, err)
	}
}

func TestFollowingLessThanGranted(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	c := a.collection("c")
	x1, y1 := a.publish(a.bundle(c, "x"), map[string]string{"x": "1"}), a.publish(a.bundle(c, "y"), map[string]string{"y": "1"})
	a.checkpoint()
	f := newFollow(t, a.peerWith(b, onlyCollection(c)), a)
	a.checkpoint()
	got := versions(f.poll(func(r *PollRequest) { r.Selectors = []catalog.Selector{onlyBundle(y1.Bundle)} }))
	if got[x1] != nil || got[y1] == nil {
		t.Errorf("%v", got)
	}
}

func TestAChangeOfGrantsEndsTheWait(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	x := a.bundle(a.collection("c"), "x")
	x1 := a.publish(x, map[string]string{"x": "1"})
	a.checkpoint()
	client := a.peerWith(b, onlyBundle(bundle.NewID()))
	a.checkpoint()
	f := newFollow(t, client, a)
	f.all()
	done := make(chan error, 1)
	req := f.request()
	req.Wait = MaxWait
	go func() {
		answer, err := client.Poll(t.Context(), req)
		if err == nil && answer.GrantRevision == req.GrantRevision {
			err = errors.New("the grant revision is the same")
		}
		done <- err
	}()
	a.propose(catalog.SetGrants{Peer: b.identity.ID(), Grants: []catalog.Selector{onlyBundle(x)}})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	f.from = 0
	if got := versions(f.all()); got[x1] == nil {
		t.Errorf("%v", got)
	}
}

func TestSingleRecordsOfVersionsAndSubjects(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	c := a.collection("c")
	x, hidden := a.bundle(c, "x"), a.bundle(c, "hidden")
	x1, h1 := a.publish(x, map[string]string{"x": "1"}), a.publish(hidden, map[string]string{"h": "1"})
	title := "another title"
	a.propose(catalog.UpdateBundle{ID: x, Title: &title})
	a.checkpoint()
	f := newFollow(t, a.peerWith(b, onlyBundle(x)), a)
	f.all()
	at := f.known.Checkpoint
	ask := func(req RecordsRequest) []VerifiedRecord {
		t.Helper()
		req.Size = at.Size
		answer, err := f.client.Records(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		records, err := CheckRecords(at, req, answer)
		if err != nil {
			t.Fatal(err)
		}
		return records
	}
	got := ask(RecordsRequest{Versions: []bundle.VersionRef{x1, h1, {Bundle: x, Number: 9}}})
	if len(got) != 2 || versions(got)[x1] == nil {
		t.Fatalf("%+v", got)
	}
	if m := got[1].Record.Bundle; m == nil || m.Title != title {
		t.Errorf("the metadata is not the newest: %+v", got[1].Record)
	}
	if got := ask(RecordsRequest{Subject: x}); len(got) != 3 {
		t.Errorf("%d records of the bundle, want 3", len(got))
	}
	if got := ask(RecordsRequest{Subject: hidden}); len(got) != 0 {
		t.Errorf("%d records of what is not granted", len(got))
	}
}

func TestRecordsTooLargeForOneAnswerAreToBeAskedForApart(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	x := a.bundle(a.collection("c"), "x")
	a.describe = strings.Repeat("long ", 12<<10)
	var refs []bundle.VersionRef
	for i := range 60 {
		refs = append(refs, a.publish(x, map[string]string{"x": fmt.Sprint(i)}))
	}
	a.checkpoint()
	f := newFollow(t, a.peerWith(b, onlyBundle(x)), a)
	f.all()
	at := f.known.Checkpoint
	_, err := f.client.Records(t.Context(), RecordsRequest{Versions: refs, Size: at.Size})
	if !bundle.IsKind(err, bundle.KindTooLarge) {
		t.Errorf("got %v, want one of KindTooLarge", err)
	}
	for half := range slices.Chunk(refs, 30) {
		req := RecordsRequest{Versions: half, Size: at.Size}
		answer, err := f.client.Records(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if records, err := CheckRecords(at, req, answer); err != nil || len(versions(records)) != 30 {
			t.Errorf("%d records, %v", len(records), err)
		}
	}
}

func TestStrangersAndFormerPeersAreRefused(t *testing.T) {
	a, b, c := newSite(t, "north"), newSite(t, "south"), newSite(t, "west")
	client := a.peerWith(b, all)
	a.checkpoint()
	c.clock = a.clock
	_, err := c.client(a).Poll(t.Context(), PollRequest{})
	wantReason(t, "a stranger", err, bundle.KindUnauthorized, ReasonUnknownPeer)
	a.propose(catalog.RemovePeer{Peer: b.identity.ID()})
	_, err = client.Poll(t.Context(), PollRequest{})
	wantReason(t, "a former peer", err, bundle.KindUnauthorized, ReasonUnknownPeer)
}

func TestTheSameRequestTwiceIsAReplay(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	a.peerWith(b, all)
	a.checkpoint()
	body, err := PollRequest{}.encode()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := http.NewRequestWithContext(t.Context(), "POST", a.url+"/peer/v1/poll", nil)
	if err != nil {
		t.Fatal(err)
	}
	b.identity.signRequest(signed, "/peer/v1/poll", body, a.identity.ID(), a.clock.Now())
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	send := func() error {
		req := signed.Clone(t.Context())
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
		return readError(resp)
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	wantReason(t, "replay", send(), bundle.KindUnauthorized, ReasonReplay)
	a.clock.advance(time.Hour)
	wantReason(t, "an hour later", send(), bundle.KindUnauthorized, ReasonClock)
	for len(a.served) > 0 {
		if s := <-a.served; s.Reason == ReasonReplay && s.Status == http.StatusUnauthorized {
			return
		}
	}
	t.Error("nobody was told of the replay")
}

func TestOnePeerMayAskOnlySoMuchAtATime(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	client := a.peerWith(b, all)
	for range defaultConcurrent {
		leave, err := a.server.enter(lane{peer: b.identity.ID()})
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
	a.checkpoint()
	_, err := client.Records(t.Context(), RecordsRequest{Subject: idA, Size: 1})
	if !bundle.IsKind(err, bundle.KindRateLimited) {
		t.Errorf("%v", err)
	}
	if _, err := client.Poll(t.Context(), PollRequest{}); err != nil {
		t.Errorf("polls are counted apart: %v", err)
	}
}

func TestThePeerListenerServesNothingElse(t *testing.T) {
	a := newSite(t, "north")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, path := range []string{"/", "/api/v1/bundles", "/metrics", "/peer/v2/poll", "/peer/v1/poll"} {
		resp, err := client.Get(a.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %s", path, resp.Status)
		}
	}
}

// untouched is a body that must not be read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read before the signature was verified")
	return 0, io.EOF
}

func TestWhoeverCannotSignHoldsNoPlaceOfAPeer(t *testing.T) {
	a, b := newSite(t, "north"), newSite(t, "south")
	a.peerWith(b, all)
	for name, change := range map[string]func(*http.Request){
		"signature": func(r *http.Request) { r.Header.Set(headerSignature, signatureLabel+"=:AAAA:") },
		"digest":    func(r *http.Request) { r.Header.Set(headerDigest, "sha-256=:AAAA:") },
		"path":      func(r *http.Request) { r.URL.Path = "/peer/v1/records" },
	} {
		r := httptest.NewRequest("POST", "/peer/v1/poll", untouched{t})
		b.identity.signRequest(r, "/peer/v1/poll", []byte("body"), a.identity.ID(), a.clock.Now())
		change(r)
		w := httptest.NewRecorder()
		a.server.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
}
