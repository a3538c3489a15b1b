package access

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

func TestRoleAllows(t *testing.T) {
	tests := []struct {
		role                 Role
		read, write, operate bool
	}{
		{RoleReader, true, false, false},
		{RoleWriter, true, true, false},
		{RoleOperator, true, true, true},
		{"", false, false, false},
		{"admin", false, false, false},
	}
	for _, tt := range tests {
		if got := [3]bool{tt.role.Allows(ActionRead), tt.role.Allows(ActionWrite), tt.role.Allows(ActionOperate)}; got != [3]bool{tt.read, tt.write, tt.operate} {
			t.Errorf("%q allows %v", tt.role, got)
		}
	}
	if RoleOperator.Allows(ActionOperate + 1) {
		t.Error("an operator may do what does not exist")
	}
}

func TestNewTokenIsLongUniqueAndHashed(t *testing.T) {
	a, ha := NewToken()
	b, hb := NewToken()
	if a == b || ha == hb {
		t.Fatal("two tokens are the same")
	}
	if !strings.HasPrefix(a, TokenPrefix) || len(a) != len(TokenPrefix)+43 {
		t.Errorf("token %q", a)
	}
	if HashToken(a) != ha {
		t.Error("the hash is not the token's")
	}
}

func TestLiveEndsWithExpiryAndRevocation(t *testing.T) {
	now := time.Unix(1000, 0)
	tests := []struct {
		name  string
		token catalog.Token
		want  bool
	}{
		{"for ever", catalog.Token{}, true},
		{"not yet expired", catalog.Token{Expires: now.UnixMicro() + 1}, true},
		{"just expired", catalog.Token{Expires: now.UnixMicro()}, false},
		{"revoked", catalog.Token{Revoked: 1}, false},
	}
	for _, tt := range tests {
		if got := Live(tt.token, now); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestAKeyThatIsBroughtAlongHasAForm(t *testing.T) {
	for key, fine := range map[string]bool{
		strings.Repeat("k", 32):            true,
		strings.Repeat("k", 200):           true,
		strings.Repeat("!~", 20):           true,
		strings.Repeat("k", 31):            false,
		strings.Repeat("k", 201):           false,
		strings.Repeat("k", 32) + " k":     false,
		strings.Repeat("k", 32) + "\n":     false,
		strings.Repeat("k", 32) + "\x7f":   false,
		strings.Repeat("k", 32) + "\x00":   false,
		strings.Repeat("ключ", 10):         false,
		strings.Repeat("k", 32) + "\u00a0": false,
	} {
		err := CheckKey(key)
		if (err == nil) != fine || err != nil && (!bundle.IsKind(err, bundle.KindInvalid) || strings.Contains(err.Error(), key)) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestATokenIsRefusedWithAllThatIsWrong(t *testing.T) {
	_, _, err := TokenRequest{Role: "king", ExpiresIn: -1, Key: "short"}.Prepare(time.Now())
	var e *bundle.Error
	if !errors.As(err, &e) || e.Kind != bundle.KindInvalid || len(e.Fields) != 4 || !strings.HasPrefix(e.Message, "expires_in: Give seconds") {
		t.Errorf("%v", err)
	}
}

func TestATokenHasANameThatAURLCanCarry(t *testing.T) {
	for name, fine := range map[string]bool{".": false, "..": false, "": false, "...": true, ".a": true, "a/..": true, "%2e": true} {
		_, _, err := TokenRequest{Name: name, Role: "reader"}.Prepare(time.Now())
		if (err == nil) != fine {
			t.Errorf("%q: %v", name, err)
		}
	}
}
