package syndication

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	httpsig "github.com/remitly-oss/httpsig-go"

	"github.com/blockstored/blockstored/bundle"
)

const (
	maxRequestSkew = 5 * time.Minute
	maxNonces      = 1 << 17 // remembered of one peer
)

// The reasons of a refusal that a subscriber can act on, in the field "reason".
const (
	ReasonClock       = "clock"        // one of the two clocks is wrong
	ReasonSignature   = "signature"    // missing or wrong
	ReasonReplay      = "replay"       // the same request came before
	ReasonUnknownPeer = "unknown_peer" // not peered, or not any more
	ReasonBehind      = "behind"       // the node has not caught up with its own cluster
	ReasonUnreachable = "unreachable"  // no address answered
	ReasonInterrupted = "interrupted"  // the answer broke off
)

// signatureInput is the only form of the header that is taken, which leaves
// nothing to interpret: see sign.go.
var signatureInput = regexp.MustCompile(`^sig1=\("@method" "@path" "@query" "blockstored-to"( "content-digest")?\)` +
	`;created=([0-9]{1,12});nonce="([A-Za-z0-9_-]{22})";keyid="([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"$`)

// signedRequest is what a request's headers claim, before the signature was
// checked.
type signedRequest struct {
	peer    bundle.ID
	created time.Time
	nonce   string
	body    bool // whether the body's digest is signed
}

// parseSigned reads the claims of a request to instance self.
func parseSigned(h http.Header, self bundle.ID, now time.Time) (s signedRequest, err error) {
	refuse := func(what string) (signedRequest, error) {
		return s, unauthorized(ReasonSignature, "%s; requests of peers are signed as docs/formats.md says", what)
	}
	if len(h.Values(headerInput)) != 1 || len(h.Values(headerSignature)) != 1 {
		return refuse("the request carries no signature, or several")
	}
	m := signatureInput.FindStringSubmatch(h.Get(headerInput))
	if m == nil {
		return refuse("the request's signature covers something else than it should")
	}
	if h.Get(headerTo) != self.String() {
		return refuse("the request is for another instance than this, " + self.String())
	}
	created, err := strconv.ParseInt(m[2], 10, 64)
	if err != nil {
		return refuse("the time of the signature cannot be read")
	}
	if s.peer, err = bundle.ParseID(m[4]); err != nil {
		return refuse("the signer's instance id is wrong")
	}
	s.created, s.nonce, s.body = time.Unix(created, 0), m[3], m[1] != ""
	if skew := s.created.Sub(now); skew.Abs() > maxRequestSkew {
		return s, unauthorized(ReasonClock,
			"the request was signed at %s, but this instance's clock says %s; more than %s apart: set the clocks of both machines",
			s.created.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), maxRequestSkew)
	}
	return s, nil
}

// checkHead verifies the signature before the body was read, by what the headers
// say of it: nobody else's request holds a place of this peer's while its body
// comes slowly, or not at all.
func (s signedRequest) checkHead(r *http.Request, key ed25519.PublicKey) error {
	digest := ""
	if s.body {
		digest = r.Header.Get(headerDigest)
	}
	text, label := strings.CutPrefix(r.Header.Get(headerSignature), signatureLabel+"=:")
	text, end := strings.CutSuffix(text, ":")
	signature, err := base64.StdEncoding.DecodeString(text)
	params := strings.TrimPrefix(r.Header.Get(headerInput), signatureLabel+"=")
	if !label || !end || err != nil || !ed25519.Verify(key, signatureBase(r, r.URL.Path, digest, params), signature) {
		return s.wrong()
	}
	return nil
}

func (s signedRequest) wrong() error {
	return unauthorized(ReasonSignature, "the request's signature does not verify with the key known of instance %s", s.peer)
}

// check verifies the signature with the signer's key. It replaces r's body by
// body, which has been read from it.
func (s signedRequest) check(r *http.Request, body []byte, key ed25519.PublicKey) error {
	if s.body != (len(body) > 0) || s.body != (len(r.Header.Values(headerDigest)) == 1) {
		return s.wrong()
	}
	fields := signedFields
	if s.body {
		fields = signedBodyFields
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	defer func() { r.Body = io.NopCloser(bytes.NewReader(body)) }()
	_, err := httpsig.Verify(r, oneKey{httpsig.KeySpec{KeyID: s.peer.String(), Algo: httpsig.Algo_ED25519, PubKey: key}}, httpsig.VerifyProfile{
		SignatureLabel:         signatureLabel,
		RequiredFields:         httpsig.Fields(fields...),
		RequiredMetadata:       []httpsig.Metadata{httpsig.MetaCreated, httpsig.MetaNonce, httpsig.MetaKeyID},
		AllowedAlgorithms:      []httpsig.Algorithm{httpsig.Algo_ED25519},
		DisableTimeEnforcement: true, // parseSigned did, by the injected clock
	})
	if err != nil {
		return s.wrong()
	}
	return nil
}

// oneKey is a key fetcher that knows the signer already.
type oneKey struct{ spec httpsig.KeySpec }

func (k oneKey) FetchByKeyID(context.Context, http.Header, string) (httpsig.KeySpecer, error) {
	return k.spec, nil
}

func (k oneKey) Fetch(context.Context, http.Header, httpsig.MetadataProvider) (httpsig.KeySpecer, error) {
	return k.spec, nil
}

func unauthorized(reason, format string, args ...any) error {
	return bundle.Errorf(bundle.KindUnauthorized, format, args...).With("reason", reason)
}

// readBody reads a request's body of at most limit bytes, within readTimeout by
// the network's clock. After that there is no read deadline: the server reads on
// to notice when the peer leaves, and a deadline would look like that.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(readTimeout)) // writers without deadlines (in tests) have none
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	_ = control.SetReadDeadline(time.Time{})
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, bundle.Errorf(bundle.KindTooLarge, "this request may have %d bytes; ask for less at a time", limit)
	}
	if err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "read the request: %w", err)
	}
	return b, nil
}

// nonces remembers the requests of the last minutes, so that none takes effect
// twice. Its memory is bounded for each peer; peers are few.
type nonces struct {
	mu    sync.Mutex
	peers map[bundle.ID]*peerNonces
}

type peerNonces struct {
	seen  map[string]struct{}
	order []seenNonce // by time of arrival
}

type seenNonce struct {
	nonce string
	until time.Time // when its request is too old anyway
}

func newNonces() *nonces { return &nonces{peers: make(map[bundle.ID]*peerNonces)} }

// use refuses a request that was seen before. It is called only with requests
// whose signature is right.
func (n *nonces) use(s signedRequest, now time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[s.peer]
	if p == nil {
		p = &peerNonces{seen: make(map[string]struct{})}
		n.peers[s.peer] = p
	}
	for len(p.order) > 0 && now.After(p.order[0].until) {
		delete(p.seen, p.order[0].nonce)
		p.order = p.order[1:]
	}
	if _, ok := p.seen[s.nonce]; ok {
		return unauthorized(ReasonReplay, "this very request was made before; sign each one anew")
	}
	if len(p.order) >= maxNonces {
		return bundle.Errorf(bundle.KindRateLimited, "more than %d requests in %s; slow down", maxNonces, 2*maxRequestSkew)
	}
	p.seen[s.nonce] = struct{}{}
	p.order = append(p.order, seenNonce{s.nonce, now.Add(2*maxRequestSkew + time.Second)})
	return nil
}
