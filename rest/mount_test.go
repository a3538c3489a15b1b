package rest

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestTheMountIsWhatTheHostsMuxTookFromThePath(t *testing.T) {
	for _, tt := range []struct{ strip, target, want string }{
		{"", "/api/v1/bundles?x=/blocks", ""},
		{"/blocks", "/blocks/api/v1/bundles?limit=1", "/blocks"},
		{"/a/b", "/a/b/api/v1/drafts/x/files/c%2Fd%20e", "/a/b"},
		{"/ü", "/%C3%BC/api/v1/", "/%C3%BC"},
		{"/blocks", "http://host.example/blocks/api/v1/", "/blocks"},
		{"", "http://host.example/api/v1/", ""},
	} {
		got := "no request"
		h := http.StripPrefix(tt.strip, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = mounted(r) }))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, tt.target, nil))
		if got != tt.want {
			t.Errorf("%s without %q: %q, want %q", tt.target, tt.strip, got, tt.want)
		}
	}
	other := httptest.NewRequest(http.MethodGet, "/something/else", nil)
	other.URL.Path = "/api/v1/"
	if got := mounted(other); got != "" {
		t.Errorf("a path that was rewritten: %q", got)
	}
}
