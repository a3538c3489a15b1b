package s3

import (
	"crypto/md5"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

func newLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// unconditional returns the address of a store that knows no conditions and
// checks no checksum, as some do.
func unconditional(t *testing.T) string {
	var mu sync.Mutex
	objects := map[string][]byte{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case req.URL.Query().Has("list-type"):
			fmt.Fprint(w, `<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>`)
		case req.Method == http.MethodPut:
			body, err := io.ReadAll(req.Body)
			if err != nil {
				t.Error(err)
			}
			objects[req.URL.Path] = body
			w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(body)))
		case req.Method == http.MethodDelete:
			delete(objects, req.URL.Path)
			w.WriteHeader(http.StatusNoContent)
		default:
			http.NotFound(w, req)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}
