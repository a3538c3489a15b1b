package deploy_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/blockstored/blockstored/bench/site"
)

// TestRequestsGoToTheNodeThatAnswers has nginx look for a second node where none is,
// and where one says that it cannot serve.
func TestRequestsGoToTheNodeThatAnswers(t *testing.T) {
	nowhere, err := site.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := startSite(t, site.Config{Name: "site"})
	api := strings.TrimPrefix(s.URL(), "http://")
	h := newHost(t, startNginx(t, upstream{api: api, peer: "127.0.0.1:9", second: nowhere}), s)
	for range 6 { // about every other of which is meant for nobody
		h.api(t, "POST", "collections", map[string]string{"title": "Collection"}).want(t, http.StatusCreated)
		h.api(t, "GET", "collections", nil).want(t, http.StatusOK)
	}

	var changes atomic.Int64
	joining := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			changes.Add(1)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer joining.Close()
	second := strings.TrimPrefix(joining.URL, "http://")
	h = &host{front: startNginx(t, upstream{api: api, peer: "127.0.0.1:9", second: second}), site: s, token: h.token}
	refused := int64(0)
	for range 6 {
		h.api(t, "GET", "collections", nil).want(t, http.StatusOK)
		if h.api(t, "POST", "collections", map[string]string{"title": "Collection"}).status == http.StatusServiceUnavailable {
			refused++
		}
	}
	if refused == 0 || refused != changes.Load() {
		t.Errorf("%d changes were sent to the node that cannot serve, and %d were told so", changes.Load(), refused)
	}
}
