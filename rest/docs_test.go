package rest

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTheDescriptionAndItsPageNeedNoToken(t *testing.T) {
	s := newStack(t, nil)
	for _, base := range []string{s.server.URL, s.admin.URL} {
		a := s.do("GET", base+"/api/openapi.json", "", "", "Authorization", "").want(t, 200)
		var d struct{ OpenAPI string }
		check(t, json.Unmarshal([]byte(a.body), &d))
		if d.OpenAPI != "3.1.0" || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("OpenAPI %q of type %s", d.OpenAPI, a.Header.Get("Content-Type"))
		}
		a = s.do("GET", base+"/api/docs", "", "", "Authorization", "", "Accept", "text/html").want(t, 200)
		if policy := a.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") {
			t.Errorf("the policy is %q", policy)
		}
		if !strings.HasPrefix(a.body, "<!DOCTYPE html>") || !strings.HasSuffix(strings.TrimSpace(a.body), "</html>") {
			t.Errorf("the page is %d bytes and begins with %.40s", len(a.body), a.body)
		}
		s.do("HEAD", base+"/api/docs", "", "", "Authorization", "").want(t, 200)
		s.do("POST", base+"/api/docs", "", "", "Authorization", "").want(t, 405)
	}
}
