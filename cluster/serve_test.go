package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// tap is a streamLayer that keeps what a node sends in calls.
type tap struct {
	*selfLayer
	sent chan string
}

func (l tap) dialCalls(context.Context, raft.ServerID) (net.Conn, error) {
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		var seen bytes.Buffer
		r := bufio.NewReader(there)
		req, err := http.ReadRequest(bufio.NewReader(readRecorder{r, &seen}))
		if err != nil {
			l.sent <- err.Error()
			return
		}
		var body bytes.Buffer
		body.ReadFrom(req.Body)
		head, _, _ := strings.Cut(seen.String(), "\r\n\r\n")
		l.sent <- head + "\r\n\r\n" + body.String()
	}()
	return here, nil
}

type readRecorder struct {
	r    *bufio.Reader
	seen *bytes.Buffer
}

func (r readRecorder) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.seen.Write(p[:n])
	return n, err
}

var volatile = regexp.MustCompile(`(?m)^Date: .*\n`)

// The bytes of calls, both ways.
func TestCallsAreAsWritten(t *testing.T) {
	var out strings.Builder
	l := tap{&selfLayer{}, make(chan string, 1)}
	p := newPeers(l, time.Second)
	for _, c := range []struct{ method, path, body string }{
		{"POST", callPropose, "command"}, {"GET", callIndex + "?level=strong", ""}, {"GET", callStatus, ""}, {"POST", callJoin, "127.0.0.1:7"},
		{"POST", callMembers, `{"change":"remove","node":"n3"}`}, {"POST", callTerm, `{"term":2,"promise":281}`},
	} {
		if _, _, err := p.call(t.Context(), "n2-1", c.method, c.path, []byte(c.body)); err == nil {
			t.Error("an answer from nobody")
		}
		fmt.Fprintf(&out, ">>>\n%s\n", strings.ReplaceAll(<-l.sent, "\r\n", "\n"))
	}
	n := startNode(t, t.TempDir(), func(c *Config) { c.Listener = listen(t) })
	for _, request := range []string{
		"POST /v1/propose HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\nBlockstored-Timeout: 9000\r\n\r\ncommand",
		"GET /v1/index?level=strong HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/index?level=most HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/term HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{\"term\":2}",
	} {
		fmt.Fprintf(&out, "<<< %s\n%s\n", strings.SplitN(request, " HTTP", 2)[0], raw(t, n, "n1-1", request))
	}
	fmt.Fprintf(&out, "<<< a node that is no member\n%s\n", raw(t, n, "n9-1", "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"))
	w := &answer421{header: http.Header{}}
	refuse(w, elsewhere{n.noLeader(nil)})
	fmt.Fprintf(&out, "<<< a node that does not lead\n%d %s", w.status, w.body.String())
	if *update {
		if err := os.WriteFile("testdata/calls.txt", []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/calls.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

type answer421 struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answer421) Header() http.Header         { return w.header }
func (w *answer421) WriteHeader(status int)      { w.status = status }
func (w *answer421) Write(b []byte) (int, error) { return w.body.Write(b) }

// raw sends a request as node from would, and returns the answer's bytes.
func raw(t *testing.T, n *testNode, from raft.ServerID, request string) string {
	t.Helper()
	caller := layerOf(t, string(from), nil, map[raft.ServerID]string{n.id: string(n.self)})
	conn, err := caller.dialCalls(t.Context(), n.id)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	var seen bytes.Buffer
	res, err := http.ReadResponse(bufio.NewReader(readRecorder{bufio.NewReader(conn), &seen}), nil)
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(seen.String(), "\r\n\r\n")
	text := body.String()
	if res.Header.Get("Content-Type") == "application/octet-stream" && text != "" && text[0] != '{' {
		text = fmt.Sprintf("%x", text)
	}
	return volatile.ReplaceAllString(strings.ReplaceAll(head, "\r\n", "\n")+"\n", "") + "\n" + text
}

func TestCommandsThatAreTooLargeDoNotTravel(t *testing.T) {
	n := startNode(t, t.TempDir(), func(c *Config) { c.Listener = listen(t) })
	caller := layerOf(t, "n1-1", nil, map[raft.ServerID]string{n.id: string(n.self)})
	p := newPeers(caller, time.Second)
	defer p.close()
	_, _, err := p.call(t.Context(), n.id, http.MethodPost, callPropose, make([]byte, catalog.MaxCommand+1))
	if err == nil || n.book.lines(t) != "" {
		t.Errorf("taken: %v", err)
	}
	if _, _, err := p.call(t.Context(), n.id, http.MethodPost, callPropose, make([]byte, catalog.MaxCommand)); err != nil {
		t.Errorf("the largest command: %v", err)
	}
}

func TestCallsTellWhatWasNotSentFromWhatMayHaveBeenDone(t *testing.T) {
	n := startNode(t, t.TempDir(), func(c *Config) { c.Listener = listen(t) })
	nobody := listen(t)
	address := nobody.Addr().String()
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	caller := layerOf(t, "n1-1", nil, map[raft.ServerID]string{n.id: string(n.self), "n2-1": address})
	p := newPeers(caller, time.Second)
	defer p.close()
	if _, _, err := p.call(t.Context(), "n2-1", http.MethodPost, callPropose, []byte("x")); !isUnreached(err) || isUnknown(forwardError(err)) {
		t.Errorf("nobody is there: %v", err)
	}
	release := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	n.book.set(func() { n.book.beforeApply = func() error { cancel(); <-release; return nil } })
	_, _, err := p.call(ctx, n.id, http.MethodPost, callPropose, []byte("x"))
	if isUnreached(err) || !isUnknown(forwardError(err)) || !bundle.IsKind(forwardError(err), bundle.KindUnavailable) {
		t.Errorf("no answer in time: %v", err)
	}
	close(release)
	for range maxCalls {
		p.slots <- struct{}{}
	}
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := p.call(ctx, n.id, http.MethodPost, callPropose, []byte("y")); !isUnreached(err) {
		t.Errorf("too many calls: %v", err)
	}
}

func isUnreached(err error) bool {
	_, ok := errors.AsType[unreached](err)
	return ok
}
