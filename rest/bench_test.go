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
			id, d := s.newDraft(b)
			var files strings.Builder
			for i := range n {
				fmt.Fprintf(&files, `,"unit/%05d.xml":"%s"`, i, entry(fmt.Sprint(i)))
			}
			s.json("PATCH", "/api/v1/drafts/"+d, `{"files":{`+files.String()[1:]+`}}`).want(b, 204)
			s.do("POST", "/api/v1/drafts/"+d+"/commit", "", "").want(b, 201)
			s.readAgain(b, s.server.URL+"/api/v1/bundle_versions/"+id+",1")
		})
	}
}

// BenchmarkFile reads a small file by its signed URL.
func BenchmarkFile(b *testing.B) {
	s := newStack(b, nil)
	id, draft := s.newDraft(b)
	s.json("PATCH", "/api/v1/drafts/"+draft, `{"files":{"page.xml":"`+entry(strings.Repeat("x", 4<<10))+`"}}`).want(b, 204)
	s.do("POST", "/api/v1/drafts/"+draft+"/commit", "", "").want(b, 201)
	detail := s.do("GET", "/api/v1/bundle_versions/"+id+",1", "", "").want(b, 200).body
	_, url, _ := strings.Cut(detail, `"page.xml":{"url":"`)
	url, _, _ = strings.Cut(url, `"`)
	s.readAgain(b, url)
}

// newDraft makes a bundle with a draft.
func (s *stack) newDraft(b *testing.B) (id, draft string) {
	uuid := func(a answer) string {
		_, rest, _ := strings.Cut(a.want(b, 201).body, `"uuid":"`)
		return rest[:36]
	}
	c := uuid(s.json("POST", "/api/v1/collections", `{"title":"Course"}`))
	id = uuid(s.json("POST", "/api/v1/bundles", `{"collection_uuid":"`+c+`","slug":"u","title":"U"}`))
	return id, uuid(s.json("POST", "/api/v1/drafts", `{"bundle_uuid":"`+id+`","name":"x"}`))
}

// readAgain reads a URL again and again.
func (s *stack) readAgain(b *testing.B, url string) {
	r, err := http.NewRequestWithContext(b.Context(), "GET", url, nil)
	check(b, err)
	r.Header.Set("Authorization", "Token "+s.token)
	client := s.server.Client()
	b.ReportAllocs()
	for b.Loop() {
		resp, err := client.Do(r)
		check(b, err)
		size, err := io.Copy(io.Discard, resp.Body)
		check(b, err)
		check(b, resp.Body.Close())
		if resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status)
		}
		b.SetBytes(size)
	}
}
