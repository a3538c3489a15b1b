package access

import (
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

func TestAuthenticateKnowsLiveTokensOnly(t *testing.T) {
	db, err := catalog.Open(t.Context(), t.TempDir(), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Unix(1_800_000_000, 0)
	index := uint64(0)
	apply := func(body catalog.Body) {
		t.Helper()
		data, err := catalog.NewCommand(now, body).Encode()
		if err != nil {
			t.Fatal(err)
		}
		index++
		results, err := db.Apply([]catalog.Entry{{Index: index, Term: 1, Data: data}})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
	live, liveHash := NewToken()
	short, shortHash := NewToken()
	gone, goneHash := NewToken()
	unknown, _ := NewToken()
	apply(catalog.CreateToken{ID: bundle.NewID(), Name: "live", Role: string(RoleWriter), Hash: liveHash})
	apply(catalog.CreateToken{ID: bundle.NewID(), Name: "short", Role: string(RoleReader), Hash: shortHash, Expires: now.Add(time.Hour).UnixMicro()})
	apply(catalog.CreateToken{ID: bundle.NewID(), Name: "gone", Role: string(RoleReader), Hash: goneHash})
	apply(catalog.RevokeToken{Name: "gone"})

	if token, err := Authenticate(t.Context(), db, live, now); err != nil || token.Name != "live" || !Allows(token.Role, ActionWrite) {
		t.Errorf("live: %+v, %v", token, err)
	}
	if _, err := Authenticate(t.Context(), db, short, now); err != nil {
		t.Errorf("not yet expired: %v", err)
	}
	for name, token := range map[string]string{"expired": short, "revoked": gone, "unknown": unknown, "empty": "", "garbage": "abc"} {
		_, err := Authenticate(t.Context(), db, token, now.Add(2*time.Hour))
		if !bundle.IsKind(err, bundle.KindUnauthorized) || err.Error() != "Invalid token." {
			t.Errorf("%s: %v", name, err)
		}
	}
}
