package site

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

func TestARequestWithAKeyIsSentOnce(t *testing.T) {
	var count atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			return
		}
		if count.Add(1); r.Header.Get("Idempotency-Key") != "k" {
			t.Errorf("headers %v", r.Header)
		}
		panic(http.ErrAbortHandler) // no answer
	}))
	defer server.Close()
	api := NewAPI(server.URL, "token")
	defer api.Close()
	for n, in := range []any{nil, map[string]int{}} {
		if _, err := api.Answer(t.Context(), http.MethodGet, "bundles", "", nil); err != nil { // a connection to use again
			t.Fatal(err)
		}
		if _, err := api.Answer(t.Context(), http.MethodDelete, "drafts/d", "k", in); err == nil {
			t.Error("there was an answer")
		}
		if got := int(count.Load()); got != n+1 {
			t.Errorf("sent %d times", got)
		}
	}
}
