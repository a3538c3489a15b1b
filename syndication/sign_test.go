package syndication

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

// signed returns a request of idA to idB as the server sees it.
func signed(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	signRequest(r, requestSignature{
		key: testKey(1), keyID: idA.String(), path: r.URL.Path, body: []byte(body), to: idB,
		created: testNow.Unix(), nonce: base64.RawURLEncoding.EncodeToString(make([]byte, nonceBytes)),
	})
	return r
}

// verify is what the server does with a request for idB.
func verify(r *http.Request, now time.Time, key ed25519.PrivateKey) error {
	s, err := parseSigned(r.Header, idB, now)
	if err != nil {
		return err
	}
	body, err := readBody(httptest.NewRecorder(), r, maxRequest)
	if err != nil {
		return err
	}
	return s.check(r, body, key.Public().(ed25519.PublicKey))
}

func TestSignedRequestOnTheWireKeepsItsShape(t *testing.T) {
	r := signed("POST", "/peer/v1/poll", "body")
	var b bytes.Buffer
	for _, name := range []string{headerTo, headerDigest, headerInput, headerSignature} {
		b.WriteString(name + ": " + r.Header.Get(name) + "\n")
	}
	golden(t, "signed_request.txt", b.Bytes())
}

func TestSignedRequestsVerify(t *testing.T) {
	for _, r := range []*http.Request{
		signed("POST", "/peer/v1/poll", "body"),
		signed("GET", "/peer/v1/file?bundle=x&path=a%20b%2Fc", ""),
		signed("GET", "/peer/v1/file", ""),
	} {
		body := r.Header.Get(headerDigest)
		if err := verify(r, testNow, testKey(1)); err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		if got, err := io.ReadAll(r.Body); err != nil || (len(got) > 0) != (body != "") {
			t.Errorf("the body is %q after verification, %v", got, err)
		}
	}
}

func TestRequestsNotSignedForThisInstanceAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *http.Request)
		reason string
	}{
		{"no signature", func(r *http.Request) { r.Header.Del(headerSignature) }, ReasonSignature},
		{"no input", func(r *http.Request) { r.Header.Del(headerInput) }, ReasonSignature},
		{"two signatures", func(r *http.Request) { r.Header.Add(headerSignature, "sig2=:AAAA:") }, ReasonSignature},
		{"garbage", func(r *http.Request) { r.Header.Set(headerSignature, "?") }, ReasonSignature},
		{"method", func(r *http.Request) { r.Method = "PUT" }, ReasonSignature},
		{"path", func(r *http.Request) { r.URL.Path = "/peer/v1/records" }, ReasonSignature},
		{"query", func(r *http.Request) { r.URL.RawQuery = "x" }, ReasonSignature},
		{"body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("other")) }, ReasonSignature},
		{"body removed", func(r *http.Request) { r.Body = http.NoBody }, ReasonSignature},
		{"digest and body", func(r *http.Request) {
			other := signed("POST", "/peer/v1/poll", "other")
			r.Body, r.Header[headerDigest] = other.Body, other.Header[headerDigest]
		}, ReasonSignature},
		{"for another instance", func(r *http.Request) { r.Header.Set(headerTo, idA.String()) }, ReasonSignature},
		{"nonce", func(r *http.Request) {
			r.Header.Set(headerInput, strings.Replace(r.Header.Get(headerInput), "AAAA", "BBBB", 1))
		}, ReasonSignature},
		{"signer", func(r *http.Request) {
			r.Header.Set(headerInput, strings.Replace(r.Header.Get(headerInput), idA.String(), idB.String(), 1))
		}, ReasonSignature},
		{"fewer components", func(r *http.Request) {
			r.Header.Set(headerInput, strings.Replace(r.Header.Get(headerInput), ` "@query"`, "", 1))
		}, ReasonSignature},
		{"created of another type", func(r *http.Request) {
			r.Header.Set(headerInput, strings.Replace(r.Header.Get(headerInput), "created=", `created="x`, 1))
		}, ReasonSignature},
	}
	for _, tt := range tests {
		r := signed("POST", "/peer/v1/poll", "body")
		tt.change(r)
		wantReason(t, tt.name, verify(r, testNow, testKey(1)), bundle.KindUnauthorized, tt.reason)
	}
	wantReason(t, "another key", verify(signed("POST", "/", "b"), testNow, testKey(2)), bundle.KindUnauthorized, ReasonSignature)
	wantReason(t, "slow clock", verify(signed("POST", "/", "b"), testNow.Add(maxRequestSkew+time.Second), testKey(1)), bundle.KindUnauthorized, ReasonClock)
	wantReason(t, "fast clock", verify(signed("POST", "/", "b"), testNow.Add(-maxRequestSkew-time.Second), testKey(1)), bundle.KindUnauthorized, ReasonClock)
	if err := verify(signed("POST", "/", "b"), testNow.Add(-maxRequestSkew), testKey(1)); err != nil {
		t.Errorf("within the allowed skew: %v", err)
	}
}

func wantReason(t *testing.T, name string, err error, kind bundle.Kind, reason string) {
	t.Helper()
	e, ok := err.(*bundle.Error)
	if !ok || e.Kind != kind || e.Fields["reason"] != reason {
		t.Errorf("%s: got %v, want %s with reason %q", name, err, kind, reason)
	}
}

func TestNoncesAreUsedOnceAndForgottenInTime(t *testing.T) {
	n := newNonces()
	s := signedRequest{peer: idA, created: testNow, nonce: "n"}
	if err := n.use(s, testNow); err != nil {
		t.Fatal(err)
	}
	wantReason(t, "again", n.use(s, testNow.Add(maxRequestSkew)), bundle.KindUnauthorized, ReasonReplay)
	if err := n.use(signedRequest{peer: idB, nonce: "n"}, testNow); err != nil {
		t.Errorf("another peer's: %v", err)
	}
	if err := n.use(signedRequest{peer: idA, nonce: "m"}, testNow.Add(3*maxRequestSkew)); err != nil {
		t.Fatal(err)
	}
	if got := len(n.peers[idA].seen); got != 1 {
		t.Errorf("%d nonces are remembered, want 1", got)
	}
}

func TestNoncesOfOnePeerAreBounded(t *testing.T) {
	n := newNonces()
	p := &peerNonces{seen: map[string]struct{}{}, order: make([]seenNonce, maxNonces)}
	for i := range p.order {
		p.order[i].until = testNow.Add(time.Minute)
	}
	n.peers[idA] = p
	if err := n.use(signedRequest{peer: idA, nonce: "n"}, testNow); !bundle.IsKind(err, bundle.KindRateLimited) {
		t.Errorf("%v", err)
	}
}

// FuzzParseSigned feeds the server headers that anyone may send.
func FuzzParseSigned(f *testing.F) {
	r := signed("POST", "/peer/v1/poll", "body")
	f.Add(r.Header.Get(headerInput), r.Header.Get(headerSignature), r.Header.Get(headerDigest))
	f.Add("", "", "")
	f.Add(`sig1=("@method";created=x)`, "sig1=:AA==:", "sha-256=:AA==:")
	key := testKey(9) // nobody signed with it
	f.Fuzz(func(t *testing.T, input, signature, digest string) {
		r := httptest.NewRequest("POST", "/peer/v1/poll", strings.NewReader("body"))
		r.Header = http.Header{headerTo: {idB.String()}, headerInput: {input}, headerSignature: {signature}, headerDigest: {digest}}
		if verify(r, testNow, key) == nil {
			t.Fatal("a forged signature verifies")
		}
	})
}

func base64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
