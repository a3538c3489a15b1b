package rest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

// The headers of this API beyond the original's.
const (
	headerIndex       = "Blockstored-Index"       // what the answer shows at least
	headerStale       = "Blockstored-Stale"       // true: no leader; the answer may be old
	headerConsistency = "Blockstored-Consistency" // the level a request asks for
	headerError       = "Blockstored-Error"       // the kind of an error
	headerRequestID   = "X-Request-Id"
)

// exchange is one request and its answer.
type exchange struct {
	*API
	w     *writer
	r     *http.Request
	rt    *route
	token catalog.Token // zero without one

	requestID string
	id        bundle.ID // of the wildcard {id}
	number    uint64    // of a version
}

// handler meets the requests of one route. Trusted ones need no token.
func (a *API) handler(rt *route, trusted bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{API: a, rt: rt, r: r, requestID: requestID(r)}
		x.w = newWriter(w, a.cfg.IdleTimeout)
		start := a.cfg.Now()
		defer func() {
			took := a.cfg.Now().Sub(start)
			a.cfg.Metrics.Request(rt.pattern, x.w.status, took)
			a.log.DebugContext(r.Context(), "request", "id", x.requestID, "method", r.Method, "path", r.URL.Path,
				"status", x.w.status, "bytes", x.w.written, "took", took, "token", x.token.Name)
		}()
		defer func() { x.recovered(recover()) }()
		defer x.w.end()
		x.r.Body = x.w.moving(r.Body)
		if err := x.meet(trusted); err != nil {
			x.fail(err)
		}
	})
}

// recovered answers for a handler that panicked. A handler that cannot finish a
// body it began ends the connection on purpose.
func (x *exchange) recovered(p any) {
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	x.log.Error("rest: a handler panicked", "id", x.requestID, "route", x.rt.pattern, "panic", p, "stack", string(debug.Stack()))
	if x.w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	x.fail(bundle.Errorf(bundle.KindOther, "panic"))
}

// meet checks a request in the original's order and has it answered.
func (x *exchange) meet(trusted bool) error {
	x.headers()
	if x.rt.methods == nil || !x.readID() {
		return notFound()
	}
	if x.rt.manner != asPlain && x.rt.manner != asSigned && x.rt.manner != asProbe && !acceptsJSON(x.r.Header.Get("Accept")) {
		return refuse(bundle.KindInvalid, http.StatusNotAcceptable, "Could not satisfy the request Accept header.")
	}
	if !trusted && x.rt.manner != asSigned && x.rt.manner != asProbe {
		if err := x.authenticate(); err != nil {
			return err
		}
		if err := x.admit(); err != nil {
			return err
		}
		if !access.Role(x.token.Role).Allows(x.rt.action(x.r.Method)) {
			return refuse(bundle.KindForbidden, http.StatusForbidden,
				"A token of role "+x.token.Role+" may not do this; ask an operator for one that may.")
		}
	}
	answer := x.rt.methods[x.r.Method]
	switch {
	case x.r.Method == http.MethodHead:
		answer = x.rt.methods[http.MethodGet]
	case x.r.Method == http.MethodOptions:
		answer = options
	}
	if answer == nil {
		return methodNotAllowed(x.r.Method)
	}
	if x.rt.manner != asProbe && !x.rt.asItIs && x.rt.manner != asSigned { // which waits once its signature holds
		if err := x.barrier(); err != nil {
			return err
		}
	}
	return answer(x)
}

// headers sets what every answer of the route carries.
func (x *exchange) headers() {
	h := x.w.Header()
	h.Set(headerRequestID, x.requestID)
	if x.rt.allow != "" {
		h.Set("Allow", x.rt.allow)
	}
	if x.rt.manner == asSigned {
		return
	}
	h.Set("Vary", "Accept, Accept-Language")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Language", "en")
}

// authenticate reads the token. Scheme and texts are the original's.
func (x *exchange) authenticate() error {
	scheme, key, _ := strings.Cut(strings.TrimSpace(x.r.Header.Get("Authorization")), " ")
	key = strings.TrimSpace(key)
	switch {
	case !strings.EqualFold(scheme, "Token"):
		return unauthorized("Authentication credentials were not provided.")
	case key == "":
		return unauthorized("Invalid token header. No credentials provided.")
	case strings.ContainsAny(key, " \t"):
		return unauthorized("Invalid token header. Token string should not contain spaces.")
	}
	token, err := x.cfg.Tokens.Authenticate(x.r.Context(), key)
	if bundle.IsKind(err, bundle.KindUnauthorized) {
		// It may have been made through another node a moment ago.
		switch _, stale, readErr := x.read(x.r.Context(), ""); {
		case readErr == nil && !stale:
			token, err = x.cfg.Tokens.Authenticate(x.r.Context(), key)
		case x.r.Context().Err() == nil:
			err = bundle.Errorf(bundle.KindUnavailable, "This node does not know the token, and cannot find out now whether it is a new one; retry in a moment.")
		}
	}
	if err != nil {
		return err
	}
	x.token = token
	return nil
}

// barrier waits until this node may answer at the level asked for, and decide a
// change whatever was asked for.
func (x *exchange) barrier() error {
	level := x.r.Header.Get(headerConsistency)
	if level == "" {
		level = queryOf(x.r)["consistency"]
	}
	read := x.read
	switch level {
	case "", "consistent", "local":
		if x.changes() && x.cfg.Current != nil {
			read = x.current
		}
	}
	index, stale, err := read(x.r.Context(), level)
	if err != nil {
		return err
	}
	x.w.Header().Set(headerIndex, strconv.FormatUint(index, 10))
	if stale {
		x.w.Header().Set(headerStale, "true")
	}
	return nil
}

// changes reports whether the request is to change something.
func (x *exchange) changes() bool {
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return true
}

// current reads at the level of who decides a change.
func (a *API) current(ctx context.Context, _ string) (index uint64, stale bool, err error) {
	index, err = a.cfg.Current(ctx)
	return index, false, err
}

func (a *API) read(ctx context.Context, level string) (index uint64, stale bool, err error) {
	if a.cfg.Read != nil {
		return a.cfg.Read(ctx, level)
	}
	switch level {
	case "", "consistent", "local", "strong":
	default:
		return 0, false, bundle.Errorf(bundle.KindInvalid, "%q is no level of consistency: use local, consistent or strong.", level)
	}
	index, _, err = a.cfg.Catalog.Applied()
	return index, false, err
}

// moved brings the answer's index up to a change just made.
func (x *exchange) moved() {
	if index, _, err := x.read(x.r.Context(), "local"); err == nil {
		x.w.Header().Set(headerIndex, strconv.FormatUint(index, 10))
	}
}

// ctx returns the context of the exchange's one change, with the client's
// Idempotency-Key if it has one. The same key by another token, or on another
// path, is another request.
func (x *exchange) ctx() (context.Context, error) {
	ctx := x.r.Context()
	id, ok, err := x.idempotency()
	if ok {
		ctx = primary.WithRequest(ctx, id)
	}
	return ctx, err
}

// maybeAnswered reports whether err, that the object is not there, may be what
// this very request did when it came before: whoever decides the change knows.
func (x *exchange) maybeAnswered(err error) bool {
	return bundle.IsKind(err, bundle.KindNotFound) && x.r.Header.Get("Idempotency-Key") != ""
}

const maxIdempotencyKey = 255

func (x *exchange) idempotency() (id catalog.RequestID, ok bool, err error) {
	key := x.r.Header.Get("Idempotency-Key")
	if key == "" {
		return id, false, nil
	}
	if len(key) > maxIdempotencyKey {
		return id, false, refuse(bundle.KindInvalid, http.StatusBadRequest, "Idempotency-Key has more than 255 characters.")
	}
	sum := sha256.Sum256([]byte(x.token.ID.String() + "\n" + x.r.Method + " " + x.r.URL.Path + "\n" + key))
	return catalog.RequestID(sum[:len(id)]), true, nil
}

// view runs fn on one consistent state of the catalog.
func (x *exchange) view(fn func(v *catalog.View) error) error {
	return x.cfg.Catalog.View(x.r.Context(), fn)
}

// requestID returns the client's or proxy's id of the request if it looks like
// one, else a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get(headerRequestID)
	ok := len(id) > 0 && len(id) <= 64
	for _, c := range []byte(id) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.')
	}
	if !ok {
		return rand.Text()
	}
	return id
}

// acceptsJSON reports whether an Accept header admits a JSON answer. A browser's
// text/html gets JSON, too.
func acceptsJSON(accept string) bool {
	if strings.TrimSpace(accept) == "" {
		return true
	}
	for one := range strings.SplitSeq(accept, ",") {
		switch media, _, _ := strings.Cut(one, ";"); strings.ToLower(strings.TrimSpace(media)) {
		case "*/*", "application/*", "application/json", "text/html", "text/*":
			return true
		}
	}
	return false
}

// options answers OPTIONS with what the original says of itself.
func options(x *exchange) error {
	b := appendText([]byte("{"), "name", x.rt.name)
	b = appendText(b, "description", "")
	b = append(b, `,"renders":["application/json"],"parses":["application/json","application/x-www-form-urlencoded","multipart/form-data"]}`...)
	return x.json(http.StatusOK, b)
}
