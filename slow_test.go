package blockstored

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// oneConn is a listener that hands out one connection and then waits for its end.
type oneConn struct{ conns chan net.Conn }

func (l oneConn) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l oneConn) Close() error   { return nil }
func (l oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// TestAClientThatIsSlowWithItsHeadersIsCutOff sends headers byte by byte, each
// well before anything runs out, in a bubble in which waiting takes no time.
func TestAClientThatIsSlowWithItsHeadersIsCutOff(t *testing.T) {
	for name, c := range map[string]struct {
		pause time.Duration // after each byte
		cut   bool
	}{
		"slow": {time.Second, true}, "fast enough": {100 * time.Millisecond, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := hostServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				l := oneConn{make(chan net.Conn, 1)}
				here, there := net.Pipe()
				l.conns <- there
				served := make(chan struct{})
				go func() {
					defer close(served)
					_ = srv.Serve(l) // ends with the listener
				}()
				defer func() {
					close(l.conns)
					<-served
					_ = srv.Close()
				}()
				sent := make(chan struct{})
				defer func() {
					_ = here.Close()
					<-sent
				}()
				go func() {
					defer close(sent)
					for _, b := range []byte("GET / HTTP/1.1\r\nHost: blocks.example.org\r\n\r\n") {
						if _, err := here.Write([]byte{b}); err != nil {
							return
						}
						time.Sleep(c.pause)
					}
				}()
				start := time.Now()
				answers := bufio.NewReader(here)
				resp, err := http.ReadResponse(answers, nil)
				if err != nil || (resp.StatusCode == http.StatusOK) == c.cut {
					t.Fatalf("%v %v", resp, err)
				}
				if took := time.Since(start); took > 11*time.Second {
					t.Errorf("answered after %s", took)
				}
				idle := time.Now()
				if _, err := io.Copy(io.Discard, answers); err != nil || time.Since(idle) > 3*time.Minute {
					t.Errorf("closed after %s: %v", time.Since(idle), err)
				}
			})
		})
	}
}
