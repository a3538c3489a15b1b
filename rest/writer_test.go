package rest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// pipeListener hands out one connection.
type pipeListener struct{ conns chan net.Conn }

func (l pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l pipeListener) Close() error   { return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// overPipe serves the handles as /up and /down to one connection without any
// buffer, in a bubble in which waiting takes no time.
func overPipe(t *testing.T, idle time.Duration, methods map[string]handle, client func(t *testing.T, c net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := &API{cfg: Config{IdleTimeout: idle, MaxBody: 1 << 30, Now: time.Now, Read: noIndex}, log: slog.New(slog.DiscardHandler)}
		srv := &http.Server{Handler: a.handler(&route{pattern: "/", manner: asProbe, methods: methods}, true)}
		l := pipeListener{make(chan net.Conn, 1)}
		here, there := net.Pipe()
		l.conns <- there
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = srv.Serve(l) // ends with the listener
		}()
		client(t, here)
		check(t, here.Close())
		close(l.conns)
		<-served
		check(t, srv.Close())
	})
}

// noIndex stands for a catalog that was never changed.
func noIndex(context.Context, string) (uint64, bool, error) { return 0, false, nil }

// swallow reads the whole body and says how much it was.
func swallow(x *exchange) error {
	n, err := io.Copy(io.Discard, x.upload())
	if err != nil {
		return uploadError(err)
	}
	return x.plain(http.StatusOK, fmt.Sprint(n))
}

func TestAnUploadMayTakeAsLongAsItMoves(t *testing.T) {
	const hours = 10
	overPipe(t, time.Minute, map[string]handle{"PUT": swallow}, func(t *testing.T, c net.Conn) {
		start := time.Now()
		n := hours * 3600 / 50
		_, err := fmt.Fprintf(c, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", n)
		check(t, err)
		for range n {
			time.Sleep(50 * time.Second) // below the minute that ends what stands still
			_, err := c.Write([]byte("x"))
			check(t, err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		check(t, err)
		got, err := io.ReadAll(resp.Body)
		check(t, err)
		if took := time.Since(start); string(got) != fmt.Sprint(n) || took < hours*time.Hour {
			t.Errorf("%d %s after %s", resp.StatusCode, got, took)
		}
	})
}

func TestAnUploadThatStandsStillIsEnded(t *testing.T) {
	overPipe(t, time.Minute, map[string]handle{"PUT": swallow}, func(t *testing.T, c net.Conn) {
		_, err := io.WriteString(c, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nabc")
		check(t, err)
		stopped := time.Now()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		check(t, err)
		body, err := io.ReadAll(resp.Body)
		check(t, err)
		took := time.Since(stopped)
		if resp.StatusCode != 400 || !strings.Contains(string(body), "broke off") || resp.Header.Get(headerError) != bundle.KindInvalid.String() {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		if took < 45*time.Second || took > 2*time.Minute {
			t.Errorf("ended after %s", took)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the connection goes on: %v", err)
		}
	})
}

// pour answers with n bytes in one piece, and says how that ended.
func pour(n int, ended chan<- error) handle {
	return func(x *exchange) error {
		_, err := x.w.Write(make([]byte, n))
		ended <- err
		return nil
	}
}

func TestADownloadMayTakeAsLongAsItMoves(t *testing.T) {
	const size = 4 << 20
	ended := make(chan error, 1)
	overPipe(t, time.Minute, map[string]handle{"GET": pour(size, ended)}, func(t *testing.T, c net.Conn) {
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		check(t, err)
		resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
		check(t, err)
		for left := size; left > 0; {
			time.Sleep(20 * time.Second)
			n, err := io.ReadFull(resp.Body, make([]byte, min(left, 16<<10)))
			check(t, err)
			left -= n
		}
	})
	if err := <-ended; err != nil {
		t.Errorf("the handler ended with %v", err)
	}
}

func TestADownloadThatNobodyReadsIsEnded(t *testing.T) {
	ended := make(chan error, 1)
	overPipe(t, time.Minute, map[string]handle{"GET": pour(4<<20, ended)}, func(t *testing.T, c net.Conn) {
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		check(t, err)
		_, err = io.ReadFull(c, make([]byte, 100_000))
		check(t, err)
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		select {
		case err := <-ended:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the handler ended with %v", err)
			}
		default:
			t.Error("the handler goes on after a minute")
		}
	})
}
