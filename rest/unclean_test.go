package rest

import (
	"net/http"
	"strings"
	"testing"
)

func TestAnUncleanPathIsNotFoundInsteadOfAnother(t *testing.T) {
	s := newStack(t, nil)
	_, draft := s.draft(t)
	for _, path := range []string{
		"/api/v1/drafts/" + draft + "/files/a//b", "/api/v1/drafts/" + draft + "/files/a/./b",
		"/api/v1/drafts/" + draft + "/files/a/../b", "/api/v1/drafts/" + draft + "/files/a/..",
		"/api/v1//drafts/" + draft + "/files/a", "//api/v1/drafts/" + draft + "/files/a",
	} {
		a := s.do("PUT", s.server.URL+path, "", "content").want(t, http.StatusNotFound)
		if a.Header.Get("Location") != "" {
			t.Errorf("%s leads to %s", path, a.Header.Get("Location"))
		}
	}
	for _, path := range []string{"a%2F%2Fb", "%2E%2E", "a/%2E/b"} { // reach the handler, which knows names of files
		s.do("PUT", "/api/v1/drafts/"+draft+"/files/"+path, "", "content").want(t, http.StatusBadRequest)
	}
	if shown := s.do("GET", "/api/v1/drafts/"+draft, "", "").want(t, http.StatusOK).body; !strings.Contains(shown, `"files":{}`) {
		t.Errorf("something was stored: %s", shown)
	}
}
