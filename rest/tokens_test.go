package rest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
)

func TestATokenIsShownOnceAndEndsWhenItIsRevokedOrExpires(t *testing.T) {
	s := newStack(t, nil)
	made := s.operate("POST", "/admin/v1/tokens", `{"name":"studio","role":"writer","expires_in":60}`).want(t, 201)
	var token struct {
		Name, Role, Token string
		Expires           time.Time `json:"expires_at"`
	}
	check(t, json.Unmarshal([]byte(made.body), &token))
	if token.Name != "studio" || token.Role != "writer" || !token.Expires.Equal(s.clock.Now().Add(time.Minute)) {
		t.Fatalf("made %+v", token)
	}
	use := func(want int) {
		t.Helper()
		s.do("GET", "/api/v1/", "", "", "Authorization", "Token "+token.Token).want(t, want)
	}
	use(200)
	if list := s.operate("GET", "/admin/v1/tokens", "").want(t, 200).body; strings.Contains(list, token.Token) || !strings.Contains(list, `"state":"live"`) {
		t.Errorf("listed %s", list)
	}
	s.clock.advance(2 * time.Minute)
	use(401)
	s.operate("POST", "/admin/v1/tokens", `{"name":"host","role":"writer"}`).want(t, 409)
	s.operate("DELETE", "/admin/v1/tokens/host", "").want(t, 204)
	s.do("GET", "/api/v1/", "", "").want(t, 401)
	s.operate("DELETE", "/admin/v1/tokens/host", "").want(t, 404)
	bad := s.operate("POST", "/admin/v1/tokens", `{"name":"","role":"king","expires_in":-1,"token":"short"}`).want(t, 400)
	want := `{"name":["Give a name of 1 to 100 bytes."],"role":["\"king\" is not a role; the roles are reader, writer and operator"],` +
		`"expires_in":["Give seconds from now, or 0 for a token that does not expire."],"token":["Give a key of 32 to 200 characters; this one has 5."]}`
	if bad.body != want {
		t.Errorf("%s, want %s", bad.body, want)
	}
	s.operate("POST", "/admin/v1/tokens", `{"name":"x","role":"writer","expires_in":1e300}`).want(t, 400)
	s.operate("POST", "/admin/v1/tokens", `{"nom":"x"}`).want(t, 400)
}

func TestAKeyOfTheSiteIsTakenAndNotShown(t *testing.T) {
	const key = "6f1d-the-key-that-the-site-had-before"
	s := newStack(t, nil)
	use := func(want int) {
		t.Helper()
		s.do("GET", "/api/v1/", "", "", "Authorization", "Token "+key).want(t, want)
	}
	use(401)
	body := `{"name":"lms","role":"reader","token":"` + key + `"}`
	if got := s.operate("POST", "/admin/v1/tokens", body).want(t, 201).body; got != `{"name":"lms","role":"reader","expires_at":null}` {
		t.Error(got)
	}
	use(200)
	if list := s.operate("GET", "/admin/v1/tokens", "").body; strings.Contains(list, key) || strings.Contains(list, access.HashToken(key).String()) {
		t.Errorf("listed %s", list)
	}
	same := s.operate("POST", "/admin/v1/tokens", `{"name":"studio","role":"writer","token":"`+key+`"}`).want(t, 409)
	if strings.Contains(same.body, key) {
		t.Error(same.body)
	}
	s.operate("DELETE", "/admin/v1/tokens/lms", "").want(t, 204)
	use(401)
	s.operate("POST", "/admin/v1/tokens", body).want(t, 409) // once it may have leaked, it is not taken again
}

func TestARepeatedRequestForATokenMakesOne(t *testing.T) {
	s := newStack(t, nil)
	create := func(body string) answer {
		return s.do("POST", s.admin.URL+"/admin/v1/tokens", "application/json", body, "Authorization", "", "Idempotency-Key", body)
	}
	create(`{"name":"lms","role":"writer"}`).want(t, 201)
	create(`{"name":"lms","role":"writer"}`).want(t, 409) // it would show one that is not good
	brought := `{"name":"studio","role":"writer","token":"` + strings.Repeat("k", 40) + `"}`
	first := create(brought).want(t, 201)
	if again := create(brought).want(t, 201); again.body != first.body {
		t.Errorf("%s, then %s", first.body, again.body)
	}
}

// requestTo returns a path that the pattern meets.
func requestTo(t *testing.T, rt *route) string {
	t.Helper()
	id := bundle.NewID().String()
	if rt.id == versionID {
		id += ",1"
	}
	path := strings.NewReplacer(
		"{$}", "", "{id}", id, "{digest}", strings.Repeat("ab", 32), "{path...}", "a/b", "{to}", "2", "{name}", "nobody", "{peer}", "nobody", "{node}", "nobody",
	).Replace(rt.pattern)
	if strings.Contains(path, "{") {
		t.Fatalf("%s has a wildcard that this test does not know", rt.pattern)
	}
	return path
}

func TestRolesLimitWhatATokenMayDoOnEveryRoute(t *testing.T) {
	s := newStack(t, nil)
	tokens := map[string]string{"nobody": "", "reader": s.newToken("r", "reader"), "writer": s.newToken("w", "writer"), "operator": s.newToken("o", "operator")}
	counts := map[string]int{}
	for _, rt := range s.api.routes() {
		for method := range rt.methods {
			needs := "reader"
			switch {
			case rt.manner == asSigned || rt.manner == asProbe:
				needs = ""
			case rt.manner == asAdmin:
				needs = "operator"
			case method != http.MethodGet:
				needs = "writer"
			}
			if strings.HasPrefix(rt.pattern, "/admin/") != (needs == "operator") {
				t.Errorf("%s is the operators' by its path or by its manner, not by both", rt.pattern)
			}
			counts[needs]++
			path := requestTo(t, rt)
			for rank, role := range []string{"nobody", "reader", "writer", "operator"} {
				auth := ""
				if tokens[role] != "" {
					auth = "Token " + tokens[role]
				}
				got := s.do(method, path, "application/json", "{}", "Authorization", auth).StatusCode
				need := map[string]int{"": 0, "reader": 1, "writer": 2, "operator": 3}[needs]
				want := "let through"
				bad := got == http.StatusUnauthorized || got == http.StatusForbidden && needs != "" // a signature may be wrong
				switch {
				case rank >= need:
				case rank == 0:
					want, bad = "401", got != http.StatusUnauthorized
				default:
					want, bad = "403", got != http.StatusForbidden
				}
				if bad {
					t.Errorf("%s %s as %s: %d, want %s", method, path, role, got, want)
				}
			}
		}
	}
	for needs, least := range map[string]int{"": 5, "reader": 15, "writer": 15, "operator": 15} {
		if counts[needs] < least {
			t.Errorf("only %d requests need %q: the walk is wrong", counts[needs], needs)
		}
	}
}
