package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// server answers other nodes.
type server struct {
	node *Node
	http *http.Server
	done chan struct{} // closed when it accepts no more
}

// serveCalls answers the calls that come in over ln.
func (n *Node) serveCalls(ln net.Listener) *server {
	s := &server{node: n, done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+callPropose, s.propose)
	mux.HandleFunc("POST "+callJoin, s.join)
	mux.HandleFunc("GET "+callIndex, s.index)
	mux.HandleFunc("GET "+callStatus, s.status)
	mux.HandleFunc("POST "+callMembers, s.changeMember)
	mux.HandleFunc("POST "+callTerm, s.term)
	all := http.NewServeMux()
	all.HandleFunc("POST "+callCopy, s.receiveCopy)
	all.Handle("/", s.members(mux))
	s.http = &http.Server{
		Handler: all, ReadHeaderTimeout: n.rpcLimit, ReadTimeout: n.rpcLimit, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		ConnContext:    withPeer,
		ErrorLog:       slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(ln) // ends with the layer or with close, and says only so
	}()
	return s
}

// drain sends the answers that are ready, which nothing holds up any more, and
// ends all connections.
func (s *server) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // what is left has sent no request
	}
}

type peerKey struct{}

// withPeer keeps a request's connection where its handler finds it.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, c)
}

// members refuses nodes that are none, or not any more.
func (s *server) members(next http.Handler) http.Handler {
	slots := make(chan struct{}, 2*maxCalls)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer := ""
		if c, ok := r.Context().Value(peerKey{}).(*nodeConn); ok {
			peer = c.peer
		}
		// A node that is new knows no members yet, and tells any node how it is.
		asked := r.URL.Path == callStatus && len(s.node.servers()) == 0
		if !asked && !s.node.isMember(peer) {
			refuse(w, s.node.notMember(peer))
			return
		}
		if err := s.node.calls.enter(); err != nil {
			refuse(w, err)
			return
		}
		defer s.node.calls.leave()
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			refuse(w, bundle.Errorf(bundle.KindUnavailable, "node %s answers too many calls now; retry later", s.node.id))
			return
		}
		ctx, cancel := r.Context(), context.CancelFunc(func() {})
		if ms, err := strconv.ParseInt(r.Header.Get(headerTimeout), 10, 32); err == nil {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
		}
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (s *server) propose(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, catalog.MaxCommand))
	if err != nil {
		refuse(w, bundle.Errorf(bundle.KindInvalid, "the command did not arrive: %w", err))
		return
	}
	result, index, err := s.node.proposeHere(r.Context(), data)
	if err != nil {
		refuse(w, err)
		return
	}
	answer, err := result.Encode()
	if err != nil {
		refuse(w, outcomeUnknown(err))
		return
	}
	reply(w, index, answer)
}

func (s *server) index(w http.ResponseWriter, r *http.Request) {
	level, err := ParseLevel(r.URL.Query().Get("level"))
	if err != nil {
		refuse(w, err)
		return
	}
	index, err := s.node.leaderIndex(r.Context(), level)
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, index, nil)
}

func (s *server) status(w http.ResponseWriter, _ *http.Request) {
	status := s.node.health()
	answer, err := json.Marshal(status)
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, status.Applied, answer)
}

func reply(w http.ResponseWriter, index uint64, answer []byte) {
	w.Header().Set(headerIndex, strconv.FormatUint(index, 10))
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(answer) // the caller finds out
}

// refuse answers with an error: 421 tells the caller to look for the leader.
func refuse(w http.ResponseWriter, err error) {
	p := problem{Kind: bundle.KindOf(err).String(), Message: err.Error()}
	if e, ok := errors.AsType[*bundle.Error](err); ok {
		p.Message, p.Fields = e.Brief(), e.Fields
	}
	status := bundle.KindOf(err).HTTPStatus()
	if _, ok := errors.AsType[elsewhere](err); ok || errors.Is(err, errStopped) {
		status = http.StatusMisdirectedRequest
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p) // the caller finds out
}

// readJSON reads the body of a call into a value. More than limit bytes are an
// error.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}
