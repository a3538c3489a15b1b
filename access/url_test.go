package access

import (
	"net/url"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

func newURLSigner(t testing.TB, expiry time.Duration) *URLSigner {
	t.Helper()
	s, err := NewURLSigner(make([]byte, 32), expiry)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func query(t testing.TB, s string) url.Values {
	t.Helper()
	q, err := url.ParseQuery(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestSignedURLHoldsForItsPathUntilItExpires(t *testing.T) {
	s := newURLSigner(t, 0)
	now := time.Date(2026, 3, 1, 7, 0, 0, 0, time.UTC)
	q := query(t, s.Sign("/files/a b", now))
	expires, err := s.Verify("/files/a b", q, now)
	if err != nil {
		t.Fatal(err)
	}
	if left := expires.Sub(now); left < DefaultURLExpiry || left > DefaultURLExpiry*5/4 {
		t.Errorf("valid for %s", left)
	}
	if _, err := s.Verify("/files/a b", q, expires.Add(-time.Second)); err != nil {
		t.Errorf("just before its end: %v", err)
	}
	for name, verify := range map[string]func() error{
		"expired":    func() error { _, err := s.Verify("/files/a b", q, expires); return err },
		"other path": func() error { _, err := s.Verify("/files/a", q, now); return err },
		"no query":   func() error { _, err := s.Verify("/files/a b", nil, now); return err },
		"extended": func() error {
			_, err := s.Verify("/files/a b", url.Values{urlExpires: {"9999999999"}, urlSignature: q[urlSignature]}, now)
			return err
		},
	} {
		if err := verify(); !bundle.IsKind(err, bundle.KindForbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignedURLStaysTheSameForHours(t *testing.T) {
	s := newURLSigner(t, 24*time.Hour)
	at := time.Date(2026, 3, 1, 0, 1, 0, 0, time.UTC)
	if a, b := s.Sign("/p", at), s.Sign("/p", at.Add(5*time.Hour)); a != b {
		t.Errorf("%s became %s", a, b)
	}
	if a, b := s.Sign("/p", at), s.Sign("/p", at.Add(7*time.Hour)); a == b {
		t.Error("the URL never changes")
	}
}

// What was signed yesterday must hold today: the form of a signature is fixed.
func TestSignatureIsTheOneThatBrowsersHold(t *testing.T) {
	s := newURLSigner(t, 24*time.Hour)
	at := time.Date(2026, 3, 1, 0, 1, 0, 0, time.UTC)
	const want = "expires=1772431200&signature=NcMjHuqp_lV2TGWYaNO-ymDQqt2W5tlWZgksUIlS6-U"
	for range 2 { // the second signs with what the first left
		if got := s.Sign("/files/a b", at); got != want {
			t.Errorf("signed as %s, want %s", got, want)
		}
	}
	if got := string(s.AppendQuery([]byte("x?"), []byte("/files/a b"), at)); got != "x?"+want {
		t.Errorf("appended as %s", got)
	}
}

func BenchmarkSign(b *testing.B) {
	s := newURLSigner(b, 0)
	path, now := make([]byte, 120), time.Now()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = s.AppendQuery(buf[:0], path, now)
	}
}
