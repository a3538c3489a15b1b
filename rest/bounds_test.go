package rest

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/catalog"
)

// The contract's tables hold what can be written down; here is what is too long
// for them, or compares two answers.

func TestTextsHaveTheirLengths(t *testing.T) {
	s := newStack(t, nil)
	_, b := s.publish(t)
	for _, c := range []struct {
		path, field string
		limit       int
	}{
		{"/api/v1/bundles/" + b, "description", maxDescription},
		{"/api/v1/bundle_versions/" + b + ",1", "change_description", maxChangeDescription},
	} {
		text := strings.Repeat("é", c.limit)
		if got := s.json("PATCH", c.path, `{"`+c.field+`":" `+text+`\n"}`).want(t, 200).field(t, c.field); got != text {
			t.Errorf("%s: %d bytes came back", c.field, len(got))
		}
		a := s.json("PATCH", c.path, `{"`+c.field+`":"`+text+`é"}`).want(t, 400)
		if want := fmt.Sprintf(`{"%s":["Ensure this field has no more than %d characters."]}`, c.field, c.limit); a.body != want {
			t.Errorf("%s: %s", c.field, a.body)
		}
	}
}

// TestDeepAndHugeJSONIsRefusedOrRead sends what makes parsers fall over.
func TestDeepAndHugeJSONIsRefusedOrRead(t *testing.T) {
	s := newStack(t, nil)
	_, draft := s.draft(t)
	deep := func(open, end string, n int) string { return strings.Repeat(open, n) + "1" + strings.Repeat(end, n) }
	for _, path := range []string{"/api/v1/collections", "/api/v1/drafts/" + draft} {
		method := "POST"
		if strings.Contains(path, "drafts") {
			method = "PATCH"
		}
		for _, body := range []string{deep("[", "]", 200_000), `{"title":` + deep("[", "]", 200_000) + `}`, deep(`{"files":`, "}", 100_000)} {
			a := s.json(method, path, body).want(t, 400)
			if !strings.HasPrefix(a.body, `{"detail":"JSON parse error - `) {
				t.Errorf("%s: %s", path, a.body[:min(len(a.body), 200)])
			}
		}
	}
	s.json("POST", "/api/v1/collections", `{"x":`+deep("[", "]", 5000)+`,"title":"deep enough"}`).want(t, 201)
	s.json("POST", "/api/v1/collections", `{"title":"1e`+strings.Repeat("9", 300)+`"}`).want(t, 400)
	s.json("POST", "/api/v1/collections", `{"title":1`+strings.Repeat("0", 170)+`}`).want(t, 201)
	var wide strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&wide, `"k%d":%d,`, i, i)
	}
	s.json("POST", "/api/v1/collections", `{`+wide.String()+`"title":"wide"}`).want(t, 201)
}

// TestUpdatedAtChangesWithEveryPatch: edx-platform takes it for the version of a
// draft in its cache.
func TestUpdatedAtChangesWithEveryPatch(t *testing.T) {
	s := newStack(t, nil) // whose clock stands still
	_, draft := s.draft(t)
	path := "/api/v1/drafts/" + draft
	seen := make(map[string]bool)
	for _, body := range []string{`{"files":{"a":"YQ=="}}`, `{"files":{"a":"YQ=="}}`, `{}`, `{"files":{"a":null}}`, `{"files":{"a":null}}`} {
		s.json("PATCH", path, body).want(t, 204)
		var d struct {
			StagedDraft struct {
				CreatedAt string `json:"created_at"`
				UpdatedAt string `json:"updated_at"`
			} `json:"staged_draft"`
		}
		check(t, json.Unmarshal([]byte(s.json("GET", path, "").want(t, 200).body), &d))
		at, err := time.Parse(time.RFC3339Nano, d.StagedDraft.UpdatedAt)
		if err != nil || at.Location() != time.UTC || seen[d.StagedDraft.UpdatedAt] || d.StagedDraft.UpdatedAt <= d.StagedDraft.CreatedAt {
			t.Errorf("after %s: %s, made %s (%v)", body, d.StagedDraft.UpdatedAt, d.StagedDraft.CreatedAt, err)
		}
		seen[d.StagedDraft.UpdatedAt] = true
	}
}

func TestTimesHaveSixDigitsOrNone(t *testing.T) {
	for micros, want := range map[int64]string{
		1_795_418_586_414_325: `"2026-11-23T07:23:06.414325Z"`,
		1_795_418_586_000_001: `"2026-11-23T07:23:06.000001Z"`,
		1_795_418_586_500_000: `"2026-11-23T07:23:06.500000Z"`,
		1_795_418_586_000_000: `"2026-11-23T07:23:06Z"`,
	} {
		if got := string(appendTime(nil, micros)); got != want {
			t.Errorf("%d: %s, want %s", micros, got, want)
		}
	}
}

// TestTheRootAloneHasASlashAtItsEnd also without a token: what is no path is
// found out first.
func TestTheRootAloneHasASlashAtItsEnd(t *testing.T) {
	s := newStack(t, nil)
	for _, path := range []string{"collections/", "bundles/", "bundle_versions/", "drafts/", "collections/x/", "../../API/v1/"} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			s.do(method, "/api/v1/"+path, "", "", "Authorization", "").want(t, 404)
		}
	}
}

func TestADraftIsFoundByAnySpellingOfItsID(t *testing.T) {
	s := newStack(t, nil)
	_, draft := s.draft(t)
	for _, id := range []string{strings.ToUpper(draft), strings.ReplaceAll(draft, "-", ""), "urn:uuid:" + draft} {
		if got := s.json("GET", "/api/v1/drafts/"+id, "").want(t, 200).field(t, "uuid"); got != draft {
			t.Errorf("%s is %s", id, got)
		}
	}
	for _, id := range []string{draft + "0", draft[1:], "junk", "%2C"} {
		s.json("GET", "/api/v1/drafts/"+id, "").want(t, 404)
	}
}

func TestTheRoleIsJudgedBeforeTheMethodAndTheObject(t *testing.T) {
	s := newStack(t, nil)
	reader := s.newToken("reader", "reader")
	handler := s.api.Handler()
	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{"PURGE", "/api/v1/collections", reader, 403},
		{"PURGE", "/api/v1/drafts/junk", reader, 403},
		{"PURGE", "/api/v1/nothing", reader, 404},
		{"OPTIONS", "/api/v1/drafts/junk", reader, 200},
		{"PURGE", "/api/v1/collections", s.token, 405},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil)
		r.Header.Set("Authorization", "Token "+c.token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, w.Code, c.want, w.Body)
		}
	}
}

// TestHealthSaysThatTheCatalogIsDown asks an API whose catalog is closed: what
// needs no catalog is answered, and nothing is a fault without words.
func TestHealthSaysThatTheCatalogIsDown(t *testing.T) {
	s := newStack(t, func(c *Config) {
		down, err := catalog.Open(t.Context(), t.TempDir(), catalog.Options{})
		check(t, err)
		check(t, down.Close())
		c.Catalog = down
	})
	a := s.do("GET", "/health/", "", "", "Authorization", "").want(t, 503)
	if a.body != `{"overall_status":"UNAVAILABLE","detailed_status":{"database_status":"UNAVAILABLE"}}` {
		t.Error(a.body)
	}
	s.do("GET", "/readyz", "", "", "Authorization", "").want(t, 503)
	s.do("GET", "/livez", "", "", "Authorization", "").want(t, 200)
	a = s.do("GET", "/api/v1/", "", "").want(t, 503)
	if a.Header.Get("Retry-After") == "" || a.Header.Get(headerError) != "unavailable" {
		t.Errorf("%v %s", a.Header, a.body)
	}
}
