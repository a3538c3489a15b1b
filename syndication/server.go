package syndication

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/storage"
)

// Proposer brings a command into the cluster's log.
type Proposer interface {
	// Propose returns the result of the applied command, a refusal being
	// Result.Err, or an error if it is not known whether it was applied.
	Propose(ctx context.Context, cmd catalog.Command) (catalog.Result, error)
}

// ServerConfig says what a [Server] serves.
type ServerConfig struct {
	Catalog  *catalog.DB
	Contents *storage.Contents // of Store, located by Catalog
	Store    *storage.Store
	Proposer Proposer
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// Logger takes refusals and failures; nil for none.
	Logger *slog.Logger
	// Observe is told of each request served, from many goroutines; nil for
	// nobody.
	Observe func(Served)
	// MaxConcurrent bounds the requests of one peer at a time that are no
	// polls; 0 for 16.
	MaxConcurrent int
}

// Served is one request of a peer.
type Served struct {
	Endpoint string
	Peer     bundle.ID // zero before the peer was recognised
	Status   int
	Reason   string // of a refusal: see the Reason constants; may be empty
	Sent     int64  // bytes of the answer's body
	Took     time.Duration
}

const (
	defaultConcurrent = 16
	maxPolls          = 4  // of one peer at a time
	maxStrangers      = 16 // requests of unknown instances at a time
	writeTimeout      = 60 * time.Second
	readTimeout       = 30 * time.Second
)

// Server answers peers under /peer/v1. It starts no goroutines of its own.
type Server struct {
	cfg    ServerConfig
	nonces *nonces
	done   chan struct{}
	stop   func()

	mu   sync.Mutex
	busy map[lane]int
}

// lane is what is counted apart: a peer's polls, and its other requests. The
// zero peer stands for all strangers, whose polls are requests for the
// descriptor: acceptances, whose bodies may come slowly, don't keep peers from it.
type lane struct {
	peer bundle.ID
	poll bool
}

// NewServer returns a server. The caller serves its Handler, on a listener of
// its own, with [NewHTTPServer]'s timeouts, and calls Close before it shuts that
// server down.
func NewServer(cfg ServerConfig) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Served) {}
	}
	if cfg.MaxConcurrent <= 0 {
		cfg.MaxConcurrent = defaultConcurrent
	}
	done := make(chan struct{})
	return &Server{
		cfg: cfg, nonces: newNonces(), done: done, stop: sync.OnceFunc(func() { close(done) }), busy: make(map[lane]int),
	}
}

// Close ends waiting polls, which answer 503, and makes new ones not wait.
func (s *Server) Close() { s.stop() }

// NewHTTPServer returns a server for a [Server]'s handler. Slow senders are cut
// off; answers have no deadline as a whole, since polls wait and streams are
// long, but each piece of one has.
func NewHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * MaxWait, MaxHeaderBytes: 32 << 10,
	}
}

// Handler returns the handler of /peer/v1. It answers 404 to everything else.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /peer/v1/descriptor", s.endpoint("descriptor", s.descriptor))
	mux.Handle("POST /peer/v1/accept", s.endpoint("accept", s.accept))
	mux.Handle("POST /peer/v1/poll", s.endpoint("poll", s.known(s.poll)))
	mux.Handle("POST /peer/v1/records", s.endpoint("records", s.known(s.records)))
	mux.Handle("POST /peer/v1/manifests", s.endpoint("manifests", s.known(s.manifests)))
	mux.Handle("POST /peer/v1/blobs", s.endpoint("blobs", s.known(s.blobs)))
	mux.Handle("GET /peer/v1/file", s.endpoint("file", s.known(s.file)))
	mux.Handle("/", s.endpoint("other", func(*exchange) error {
		return bundle.Errorf(bundle.KindNotFound, "Not found: this listener serves peers under /peer/v1, and nothing else.")
	}))
	return mux
}

// exchange is one request and its answer.
type exchange struct {
	w        http.ResponseWriter
	r        *http.Request
	endpoint string
	peer     bundle.ID // once recognised
	body     []byte    // of the request
	status   int       // 0 until the answer began
	sent     int64
	err      error // of writing the answer
}

// endpoint wraps a handler: it writes the error that the handler returns, or
// breaks the connection off if the answer began, so that a cut answer never
// looks like a whole one.
func (s *Server) endpoint(name string, h func(*exchange) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{w: w, r: r, endpoint: name}
		start := s.cfg.Now()
		x.deadline()
		err := h(x)
		cut := err != nil && x.status != 0
		reason := ""
		if err != nil && !cut {
			reason = x.refuse(err)
		}
		s.cfg.Observe(Served{Endpoint: name, Peer: x.peer, Status: x.status, Reason: reason, Sent: x.sent, Took: s.cfg.Now().Sub(start)})
		s.log(x, err)
		if cut {
			panic(http.ErrAbortHandler)
		}
	})
}

func (s *Server) log(x *exchange, err error) {
	if err == nil || errors.Is(err, context.Canceled) || x.err != nil {
		return
	}
	level := slog.LevelDebug
	switch kind := bundle.KindOf(err); {
	case kind == bundle.KindOther || kind == bundle.KindCorrupt:
		level = slog.LevelError
	case kind == bundle.KindUnauthorized:
		level = slog.LevelWarn
	}
	s.cfg.Logger.Log(context.WithoutCancel(x.r.Context()), level, "peer request refused",
		"endpoint", x.endpoint, "peer", x.peer, "status", x.status, "error", err)
}

// refuse writes an error and returns its reason. What is not meant for others
// stays here: a fault's text goes to the log alone.
func (x *exchange) refuse(err error) (reason string) {
	body := errorBody{Kind: bundle.KindOf(err).String(), Detail: err.Error()}
	status := bundle.KindOf(err).HTTPStatus()
	if e, ok := errors.AsType[*bundle.Error](err); ok {
		body.Reason = e.Fields["reason"]
	}
	if kind := bundle.KindOf(err); kind == bundle.KindOther || kind == bundle.KindCorrupt {
		body.Detail = "This instance failed to answer; its log says why. Try again later."
	}
	b, merr := json.Marshal(body)
	if merr != nil {
		b = []byte(`{"detail":"internal","kind":"internal"}`)
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		x.w.Header().Set("Retry-After", "1")
	}
	if status == http.StatusUnauthorized {
		x.w.Header().Set("WWW-Authenticate", "Signature")
	}
	x.reply(status, "application/json", b)
	return body.Reason
}

// reply writes a whole answer.
func (x *exchange) reply(status int, contentType string, body []byte) {
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.begin(status, contentType)
	_, _ = x.Write(body) // x.err has it; the peer will ask again
}

// begin writes the head of an answer.
func (x *exchange) begin(status int, contentType string) {
	x.w.Header().Set("Content-Type", contentType)
	x.w.Header().Set("Cache-Control", "no-store")
	x.status = status
	x.deadline()
	x.w.WriteHeader(status)
}

// Write sends a piece of the answer, which must be taken within writeTimeout.
func (x *exchange) Write(p []byte) (int, error) {
	x.deadline()
	n, err := x.w.Write(p)
	x.sent += int64(n)
	if err != nil {
		x.err = err
	}
	return n, err
}

// deadline gives the connection time for the next piece. It is the network's
// clock that counts, not the injected one; writers without deadlines (in tests)
// have none.
func (x *exchange) deadline() {
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(writeTimeout))
}

// waits gives the connection time for an answer that waits for news.
func (x *exchange) waits(d time.Duration) {
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(d + writeTimeout))
}

// known wraps a handler for peers alone: it checks who asks, and that this peer
// does not ask too much at a time, before it reads more of the request than its
// head.
func (s *Server) known(h func(*exchange) error) func(*exchange) error {
	return func(x *exchange) error {
		now := s.cfg.Now()
		var self catalog.Instance
		var signed signedRequest
		var descriptor publog.Descriptor
		err := s.cfg.Catalog.View(x.r.Context(), func(v *catalog.View) (err error) {
			if self, err = v.Instance(); err != nil {
				return err
			}
			if signed, err = parseSigned(x.r.Header, self.ID, now); err != nil {
				return err
			}
			peer, err := v.Peer(signed.peer)
			if bundle.IsKind(err, bundle.KindNotFound) {
				return unauthorized(ReasonUnknownPeer,
					"instance %s is no peer of %q: ask its operator for an invitation and accept it", signed.peer, self.Name)
			}
			if err != nil {
				return err
			}
			descriptor, err = publog.ParseDescriptor(peer.Descriptor)
			return err
		})
		if err != nil {
			return err
		}
		if err := signed.checkHead(x.r, descriptor.RequestKey); err != nil {
			return err
		}
		if err := s.nonces.use(signed, now); err != nil {
			return err
		}
		leave, err := s.enter(lane{signed.peer, x.endpoint == "poll"})
		if err != nil {
			return err
		}
		defer leave()
		if x.body, err = readBody(x.w, x.r, maxRequest); err != nil {
			return err
		}
		if err := signed.check(x.r, x.body, descriptor.RequestKey); err != nil {
			return err
		}
		x.peer = signed.peer
		return h(x)
	}
}

// enter counts a request in; leave counts it out.
func (s *Server) enter(l lane) (leave func(), err error) {
	limit := s.cfg.MaxConcurrent
	switch {
	case l.peer == bundle.ID{}:
		limit = maxStrangers
	case l.poll:
		limit = maxPolls
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[l] >= limit {
		return nil, bundle.Errorf(bundle.KindRateLimited, "%d requests at a time are enough; wait for an answer first", limit)
	}
	s.busy[l]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.busy[l]--; s.busy[l] == 0 {
			delete(s.busy, l)
		}
	}, nil
}

// descriptor answers who this instance is. Anyone may ask.
func (s *Server) descriptor(x *exchange) error {
	leave, err := s.enter(lane{poll: true})
	if err != nil {
		return err
	}
	defer leave()
	var self catalog.Instance
	err = s.cfg.Catalog.View(x.r.Context(), func(v *catalog.View) (err error) {
		self, err = v.Instance()
		return err
	})
	if err != nil {
		return err
	}
	x.reply(http.StatusOK, "application/octet-stream", self.Descriptor)
	return nil
}

// accept takes an invitation. The request is signed with the request key of the
// descriptor it carries, which the descriptor's own root key signs: whoever
// bears the secret becomes a peer with the root key it shows.
func (s *Server) accept(x *exchange) error {
	leave, err := s.enter(lane{})
	if err != nil {
		return err
	}
	defer leave()
	now := s.cfg.Now()
	var self catalog.Instance
	err = s.cfg.Catalog.View(x.r.Context(), func(v *catalog.View) (err error) {
		self, err = v.Instance()
		return err
	})
	if err != nil {
		return err
	}
	signed, err := parseSigned(x.r.Header, self.ID, now)
	if err != nil {
		return err
	}
	if x.body, err = readBody(x.w, x.r, 2*publog.MaxDescriptorSize); err != nil {
		return err
	}
	secret, descriptor, d, err := decodeAccept(x.body)
	if err != nil {
		return err
	}
	if d.Instance != signed.peer {
		return unauthorized(ReasonSignature, "instance %s signed with the descriptor of %s", signed.peer, d.Instance)
	}
	if err := signed.check(x.r, x.body, d.RequestKey); err != nil {
		return err
	}
	if d.Instance == self.ID {
		return bundle.Errorf(bundle.KindInvalid, "an instance cannot be its own peer")
	}
	if d.ProtocolMin > ProtocolVersion || d.ProtocolMax < ProtocolVersion {
		return bundle.Errorf(bundle.KindInvalid, "the two instances speak no common peer protocol; upgrade the older one")
	}
	x.peer = d.Instance
	result, err := s.cfg.Proposer.Propose(x.r.Context(), catalog.NewCommand(now, catalog.AcceptInvite{
		SecretHash: bundle.DigestOf(secret), Peer: d.Instance, Descriptor: descriptor, RootKey: d.RootKey,
	}))
	if err != nil {
		return fmt.Errorf("accept an invitation: %w", err)
	}
	if result.Err != nil {
		return refusedInvite(result.Err)
	}
	return s.accepted(x)
}

// refusedInvite says what to do next.
func refusedInvite(err *bundle.Error) error {
	if err.Kind != bundle.KindForbidden {
		return err
	}
	return bundle.Errorf(bundle.KindForbidden,
		"this invitation is used up, expired or unknown here (%s): ask for a new one with `peer invite`", strings.TrimSuffix(err.Message, "."))
}

// accepted answers with what was granted.
func (s *Server) accepted(x *exchange) error {
	var peer catalog.Peer
	err := s.cfg.Catalog.View(x.r.Context(), func(v *catalog.View) (err error) {
		peer, err = v.Peer(x.peer)
		return err
	})
	if err != nil {
		return err
	}
	grants, err := selectorsToWire(peer.Grants)
	if err != nil {
		return err
	}
	b, err := marshal(acceptAnswerWire{Format: wireFormat, Grants: grants})
	if err != nil {
		return err
	}
	x.reply(http.StatusOK, mediaCBOR, b)
	return nil
}

func decodeAccept(b []byte) (secret, signed []byte, d publog.Descriptor, err error) {
	w, err := unmarshal[acceptRequestWire](b)
	if err != nil {
		return nil, nil, d, err
	}
	if len(w.Secret) != inviteSecret {
		return nil, nil, d, bundle.Errorf(bundle.KindInvalid, "the secret of an invitation has %d bytes", inviteSecret)
	}
	if d, err = publog.ParseDescriptor(w.Descriptor); err != nil {
		return nil, nil, d, bundle.Errorf(bundle.KindInvalid, "the descriptor that came with the acceptance: %w", err)
	}
	return w.Secret, w.Descriptor, d, nil
}
