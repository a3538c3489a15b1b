package syndication

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

func exampleInvitation() invitation {
	return invitation{
		Issuer: idA, Fingerprint: bundle.Digest{1, 2}, Secret: [32]byte{3, 4}, Expires: time.Unix(1_800_000_000, 0).UTC(),
		Addresses: []string{"https://north.example.org/blocks", "http://127.0.0.1:18251"},
	}
}

func TestInvitationSurvivesItsToken(t *testing.T) {
	i := exampleInvitation()
	token, err := i.token()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "invitation.txt", []byte(token+"\n"))
	got, err := parseInvitation(" " + token + "\n")
	if err != nil || !reflect.DeepEqual(got, i) {
		t.Fatalf("got %+v, %v", got, err)
	}
	for cut := range len(token) {
		if _, err := parseInvitation(token[:cut]); !bundle.IsKind(err, bundle.KindInvalid) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	pin := "#sha256=" + base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	tests := []struct {
		address  string
		ok       bool
		loopback bool
		allowed  bool
	}{
		{"https://north.example.org", true, false, true},
		{"https://north.example.org:8443/blocks/" + pin, true, false, true},
		{"http://north.example.org", true, false, false},
		{"http://127.0.0.1:18251", true, true, true},
		{"http://[::1]:18251", true, true, true},
		{"http://localhost:1", true, true, true},
		{"http://127.0.0.1.example.org", true, false, false},
		{"http://127.0.0.1:1" + pin, false, false, false},
		{"https://x#sha256=short", false, false, false},
		{"https://x#frag", false, false, false},
		{"ftp://x", false, false, false},
		{"https://", false, false, false},
		{"https://user@x", false, false, false},
		{"https://x?q=1", false, false, false},
		{"https://" + strings.Repeat("x", 600), false, false, false},
		{"", false, false, false},
	}
	for _, tt := range tests {
		a, err := parseAddress(tt.address)
		if (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.address, err)
			continue
		}
		if err == nil && (a.loopback() != tt.loopback || (a.allowed(false) == nil) != tt.allowed || a.allowed(true) != nil) {
			t.Errorf("%q: loopback %v, allowed %v", tt.address, a.loopback(), a.allowed(false))
		}
	}
}

// FuzzParseInvitation feeds the parser what someone may paste.
func FuzzParseInvitation(f *testing.F) {
	token, err := exampleInvitation().token()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("bsp1_")
	f.Add("https://example.org")
	f.Fuzz(func(t *testing.T, token string) {
		i, err := parseInvitation(token)
		if err != nil {
			return
		}
		again, err := i.token()
		if err != nil {
			t.Fatal(err)
		}
		if j, err := parseInvitation(again); err != nil || !reflect.DeepEqual(i, j) {
			t.Fatalf("%+v became %+v, %v", i, j, err)
		}
	})
}
