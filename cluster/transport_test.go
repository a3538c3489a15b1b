package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// layerOf listens as a node does and answers everybody with its id.
func layerOf(t *testing.T, id string, security *TLS, others map[raft.ServerID]string) *netLayer {
	t.Helper()
	l := newStreamLayer(listen(t), layerConfig{
		id: raft.ServerID(id), security: security, limit: 20 * time.Second, now: time.Now, logger: slog.New(slog.DiscardHandler),
		resolve: func(id raft.ServerID) (raft.ServerAddress, error) { return raft.ServerAddress(others[id]), nil },
	}).(*netLayer)
	serve := func(ln net.Listener) {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, string(conn.(*nodeConn).stream)+id)
			conn.Close()
		}
	}
	done := make(chan struct{}, 2)
	for _, ln := range []net.Listener{l, l.calls()} {
		go func() { serve(ln); done <- struct{}{} }()
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-done
		<-done
	})
	return l
}

// reaches returns what node answered, or the error of connecting to it.
func reaches(t *testing.T, from *netLayer, id raft.ServerID, s streamKind) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	conn, err := from.reach(ctx, id, s)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	b, err := io.ReadAll(conn)
	return string(b), err
}

func certified(t *testing.T, a *Authority, instance bundle.ID, node string, now time.Time) *TLS {
	t.Helper()
	key, request, err := NewRequest(node)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Issue(node, request, now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &TLS{
		Instance:    instance,
		Certificate: func() (*tls.Certificate, error) { return pair, nil },
		Roots:       func() (*x509.CertPool, error) { return a.Pool(), nil },
	}
}

func authority(t *testing.T, instance bundle.ID) *Authority {
	t.Helper()
	a, err := NewAuthority(instance, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestConnectionsReachTheNodeAndTheStreamThatIsMeant(t *testing.T) {
	instance := bundle.NewID()
	a := authority(t, instance)
	for _, security := range []bool{false, true} {
		tlsOf := func(node string) *TLS {
			if !security {
				return nil
			}
			return certified(t, a, instance, node, time.Now())
		}
		b := layerOf(t, "n2-1", tlsOf("n2-1"), nil)
		from := layerOf(t, "n1-1", tlsOf("n1-1"), map[raft.ServerID]string{"n2-1": b.addr.String(), "n2-0": b.addr.String()})
		for s, want := range map[streamKind]string{streamRaft: "rn2-1", streamCalls: "cn2-1"} {
			if got, err := reaches(t, from, "n2-1", s); got != want || err != nil {
				t.Errorf("TLS %v, stream %c: %q, %v", security, s, got, err)
			}
		}
		// The disk of n2-0 was lost; n2-1 came back at its address.
		if got, err := reaches(t, from, "n2-0", streamRaft); err == nil || !strings.Contains(err.Error(), "n2") {
			t.Errorf("TLS %v, another incarnation: %q, %v", security, got, err)
		}
		if got, err := reaches(t, from, "n2-1", 'x'); err == nil || !strings.Contains(err.Error(), "update it") {
			t.Errorf("TLS %v, an unknown stream: %q, %v", security, got, err)
		}
	}
}

func TestNodesRefuseWhoCannotProveThatTheyBelong(t *testing.T) {
	instance, now := bundle.NewID(), time.Now()
	a := authority(t, instance)
	other := bundle.NewID()
	foreign := authority(t, other)
	good := certified(t, a, instance, "n1-1", now)
	// An operator's authority may serve several instances.
	shared := &Authority{instance: other, cert: a.cert, key: a.key}
	for name, c := range map[string]struct {
		client *TLS
		ok     bool
	}{
		"a node of the instance":              {good, true},
		"no TLS":                              {nil, false},
		"no certificate":                      {&TLS{Instance: instance, Roots: good.Roots, Certificate: func() (*tls.Certificate, error) { return &tls.Certificate{}, nil }}, false},
		"another authority":                   {&TLS{Instance: instance, Roots: good.Roots, Certificate: certified(t, foreign, other, "n1-1", now).Certificate}, false},
		"another instance, the same root":     {&TLS{Instance: instance, Roots: good.Roots, Certificate: certified(t, shared, other, "n1-1", now).Certificate}, false},
		"another node's certificate":          {certified(t, a, instance, "n3-1", now), false},
		"an expired one":                      {certified(t, a, instance, "n1-1", now.Add(-2*CertificateLife)), false},
		"one that is not valid yet":           {certified(t, a, instance, "n1-1", now.Add(2*certificateSkew)), false},
		"a node that trusts somebody else":    {&TLS{Instance: instance, Roots: certified(t, foreign, other, "n1-1", now).Roots, Certificate: good.Certificate}, false},
		"a node of a clone with another name": {&TLS{Instance: other, Roots: good.Roots, Certificate: good.Certificate}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := layerOf(t, "n2-1", certified(t, a, instance, "n2-1", now), nil)
			from := layerOf(t, "n1-1", c.client, map[raft.ServerID]string{"n2-1": b.addr.String()})
			for _, s := range []streamKind{streamRaft, streamCalls} {
				if got, err := reaches(t, from, "n2-1", s); (err == nil && got != "") != c.ok {
					t.Errorf("%c: %q, %v", s, got, err)
				}
			}
		})
	}
}

func TestRenewedCertificateNeedsNoRestart(t *testing.T) {
	instance, now := bundle.NewID(), time.Now()
	a := authority(t, instance)
	old, renewed := certified(t, a, instance, "n1-1", now.Add(-2*CertificateLife)), certified(t, a, instance, "n1-1", now)
	current := make(chan *TLS, 1)
	current <- old
	changing := &TLS{Instance: instance, Roots: old.Roots, Certificate: func() (*tls.Certificate, error) {
		c := <-current
		current <- c
		return c.Certificate()
	}}
	b := layerOf(t, "n2-1", certified(t, a, instance, "n2-1", now), nil)
	from := layerOf(t, "n1-1", changing, map[raft.ServerID]string{"n2-1": b.addr.String()})
	if got, _ := reaches(t, from, "n2-1", streamRaft); got != "" {
		t.Error("an expired certificate was taken")
	}
	<-current
	current <- renewed
	if got, err := reaches(t, from, "n2-1", streamRaft); got != "rn2-1" {
		t.Errorf("after renewal: %q, %v", got, err)
	}
}

// One host can hold connections that say nothing, and not all there is room for.
func TestSilentConnectionsKeepNobodyWaiting(t *testing.T) {
	b := layerOf(t, "n2-1", nil, nil)
	silent := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for range 2 * maxGreetings {
		conn, err := silent.Dial("tcp", b.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	from := layerOf(t, "n1-1", nil, map[raft.ServerID]string{"n2-1": b.addr.String()})
	if got, err := reaches(t, from, "n2-1", streamRaft); got != "rn2-1" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestGreetingsAreBounded(t *testing.T) {
	var g greetings
	var leaves []func()
	enter := func(host string) bool {
		leave, ok := g.enter(&net.TCPAddr{IP: net.ParseIP(host), Port: 1 + len(leaves)})
		if ok {
			leaves = append(leaves, leave)
		}
		return ok
	}
	for k := range maxGreetingsFrom + 1 {
		if got := enter("10.0.0.1"); got != (k < maxGreetingsFrom) {
			t.Errorf("connection %d of one host: %v", k, got)
		}
	}
	for k := range maxGreetings - maxGreetingsFrom + 1 {
		if got := enter("10.0.0.2"); got != (k < maxGreetings-maxGreetingsFrom) {
			t.Errorf("connection %d of another host: %v", k, got)
		}
	}
	for _, leave := range leaves {
		leave()
	}
	if g.all != 0 || len(g.hosts) != 0 {
		t.Errorf("after all have left: %d, %v", g.all, g.hosts)
	}
}

func TestComplaintsAreBounded(t *testing.T) {
	var c complaints
	now := time.Unix(1_800_000_000, 0)
	for _, s := range []struct {
		after time.Duration
		why   string
		aloud bool
	}{
		{0, "a", true}, {0, "b", false}, {time.Second, "a", false}, {0, "b", true}, {59 * time.Second, "b", false},
		{time.Second, "b", true}, {time.Second, "a", true},
	} {
		now = now.Add(s.after)
		if got := c.level(s.why, now) == slog.LevelWarn; got != s.aloud {
			t.Errorf("%s at %s: %v", s.why, now.UTC().Format(time.TimeOnly), got)
		}
	}
}

func TestOnlyLoopbackGoesWithoutTLS(t *testing.T) {
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	b := openBook(t, t.TempDir())
	_, err = Open(t.Context(), Config{ID: "n1-1", Dir: t.TempDir(), Catalog: b, Listener: ln})
	if !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("got %v", err)
	}
}
