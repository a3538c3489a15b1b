package cluster

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

const (
	// newcomerProtocol is the TLS protocol (ALPN) of nodes that have no
	// certificate yet. It is HTTP/1.1 with one request.
	newcomerProtocol = "blockstored-join/1"
	callNewcomer     = "/v1/newcomer"
	maxNewcomers     = 4        // requests at a time
	maxNewcomer      = 32 << 10 // bytes of a request
	// joinPatience is how long AskToJoin goes on asking while no node can let
	// anybody in.
	joinPatience = 15 * time.Second
)

// Newcomer is what a node says that asks to be let in.
type Newcomer struct {
	Token   string `json:"token"`   // of an [Invitation]
	Node    string `json:"node"`    // its id, see [Config.ID]
	Address string `json:"address"` // where the others reach it
	Storage string `json:"storage"` // where it keeps files, which must be where the instance does
	Level   uint64 `json:"level"`   // the highest that its program understands, 0: as this one, see [catalog.HighestLevel]
}

// Welcome is what a node needs to be one of an instance.
type Welcome struct {
	Instance  bundle.ID `json:"instance"`
	Key       []byte    `json:"key"`       // opens the instance's secrets
	Authority []byte    `json:"authority"` // sealed under Key
}

// newcomers serves the nodes that ask to be let in, who have proven nothing.
func (n *Node) newcomers(ln net.Listener, welcome func(context.Context, Newcomer) (Welcome, error)) *server {
	slots := make(chan struct{}, maxNewcomers)
	var said complaints
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+callNewcomer, func(w http.ResponseWriter, r *http.Request) {
		who, err := readNewcomer(w, r) // before it takes anything that others wait for
		if err != nil {
			refuse(w, err)
			return
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			refuse(w, bundle.Errorf(bundle.KindUnavailable, "too many nodes ask to join at this moment; retry in a moment"))
			return
		}
		if err := n.calls.enter(); err != nil {
			refuse(w, err)
			return
		}
		defer n.calls.leave()
		answer, err := n.letIn(r.Context(), who, welcome)
		if err != nil {
			n.logger.Log(r.Context(), said.level(err.Error(), n.now()), "did not let a node join", "node", who.Node, "address", who.Address, "error", err)
			refuse(w, err)
			return
		}
		reply(w, n.fsm.position().index, answer)
	})
	s := &server{node: n, done: make(chan struct{}), http: &http.Server{
		Handler: mux, ReadHeaderTimeout: n.rpcLimit, ReadTimeout: n.rpcLimit, MaxHeaderBytes: 4 << 10,
		ConnContext: withPeer, ErrorLog: slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug),
	}}
	s.http.SetKeepAlivesEnabled(false)
	go func() {
		defer close(s.done)
		_ = s.http.Serve(ln) // ends with the layer or with close, and says only so
	}()
	return s
}

// readNewcomer reads a request to join, and refuses what cannot be a node.
func readNewcomer(w http.ResponseWriter, r *http.Request) (who Newcomer, err error) {
	if err := readJSON(w, r, maxNewcomer, &who); err != nil {
		return who, bundle.Errorf(bundle.KindInvalid, "the request to join is not understood: %w", err)
	}
	if err := CheckAddress(who.Address); err != nil {
		return who, err
	}
	if _, err := parseNode(who.Node); err != nil {
		return who, err
	}
	if c, ok := r.Context().Value(peerKey{}).(*nodeConn); ok && c.proven && c.peer != nodeName(who.Node) {
		return who, bundle.Errorf(bundle.KindForbidden, "the certificate is of node %s, and the node that asks to join is called %s: give it a certificate with its name (cluster.tls_cert), or the name in it (cluster.node)",
			c.peer, nodeName(who.Node))
	}
	return who, nil
}

// letIn checks a newcomer, makes it a member, and returns its welcome.
func (n *Node) letIn(ctx context.Context, who Newcomer, welcome func(context.Context, Newcomer) (Welcome, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, n.rpcLimit)
	defer cancel()
	answer, err := welcome(ctx, who)
	if err != nil {
		return nil, err
	}
	for _, m := range n.servers() {
		// A member that moved says so as a member; this one has proven nothing.
		if string(m.ID) == who.Node && string(m.Address) != who.Address && n.answers(ctx, m.ID) {
			return nil, bundle.Errorf(bundle.KindConflict, "node %s runs at %s: a copy of its data folder cannot join; begin with an empty one", m.ID, m.Address)
		}
	}
	if err := n.join(ctx, who.Node, who.Address, levelOf(who.Level)); err != nil {
		return nil, err
	}
	n.logger.Info("let a node join; it votes when it has caught up", "node", who.Node, "address", who.Address)
	return json.Marshal(answer)
}

// AskToJoin asks the nodes that an invitation names, and the leader that they
// name, until one lets who in; who.Token is the invitation's. Nothing is sent to
// a node that is not of the invitation's authority or, if own is not nil, of the
// operator's, whose certificate own is. For a quarter of a minute it asks again
// while nobody can answer. Errors are the nodes' own, or of KindUnavailable.
// Asking again with the same id and address is safe.
func AskToJoin(ctx context.Context, who Newcomer, own *TLS, now func() time.Time) (Welcome, error) {
	i, err := ParseInvitation(who.Token)
	if err != nil {
		return Welcome{}, err
	}
	security := i.trust(now)
	if own != nil {
		security = own.dial("", now)
		security.NextProtos = []string{newcomerProtocol}
	}
	who.Level = cmp.Or(who.Level, catalog.HighestLevel)
	body, err := json.Marshal(who)
	if err != nil {
		return Welcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinPatience)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		w, err := askNodes(ctx, i, body, security)
		if err == nil || !bundle.IsKind(err, bundle.KindUnavailable) {
			return w, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return Welcome{}, err
		}
	}
}

// askNodes asks each node once.
func askNodes(ctx context.Context, i Invitation, body []byte, security *tls.Config) (Welcome, error) {
	var unavailable []error
	todo, asked := i.Addresses, map[string]bool{}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if asked[at] {
			continue
		}
		asked[at] = true
		w, err := askNode(ctx, at, i, body, security)
		if err == nil || !bundle.IsKind(err, bundle.KindUnavailable) {
			return w, err
		}
		unavailable = append(unavailable, err)
		if e, ok := errors.AsType[*bundle.Error](err); ok && CheckAddress(e.Fields["leader_address"]) == nil {
			todo = append([]string{e.Fields["leader_address"]}, todo...)
		}
	}
	return Welcome{}, bundle.Errorf(bundle.KindUnavailable, "no node of instance %s could let this one in: %w", i.Instance, errors.Join(unavailable...))
}

func askNode(ctx context.Context, at string, i Invitation, body []byte, security *tls.Config) (w Welcome, err error) {
	dialer := &tls.Dialer{Config: security}
	transport := &http.Transport{DialTLSContext: dialer.DialContext, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+at+callNewcomer, bytes.NewReader(body))
	if err != nil {
		return w, bundle.Errorf(bundle.KindInvalid, "ask %s to join: %w", at, err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		if e, ok := errors.AsType[*bundle.Error](err); ok && e.Kind == bundle.KindForbidden {
			return w, bundle.Errorf(bundle.KindForbidden, "%s is not a node of the instance that the join token is of: %w", at, e)
		}
		if security.GetClientCertificate != nil && isRefusal(err) {
			return w, bundle.Errorf(bundle.KindForbidden, "%s does not accept this node's certificate; its log says why: %w", at, err)
		}
		return w, bundle.Errorf(bundle.KindUnavailable, "ask %s to join: %w", at, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return w, bundle.Errorf(bundle.KindUnavailable, "read the answer of %s: %w", at, err)
	}
	if res.StatusCode != http.StatusOK {
		return w, plain(readProblem(raft.ServerID(at), res.StatusCode, answer))
	}
	if err := json.Unmarshal(answer, &w); err != nil || w.Instance != i.Instance || len(w.Key) == 0 || len(w.Authority) == 0 {
		return w, bundle.Errorf(bundle.KindCorrupt, "%s answered in a way that is not understood; does it run another version?", at)
	}
	return w, nil
}

// trust is the TLS of a node that knows nothing but an invitation.
func (i Invitation) trust(now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // of host names, which nodes do not have, and of the system's authorities
		NextProtos:         []string{newcomerProtocol},
		Time:               now,
		VerifyConnection: func(s tls.ConnectionState) error {
			for _, c := range s.PeerCertificates {
				if Fingerprint(c) != i.Authority {
					continue
				}
				roots := x509.NewCertPool()
				roots.AddCert(c)
				t := &TLS{Instance: i.Instance}
				return t.verifyChain(s.PeerCertificates, "", roots, now(), x509.ExtKeyUsageServerAuth)
			}
			return bundle.Errorf(bundle.KindForbidden, "its certificate is not of the authority that the invitation names; "+
				"if the nodes of the instance have certificates of its operator, this one needs one, too (cluster.tls_cert, tls_key, tls_ca)")
		},
	}
}
