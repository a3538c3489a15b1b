package s3

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage/s3/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(s *s3test.Server, bucket string) Config {
	return Config{
		Endpoint: s.Endpoint, Bucket: bucket, Prefix: "north/blobs", Region: "us-east-1",
		AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey,
	}
}

func open(t *testing.T, cfg Config) *Driver {
	t.Helper()
	if cfg.TempDir == "" {
		cfg.TempDir = t.TempDir()
	}
	d, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func put(ctx context.Context, d *Driver, key string, body []byte, digest bundle.Digest) error {
	u, err := d.Create(ctx, int64(len(body)))
	if err != nil {
		return err
	}
	defer u.Abort()
	if _, err := u.Write(body); err != nil {
		return err
	}
	return u.Commit(ctx, key, digest)
}

func get(ctx context.Context, d *Driver, key string) ([]byte, error) {
	r, err := d.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

func wantKind(t *testing.T, err error, kind bundle.Kind, says ...string) {
	t.Helper()
	if !bundle.IsKind(err, kind) {
		t.Fatalf("got %v (%v), want kind %v", err, bundle.KindOf(err), kind)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}

// tap is a transport that a test watches and interferes with.
type tap struct {
	*http.Transport
	mu     sync.Mutex
	before func(*http.Request) (*http.Response, error) // nil, nil passes
	after  func(*http.Request, *http.Response) (*http.Response, error)
}

func newTap(t *testing.T) *tap {
	tp := &tap{Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(tp.CloseIdleConnections)
	return tp
}

func (tp *tap) set(before func(*http.Request) (*http.Response, error), after func(*http.Request, *http.Response) (*http.Response, error)) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.before, tp.after = before, after
}

func (tp *tap) RoundTrip(req *http.Request) (*http.Response, error) {
	tp.mu.Lock()
	before, after := tp.before, tp.after
	tp.mu.Unlock()
	if before != nil {
		if resp, err := before(req); resp != nil || err != nil {
			return resp, err
		}
	}
	resp, err := tp.Transport.RoundTrip(req)
	if err == nil && after != nil {
		return after(req, resp)
	}
	return resp, err
}

func answer(req *http.Request, status int) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: req,
	}
}

// brokenBody fails after some bytes.
type brokenBody struct {
	io.Reader
	io.Closer
}

func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func newLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// unconditional returns the address of a store that knows no conditions and
// checks no checksum, as some do.
func unconditional(t *testing.T) string {
	var mu sync.Mutex
	objects := map[string][]byte{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case req.URL.Query().Has("list-type"):
			fmt.Fprint(w, `<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>`)
		case req.Method == http.MethodPut:
			body, err := io.ReadAll(req.Body)
			if err != nil {
				t.Error(err)
			}
			objects[req.URL.Path] = body
			w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(body)))
		case req.Method == http.MethodDelete:
			delete(objects, req.URL.Path)
			w.WriteHeader(http.StatusNoContent)
		default:
			http.NotFound(w, req)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}
