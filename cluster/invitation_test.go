package cluster

import (
	"bytes"
	"encoding/base64"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

var invitationKey = bytes.Repeat([]byte{7}, 32)

func invitation() Invitation {
	return Invitation{
		Instance: bundle.ID{1, 2, 3}, Expires: 2_000_000_000, Authority: bundle.Digest{4, 5, 6},
		Addresses: []string{"10.0.0.1:18252", "[fd00::2]:18252"},
	}
}

func TestInvitationTokenIsAsWritten(t *testing.T) {
	got, err := invitation().Token(invitationKey)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/invitation.txt", []byte(got+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/invitation.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got+"\n" != string(want) {
		t.Errorf("got %s, want %s", got, want)
	}
	back, err := CheckInvitation(string(want), invitationKey, invitation().Instance, time.Unix(1_999_999_999, 0))
	if err != nil || back.Authority != invitation().Authority || back.Expires != 2_000_000_000 || len(back.Addresses) != 2 {
		t.Errorf("read back %+v, %v", back, err)
	}
}

func TestInvitationIsRefused(t *testing.T) {
	token, err := invitation().Token(invitationKey)
	if err != nil {
		t.Fatal(err)
	}
	before := time.Unix(1_999_999_999, 0)
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, InvitationPrefix))
	if err != nil {
		t.Fatal(err)
	}
	longer := bytes.Replace(raw, []byte("2000000000"), []byte("2100000000"), 1)
	for name, c := range map[string]struct {
		token string
		key   []byte
		of    bundle.ID
		at    time.Time
		kind  bundle.Kind
	}{
		"of another instance":    {token, invitationKey, bundle.ID{9}, before, bundle.KindForbidden},
		"under another key":      {token, bytes.Repeat([]byte{8}, 32), invitation().Instance, before, bundle.KindForbidden},
		"when it has expired":    {token, invitationKey, invitation().Instance, time.Unix(2_000_000_000, 0), bundle.KindForbidden},
		"made to last longer":    {InvitationPrefix + base64.RawURLEncoding.EncodeToString(longer), invitationKey, invitation().Instance, before, bundle.KindForbidden},
		"cut short":              {token[:len(token)-5], invitationKey, invitation().Instance, before, bundle.KindInvalid},
		"of peers, not of nodes": {"bsp1_" + token[5:], invitationKey, invitation().Instance, before, bundle.KindInvalid},
		"empty":                  {"", invitationKey, invitation().Instance, before, bundle.KindInvalid},
	} {
		if _, err := CheckInvitation(c.token, c.key, c.of, c.at); !bundle.IsKind(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAddressesThatNobodyCanDialAreRefused(t *testing.T) {
	for _, a := range []string{"", "10.0.0.1", ":18252", "0.0.0.0:18252", "[::]:18252", "n1:0", "n1:"} {
		if err := CheckAddress(a); !bundle.IsKind(err, bundle.KindInvalid) {
			t.Errorf("%q: %v", a, err)
		}
		i := invitation()
		i.Addresses = []string{a}
		if _, err := i.Token(invitationKey); err == nil {
			t.Errorf("an invitation to %q", a)
		}
	}
	for _, a := range []string{"n1:18252", "10.0.0.1:1", "[fd00::2]:18252"} {
		if err := CheckAddress(a); err != nil {
			t.Error(err)
		}
	}
}

// FuzzInvitation checks that a token that is read has what joining needs, and
// that none passes that the key did not make.
func FuzzInvitation(f *testing.F) {
	token, err := invitation().Token(invitationKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add(InvitationPrefix)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		i, err := ParseInvitation(text)
		if err != nil {
			return
		}
		if len(i.Addresses) == 0 || i.Instance == (bundle.ID{}) || i.Authority.IsZero() {
			t.Errorf("%q was read as %+v", text, i)
		}
		if _, err := CheckInvitation(text, invitationKey, i.Instance, time.Unix(0, 0)); err == nil && strings.TrimSpace(text) != token {
			t.Errorf("%q passes", text)
		}
	})
}
