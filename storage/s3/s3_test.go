package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage"
	"github.com/blockstored/blockstored/storage/s3/s3test"
	"github.com/blockstored/blockstored/storage/storagetest"
)

func TestDriverKeepsTheContract(t *testing.T) {
	s := s3test.Start(t)
	storagetest.Run(t, func(t *testing.T) storage.Driver {
		d, err := Open(t.Context(), config(s, s.NewBucket()))
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}

func TestDriverKeepsTheContractByParts(t *testing.T) {
	s := s3test.Start(t)
	storagetest.Run(t, func(t *testing.T) storage.Driver {
		d, err := Open(t.Context(), config(s, s.NewBucket()))
		if err != nil {
			t.Fatal(err)
		}
		d.singlePut, d.partSize = 6<<20, 5<<20 // S3 wants 5 MiB of all parts but the last
		return d
	})
}

func TestPutSendsSignedChecksumsAndNoTrailer(t *testing.T) {
	s, tp := s3test.Start(t), newTap(t)
	cfg := config(s, s.NewBucket())
	cfg.Transport = tp
	d := open(t, cfg)
	for _, size := range []int{0, 10, 5 << 20, 12 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			d.singlePut, d.partSize = 10<<20, 5<<20
			body := bytes.Repeat([]byte{byte(size)}, size)
			puts := 0
			tp.set(func(req *http.Request) (*http.Response, error) {
				if req.Method != http.MethodPut {
					return nil, nil
				}
				puts++
				checkPut(t, req)
				return nil, nil
			}, nil)
			if err := put(t.Context(), d, fmt.Sprintf("aa/%d", size), body, bundle.DigestOf(body)); err != nil {
				t.Fatal(err)
			}
			if want := 1 + 2*(size/(12<<20)); puts != want {
				t.Errorf("%d PUTs, want %d", puts, want)
			}
		})
	}
}

// checkPut reads the request's body and compares its headers.
func checkPut(t *testing.T, req *http.Request) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	sum := sha256.Sum256(body)
	if got, want := req.Header.Get("X-Amz-Checksum-Sha256"), base64.StdEncoding.EncodeToString(sum[:]); got != want {
		t.Errorf("checksum header %q, want %q", got, want)
	}
	if got, want := req.Header.Get("X-Amz-Content-Sha256"), fmt.Sprintf("%x", sum); got != want {
		t.Errorf("signed payload %q, want %q", got, want)
	}
	if auth := req.Header.Get("Authorization"); !strings.Contains(auth, "x-amz-checksum-sha256") {
		t.Errorf("the checksum is not among the signed headers: %s", auth)
	}
	if len(req.Trailer) > 0 || req.Header.Get("X-Amz-Trailer") != "" || len(req.TransferEncoding) > 0 {
		t.Errorf("a trailer or chunks are used: %v %v", req.Trailer, req.Header)
	}
	if req.URL.Query().Get("partNumber") == "" && req.Header.Get("If-None-Match") != "*" {
		t.Errorf("PUT %s may overwrite", req.URL)
	}
}

func TestCommitOfLostAnswerSucceeds(t *testing.T) {
	s, tp := s3test.Start(t), newTap(t)
	cfg := config(s, s.NewBucket())
	cfg.Transport = tp
	d := open(t, cfg)
	lost := 0
	drop := func(req *http.Request, resp *http.Response) (*http.Response, error) {
		if req.Method != http.MethodPut || lost > 0 {
			return resp, nil
		}
		lost++
		resp.Body.Close()
		return nil, errors.New("connection reset")
	}
	tp.set(nil, drop)
	body := []byte("content")
	if err := put(t.Context(), d, "aa/x", body, bundle.DigestOf(body)); err != nil || lost != 1 {
		t.Errorf("put: %v after %d lost answers", err, lost)
	}
	lost = 0
	tag, err := d.WriteSmall(t.Context(), "claim", body, "")
	if err != nil || lost != 1 {
		t.Fatalf("WriteSmall: %v after %d lost answers", err, lost)
	}
	if _, now, err := d.ReadSmall(t.Context(), "claim"); err != nil || now != tag {
		t.Errorf("ReadSmall: tag %q, %v, want %q", now, err, tag)
	}
}

func TestPassingFailuresAreRetriedAndBounded(t *testing.T) {
	s, tp := s3test.Start(t), newTap(t)
	cfg := config(s, s.NewBucket())
	cfg.Transport, cfg.Attempts = tp, 2
	d := open(t, cfg)
	body := []byte("content")
	left := 0
	tp.set(func(req *http.Request) (*http.Response, error) {
		if left--; left >= 0 {
			return answer(req, http.StatusServiceUnavailable), nil
		}
		return nil, nil
	}, nil)
	for name, do := range map[string]func() error{
		"put":  func() error { return put(t.Context(), d, "aa/x", body, bundle.DigestOf(body)) },
		"stat": func() error { _, err := d.Stat(t.Context(), "aa/x"); return err },
		"get":  func() error { _, err := get(t.Context(), d, "aa/x"); return err },
		"list": func() error { return d.List(t.Context(), "", func(storage.ObjectInfo) error { return nil }) },
		"write": func() error {
			return errors.Join(second(d.WriteSmall(t.Context(), "w", body, "")), d.Delete(t.Context(), "w"))
		},
	} {
		left = 0
		if err := put(t.Context(), d, "aa/x", body, bundle.DigestOf(body)); err != nil {
			t.Fatal(err)
		}
		left = 1
		if err := do(); err != nil {
			t.Errorf("%s: one failure of two: %v", name, err)
		}
		left = 100
		if err := do(); !bundle.IsKind(err, bundle.KindUnavailable) {
			t.Errorf("%s: failing always: %v", name, err)
		}
		if used := 100 - left; used > 4 {
			t.Errorf("%s: %d requests", name, used)
		}
	}
}

func second(_ string, err error) error { return err }

func TestRetryEndsWithItsContext(t *testing.T) {
	s, tp := s3test.Start(t), newTap(t)
	cfg := config(s, s.NewBucket())
	cfg.Transport, cfg.Attempts = tp, 1000
	d := open(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	tp.set(func(req *http.Request) (*http.Response, error) {
		if tries++; tries%3 == 0 {
			cancel()
		}
		return answer(req, http.StatusServiceUnavailable), nil
	}, nil)
	if _, err := d.Stat(ctx, "aa/x"); !errors.Is(err, context.Canceled) || tries > 4 {
		t.Errorf("Stat: %v after %d tries", err, tries)
	}
}

func TestReadGoesOnAfterABrokenConnection(t *testing.T) {
	s, tp := s3test.Start(t), newTap(t)
	cfg := config(s, s.NewBucket())
	cfg.Transport = tp
	d := open(t, cfg)
	body := bytes.Repeat([]byte("0123456789"), 100_000)
	if err := put(t.Context(), d, "aa/x", body, bundle.DigestOf(body)); err != nil {
		t.Fatal(err)
	}
	breaks := 3
	tp.set(nil, func(req *http.Request, resp *http.Response) (*http.Response, error) {
		if breaks--; breaks >= 0 {
			resp.Body = brokenBody{io.LimitReader(resp.Body, 300_007), resp.Body}
		}
		return resp, nil
	})
	for _, c := range []struct{ offset, length, to int64 }{{0, -1, 1_000_000}, {5, 900_000, 900_005}, {77, -1, 1_000_000}} {
		breaks = 2
		r, err := d.Get(t.Context(), "aa/x", c.offset, c.length)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, body[c.offset:c.to]) {
			t.Errorf("Get(%d, %d): %d bytes, %v", c.offset, c.length, len(got), err)
		}
	}
}

func TestWrongChecksumIsRefusedByTheStore(t *testing.T) {
	s, tp := s3test.Start(t), newTap(t)
	cfg := config(s, s.NewBucket())
	cfg.Transport = tp
	d := open(t, cfg)
	tp.set(func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodPut { // damage on the way
			body, _ := io.ReadAll(req.Body)
			body[0] ^= 1
			req.Body = io.NopCloser(bytes.NewReader(body))
		}
		return nil, nil
	}, nil)
	body := []byte("content")
	wantKind(t, put(t.Context(), d, "aa/x", body, bundle.DigestOf(body)), bundle.KindCorrupt)
	_, err := d.Stat(t.Context(), "aa/x")
	wantKind(t, err, bundle.KindNotFound)
}

func TestOpenSaysWhatToCorrect(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket()
	for name, c := range map[string]struct {
		change func(*Config)
		kind   bundle.Kind
		says   []string
	}{
		"missing bucket": {func(c *Config) { c.Bucket = "no-such" }, bundle.KindUnavailable, []string{"no-such", "create it"}},
		"unknown key":    {func(c *Config) { c.AccessKeyID = "other" }, bundle.KindUnavailable, []string{"access_key_id"}},
		"wrong secret":   {func(c *Config) { c.SecretAccessKey = "other" }, bundle.KindUnavailable, []string{"secret_access_key"}},
		"half a key":     {func(c *Config) { c.SecretAccessKey = "" }, bundle.KindInvalid, []string{"go together"}},
		"no scheme":      {func(c *Config) { c.Endpoint = "127.0.0.1:9000" }, bundle.KindInvalid, []string{"http://host:port"}},
		"a path":         {func(c *Config) { c.Endpoint += "/bucket" }, bundle.KindInvalid, []string{"settings of their own"}},
		"no bucket":      {func(c *Config) { c.Bucket = "" }, bundle.KindInvalid, []string{"bucket is empty"}},
		"nobody there":   {func(c *Config) { c.Endpoint, c.Attempts = "http://127.0.0.1:1", 1 }, bundle.KindUnavailable, []string{"refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(s, bucket)
			c.change(&cfg)
			_, err := Open(t.Context(), cfg)
			wantKind(t, err, c.kind, c.says...)
		})
	}
}

func TestOpenCreatesABucketIfAsked(t *testing.T) {
	s := s3test.Start(t)
	cfg := config(s, "made-by-open")
	cfg.CreateBucket = true
	for range 2 {
		d := open(t, cfg)
		if _, err := d.Stat(t.Context(), "aa/x"); !bundle.IsKind(err, bundle.KindNotFound) {
			t.Errorf("Stat: %v", err)
		}
	}
}

func TestForbiddenIsNotMistakenForAbsence(t *testing.T) {
	s, tp := s3test.Start(t), newTap(t)
	cfg := config(s, s.NewBucket())
	cfg.Transport, cfg.Attempts = tp, 1
	d := open(t, cfg)
	tp.set(func(req *http.Request) (*http.Response, error) { return answer(req, http.StatusForbidden), nil }, nil)
	_, err := d.Stat(t.Context(), "aa/x")
	wantKind(t, err, bundle.KindUnavailable, "grant it")
	wantKind(t, d.Delete(t.Context(), "aa/x"), bundle.KindUnavailable, "grant it")
}

func TestLostBucketIsNotMistakenForAbsence(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket()
	d := open(t, config(s, bucket))
	if err := d.core.RemoveBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	_, err := d.Stat(t.Context(), "aa/x")
	wantKind(t, err, bundle.KindUnavailable, "create it")
	_, err = get(t.Context(), d, "aa/x")
	wantKind(t, err, bundle.KindUnavailable, "create it")
	wantKind(t, d.Delete(t.Context(), "aa/x"), bundle.KindUnavailable, "create it")
}

func TestProbeFindsWhatAStoreIgnores(t *testing.T) {
	s, tp := s3test.Start(t), newTap(t)
	cfg := config(s, s.NewBucket())
	cfg.Transport = tp
	d := open(t, cfg)
	r, err := d.Probe(t.Context())
	if err != nil || r != (Report{CreateOnly: true, CompareAndSwap: true, Checksum: true}) || len(r.Warnings()) != 0 {
		t.Errorf("versitygw: %+v, %v", r, err)
	}
	var log bytes.Buffer
	cfg.Logger = newLogger(&log)
	cfg.Endpoint = unconditional(t) // a store that never looks at them
	r, err = open(t, cfg).Probe(t.Context())
	if err != nil || r != (Report{}) || len(r.Warnings()) != 3 {
		t.Errorf("careless store: %+v, %v", r, err)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 3 {
		t.Errorf("Open logged %d warnings:\n%s", n, log.String())
	}
	err = d.List(t.Context(), "", func(o storage.ObjectInfo) error { return fmt.Errorf("left behind: %s", o.Key) })
	if err != nil {
		t.Error(err)
	}
}

func TestPresignedURLReadsWithoutAKey(t *testing.T) {
	s := s3test.Start(t)
	d := open(t, config(s, s.NewBucket()))
	body := []byte("content")
	if err := put(t.Context(), d, "aa/x", body, bundle.DigestOf(body)); err != nil {
		t.Fatal(err)
	}
	u, err := d.PresignGet(t.Context(), "aa/x", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := newTap(t).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || !bytes.Equal(got, body) {
		t.Errorf("%d %q %v", resp.StatusCode, got, err)
	}
}
