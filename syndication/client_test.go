package syndication

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

// testIdentity is an identity without a catalog.
func testIdentity(t *testing.T) *Identity {
	t.Helper()
	sealer, err := access.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := NewIdentity(sealer, IdentityParams{Name: "south", Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	d, err := publog.ParseDescriptor(cmd.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	return &Identity{signed: cmd.Descriptor, descriptor: d, request: testKey(1), root: testKey(2)}
}

// lyingPeer serves h and returns a client that asks it.
func lyingPeer(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return newTestClient(t, server.URL)
}

func newTestClient(t *testing.T, addresses ...string) *Client {
	t.Helper()
	c, err := NewClient(ClientConfig{Identity: testIdentity(t), Peer: idB, Addresses: addresses})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func frames(blobs ...string) []byte {
	var b []byte
	for _, blob := range blobs {
		b = bundle.MakeFrame([]byte(blob)).AppendTo(b)
	}
	return b
}

func TestClientBoundsWhatAPeerSends(t *testing.T) {
	ref := bundle.VersionRef{Bundle: idA, Number: 1}
	root, pages, err := bundle.Encode(&bundle.Snapshot{Files: []bundle.File{{Path: "a", Digest: bundle.DigestOf(nil)}}})
	if err != nil {
		t.Fatal(err)
	}
	poll := func(c *Client) error { _, err := c.Poll(t.Context(), PollRequest{}); return err }
	records := func(c *Client) error {
		_, err := c.Records(t.Context(), RecordsRequest{Subject: idA, Size: 1})
		return err
	}
	descriptor := func(c *Client) error { _, err := c.Descriptor(t.Context()); return err }
	keep := func(bundle.Frame) error { return nil }
	blobs := func(c *Client) error {
		return c.Blobs(t.Context(), []BlobWant{{Ref: ref, Positions: []int{0, 1}}}, keep)
	}
	manifests := func(c *Client) error {
		return c.Manifests(t.Context(), []ManifestWant{{Ref: ref, Manifest: root}}, keep)
	}
	file := func(c *Client) error {
		r, _, err := c.File(t.Context(), ref, "a", 3)
		if err == nil {
			_, err = io.ReadAll(r)
			r.Close()
		}
		return err
	}
	page := string(pages[0].Bytes)
	tests := []struct {
		name   string
		answer []byte
		ask    func(*Client) error
		alarm  publog.Alarm
	}{
		{"a poll without end", make([]byte, maxAnswer+2), poll, publog.AlarmEndless},
		{"records without end", make([]byte, maxAnswer+2), records, publog.AlarmEndless},
		{"a descriptor without end", make([]byte, publog.MaxDescriptorSize+2), descriptor, publog.AlarmEndless},
		{"a malformed poll", []byte("?"), poll, publog.AlarmAltered},
		{"malformed records", []byte("?"), records, publog.AlarmAltered},
		{"too many files", frames("a", "b", "c"), blobs, publog.AlarmEndless},
		{"a frame over the limit", append(frames("a"), make([]byte, 32)...), blobs, ""},
		{"a page twice", frames(page, page), manifests, publog.AlarmEndless},
		{"a page of another manifest", frames("?"), manifests, publog.AlarmAltered},
		{"another part of a file", []byte("0123456789"), file, publog.AlarmAltered},
	}
	for _, tt := range tests {
		c := lyingPeer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", bundle.FramesType)
			w.Write(tt.answer)
		})
		err := tt.ask(c)
		if err == nil {
			t.Errorf("%s: no error", tt.name)
		}
		wantAlarm(t, tt.name, err, tt.alarm)
	}
	c := lyingPeer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", bundle.FramesType)
		w.Write(frames("a"))
	})
	wantReason(t, "too few files", blobs(c), bundle.KindUnavailable, ReasonInterrupted)
	if err := manifests(lyingPeer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", bundle.FramesType)
		w.Write(frames(page))
	})); err != nil {
		t.Errorf("an honest page: %v", err)
	}
	later := "a page of a later format"
	c = lyingPeer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", bundle.FramesType)
		w.Write(frames(later))
	})
	if err := c.Manifests(t.Context(), []ManifestWant{{Ref: ref, Manifest: bundle.DigestOf([]byte(later))}}, keep); err != nil {
		t.Errorf("a page that was published and cannot be read: %v", err)
	}
}

func TestClientKeepsWhatCameBeforeTheLineBroke(t *testing.T) {
	c := lyingPeer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", bundle.FramesType)
		w.Write(frames("a"))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	var got []string
	err := c.Blobs(t.Context(), []BlobWant{{Ref: bundle.VersionRef{Bundle: idA, Number: 1}, Positions: []int{0, 1}}}, func(f bundle.Frame) error {
		got = append(got, string(f.Payload))
		return nil
	})
	wantReason(t, "broken off", err, bundle.KindUnavailable, ReasonInterrupted)
	if len(got) != 1 || got[0] != "a" {
		t.Errorf("got %q", got)
	}
}

func TestClientTriesAddressesInOrderAndNamesThem(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + closed.Addr().String()
	closed.Close()
	live := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"detail":"nothing","kind":"not_found"}`)
	}))
	defer live.Close()
	if _, err := newTestClient(t, dead, live.URL).Descriptor(t.Context()); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("the second address: %v", err)
	}
	_, err = newTestClient(t, dead).Descriptor(t.Context())
	wantReason(t, "no address", err, bundle.KindUnavailable, ReasonUnreachable)
	if err == nil || !strings.Contains(err.Error(), dead) {
		t.Errorf("%v does not name the address tried", err)
	}
	_, err = lyingPeer(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hi"); panic(http.ErrAbortHandler) }).Descriptor(t.Context())
	if err == nil {
		t.Error("a cut answer passed")
	}
	_, err = lyingPeer(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }).Descriptor(t.Context())
	wantReason(t, "a proxy's error", err, bundle.KindUnavailable, ReasonUnreachable)
	if _, err := NewClient(ClientConfig{Peer: idB, Addresses: []string{"http://example.org"}}); !bundle.IsKind(err, bundle.KindForbidden) {
		t.Errorf("plain http: %v", err)
	}
}

func TestClientStopsWithItsContext(t *testing.T) {
	asked := make(chan struct{})
	c := lyingPeer(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(asked)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	go func() { <-asked; cancel() }()
	if _, err := c.Poll(ctx, PollRequest{Wait: MaxWait}); err != context.Canceled {
		t.Errorf("%v", err)
	}
}

func TestClientAcceptsThePinnedKeyOnly(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "descriptor") }))
	defer server.Close()
	server.Config.ErrorLog = nil
	sum := bundle.DigestOf(server.Certificate().RawSubjectPublicKeyInfo)
	pin := "#sha256=" + base64URL(sum[:])
	if b, err := newTestClient(t, server.URL+pin).Descriptor(t.Context()); err != nil || string(b) != "descriptor" {
		t.Errorf("%q, %v", b, err)
	}
	sum[0] ^= 1
	for _, address := range []string{server.URL, server.URL + "#sha256=" + base64URL(sum[:])} {
		if _, err := newTestClient(t, address).Descriptor(t.Context()); !bundle.IsKind(err, bundle.KindUnavailable) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
