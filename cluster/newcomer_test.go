package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// inviting starts a node that lets in who has a token of its key.
func inviting(t *testing.T, a *Authority, change ...func(*Config)) *testNode {
	t.Helper()
	return startNode(t, t.TempDir(), append([]func(*Config){func(c *Config) {
		c.Listener, c.TLS = listen(t), presenting(t, a, c.ID)
		c.Welcome = func(_ context.Context, who Newcomer) (Welcome, error) {
			if _, err := CheckInvitation(who.Token, invitationKey, a.Instance(), time.Now()); err != nil {
				return Welcome{}, err
			}
			return Welcome{Instance: a.Instance(), Key: []byte("key"), Authority: []byte("authority")}, nil
		}
	}}, change...)...)
}

// presenting is the TLS of a node that shows its authority's certificate, too.
func presenting(t *testing.T, a *Authority, id string) *TLS {
	t.Helper()
	s := certified(t, a, a.Instance(), id, time.Now())
	cert, err := s.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	ca, _, err := a.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	whole := &tls.Certificate{Certificate: [][]byte{cert.Certificate[0], ca}, PrivateKey: cert.PrivateKey, Leaf: cert.Leaf}
	s.Certificate = func() (*tls.Certificate, error) { return whole, nil }
	return s
}

func tokenOf(t *testing.T, a *Authority, expires time.Time, addresses ...string) string {
	t.Helper()
	token, err := Invitation{Instance: a.Instance(), Expires: expires.Unix(), Authority: a.Fingerprint(), Addresses: addresses}.Token(invitationKey)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestNodeJoinsByInvitation(t *testing.T) {
	a, err := NewAuthority(bundle.NewID(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	first := inviting(t, a)
	first.propose(t, "before")
	ln := listen(t)
	who := Newcomer{Token: tokenOf(t, a, time.Now().Add(time.Minute), string(first.self)), Node: "n2-1", Address: ln.Addr().String()}
	for range 2 { // a crash makes it ask again
		w, err := AskToJoin(t.Context(), who, nil, time.Now)
		if err != nil || w.Instance != a.Instance() || string(w.Key) != "key" || string(w.Authority) != "authority" {
			t.Fatalf("%+v, %v", w, err)
		}
	}
	second := inviting(t, a, func(c *Config) { c.ID, c.Bootstrap, c.Listener, c.TLS = "n2-1", false, ln, presenting(t, a, "n2-1") })
	eventually(t, "it has caught up and votes", func() bool {
		s := second.Stats()
		return second.book.lines(t) == "before\n" && len(s.Members) == 2 && s.Members[0].Voter && s.Members[1].Voter
	})

	// A follower names the leader, which is asked then.
	third := Newcomer{Token: tokenOf(t, a, time.Now().Add(time.Minute), string(second.self)), Node: "n3-1", Address: "127.0.0.1:1"}
	if _, err := AskToJoin(t.Context(), third, nil, time.Now); err != nil {
		t.Fatal(err)
	}
	if err := second.ChangeMember(t.Context(), ChangeRemove, "n3"); err != nil {
		t.Fatal(err)
	}
	if err := second.ChangeMember(t.Context(), ChangeRemove, "n3"); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	// A name that is in use is not given away.
	// Nor is its id, to a copy of its data folder that listens elsewhere.
	who.Address = "127.0.0.1:1"
	if _, err := AskToJoin(t.Context(), who, nil, time.Now); !bundle.IsKind(err, bundle.KindConflict) || !strings.Contains(err.Error(), "n2-1 runs at") {
		t.Errorf("an id that runs: %v", err)
	}
	who.Node = "n2-2"
	if _, err := AskToJoin(t.Context(), who, nil, time.Now); !bundle.IsKind(err, bundle.KindConflict) {
		t.Errorf("a name that runs: %v", err)
	}
	for _, s := range second.Nodes(t.Context()) {
		if !s.Answers || !s.Voter || s.Leader != (s.Name == "n1") {
			t.Errorf("%+v", s)
		}
	}
	if err := second.ChangeMember(t.Context(), ChangeLead, "n2"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second leads", func() bool { return second.Leads() })
	if err := first.ChangeMember(t.Context(), ChangeRemove, "n1"); err != nil { // so that the rest can stop
		t.Fatal(err)
	}
}

func TestNewcomersAreRefused(t *testing.T) {
	a, err := NewAuthority(bundle.NewID(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewAuthority(a.Instance(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	n := inviting(t, a)
	at := string(n.self)
	good := tokenOf(t, a, time.Now().Add(time.Minute), at)
	for name, c := range map[string]struct {
		who  Newcomer
		kind bundle.Kind
	}{
		"an expired token":      {Newcomer{Token: tokenOf(t, a, time.Now().Add(-time.Second), at), Node: "n2-1", Address: "127.0.0.1:1"}, bundle.KindForbidden},
		"another authority":     {Newcomer{Token: tokenOf(t, other, time.Now().Add(time.Minute), at), Node: "n2-1", Address: "127.0.0.1:1"}, bundle.KindForbidden},
		"no address":            {Newcomer{Token: good, Node: "n2-1", Address: "0.0.0.0:1"}, bundle.KindInvalid},
		"no id":                 {Newcomer{Token: good, Node: "n2", Address: "127.0.0.1:1"}, bundle.KindInvalid},
		"somebody else's place": {Newcomer{Token: good, Node: "n2-1", Address: at}, bundle.KindConflict},
		"too much to say":       {Newcomer{Token: good, Node: "n2-1", Address: "127.0.0.1:1", Storage: strings.Repeat("x", maxNewcomer)}, bundle.KindInvalid},
	} {
		if _, err := AskToJoin(t.Context(), c.who, nil, time.Now); !bundle.IsKind(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := n.Stats().Members; len(got) != 1 {
		t.Errorf("members %+v", got)
	}
}

// Without a certificate nothing but the question is possible, and without
// Welcome not even that.
func TestNewcomersReachNothingElse(t *testing.T) {
	a, err := NewAuthority(bundle.NewID(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	n := inviting(t, a)
	i, err := ParseInvitation(tokenOf(t, a, time.Now().Add(time.Minute), string(n.self)))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", string(n.self), i.trust(time.Now))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("POST " + callPropose + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")); err != nil {
		t.Fatal(err)
	}
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(conn); err != nil || !strings.HasPrefix(answer.String(), "HTTP/1.1 404 ") {
		t.Errorf("%q, %v", answer.String(), err)
	}

	// Who only holds connections holds up nobody but other newcomers.
	var held []net.Conn
	for range maxGuests {
		c, err := tls.Dial("tcp", string(n.self), i.trust(time.Now))
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	late, err := tls.Dial("tcp", string(n.self), i.trust(time.Now))
	if err == nil { // the handshake may end before the refusal
		if _, err = late.Read(make([]byte, 1)); err == nil {
			t.Error("more connections than there is room for")
		}
		late.Close()
	}
	for _, c := range held {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	who := Newcomer{Token: tokenOf(t, a, time.Now().Add(time.Minute), string(n.self)), Node: "n2-1", Address: "127.0.0.1:1"}
	if _, err := AskToJoin(t.Context(), who, nil, time.Now); err != nil {
		t.Errorf("after they went: %v", err)
	}

	closed := inviting(t, a, func(c *Config) { c.Welcome = nil })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	who.Token = tokenOf(t, a, time.Now().Add(time.Minute), string(closed.self))
	if _, err := AskToJoin(ctx, who, nil, time.Now); !bundle.IsKind(err, bundle.KindUnavailable) {
		t.Errorf("without Welcome: %v", err)
	}
}

// atLevel is a state machine in which another level is in force.
type atLevel struct {
	StateMachine
	inForce uint64
}

func (a atLevel) Levels() (inForce, highest uint64) { return a.inForce, a.inForce }

// TestNodesThatUnderstandTooLittleAreRefusedByName before they are members.
func TestNodesThatUnderstandTooLittleAreRefusedByName(t *testing.T) {
	a, err := NewAuthority(bundle.NewID(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	first := inviting(t, a, func(c *Config) { c.Catalog = atLevel{c.Catalog, 9} })
	who := Newcomer{Token: tokenOf(t, a, time.Now().Add(time.Minute), string(first.self)), Node: "n2-1", Address: "127.0.0.1:1", Level: 8}
	_, err = AskToJoin(t.Context(), who, nil, time.Now)
	if want := "this program understands level 8, the instance is at 9: upgrade it first"; !bundle.IsKind(err, bundle.KindConflict) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want it to say %q", err, want)
	}
	if members := first.Stats().Members; len(members) != 1 {
		t.Errorf("it is a member: %v", members)
	}
	for _, level := range []uint64{9, 10} { // a newer program may join
		who.Level = level
		if _, err = AskToJoin(t.Context(), who, nil, time.Now); err != nil {
			t.Errorf("level %d: %v", level, err)
		}
	}
}
