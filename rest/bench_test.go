package rest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkVersionDetail reads a version over HTTP, whose cost should grow with
// its files and nothing else.
func BenchmarkVersionDetail(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newStack(b, nil)
			uuid := func(a answer) string {
				_, rest, _ := strings.Cut(a.want(b, 201).body, `"uuid":"`)
				return rest[:36]
			}
			c := uuid(s.json("POST", "/api/v1/collections", `{"title":"Course"}`))
			id := uuid(s.json("POST", "/api/v1/bundles", `{"collection_uuid":"`+c+`","slug":"u","title":"U"}`))
			d := uuid(s.json("POST", "/api/v1/drafts", `{"bundle_uuid":"`+id+`","name":"x"}`))
			var files strings.Builder
			for i := range n {
				fmt.Fprintf(&files, `,"unit/%05d.xml":"%s"`, i, entry(fmt.Sprint(i)))
			}
			s.json("PATCH", "/api/v1/drafts/"+d, `{"files":{`+files.String()[1:]+`}}`).want(b, 204)
			s.do("POST", "/api/v1/drafts/"+d+"/commit", "", "").want(b, 201)
			r, err := http.NewRequestWithContext(b.Context(), "GET", s.server.URL+"/api/v1/bundle_versions/"+id+",1", nil)
			check(b, err)
			r.Header.Set("Authorization", "Token "+s.token)
			client := s.server.Client()
			for b.Loop() {
				resp, err := client.Do(r)
				check(b, err)
				size, err := io.Copy(io.Discard, resp.Body)
				check(b, err)
				check(b, resp.Body.Close())
				b.SetBytes(size)
			}
		})
	}
}
