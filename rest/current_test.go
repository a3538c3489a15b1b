package rest

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

// A node that cannot know what was changed elsewhere refuses no change for good.
func TestNoChangeIsDecidedOnAnOldState(t *testing.T) {
	current, asked := true, ""
	lost := bundle.Errorf(bundle.KindUnavailable, "there is no leader; retry: %w", &fs.PathError{Op: "sync", Path: "/var/lib/node", Err: errors.New("input/output error")})
	s := newStack(t, func(c *Config) {
		c.Read = func(_ context.Context, level string) (uint64, bool, error) {
			asked = level
			if !current && level == "strong" {
				return 0, false, lost
			}
			return 1, !current && level != "local", nil
		}
		c.Current = func(context.Context) (uint64, error) {
			asked = "current"
			if !current {
				return 0, lost
			}
			return 1, nil
		}
	})
	unknown := "/api/v1/drafts/" + bundle.NewID().String()
	for _, query := range []string{"", "?consistency=local", "?consistency=consistent", "?consistency=strong"} {
		want := "current"
		if strings.HasSuffix(query, "strong") {
			want = "strong"
		}
		current = true
		s.json("PATCH", unknown+query, `{"files":{}}`).want(t, http.StatusNotFound)
		if asked != want {
			t.Errorf("PATCH %s was decided at level %q", query, asked)
		}
		current = false
		for _, c := range []struct{ method, path, body string }{
			{"PATCH", unknown, `{"files":{}}`}, {"DELETE", unknown, ""}, {"POST", unknown + "/commit", ""},
			{"POST", "/api/v1/drafts", `{"bundle_uuid":"` + bundle.NewID().String() + `","name":"x"}`},
			{"PUT", unknown + "/files/a", "content"},
		} {
			a := s.json(c.method, c.path+query, c.body).want(t, http.StatusServiceUnavailable)
			if strings.Contains(a.body, "/var") || !strings.Contains(a.body, "there is no leader; retry") || a.Header.Get(headerStale) != "" {
				t.Errorf("%s %s%s: %v %s", c.method, c.path, query, a.Header, a.body)
			}
		}
	}
	if a := s.json("GET", "/api/v1/drafts", "").want(t, http.StatusOK); a.Header.Get(headerStale) != "true" {
		t.Errorf("a read: %v", a.Header)
	}
	s.do("GET", "/api/v1/drafts", "", "", "Authorization", "Token of a moment ago").want(t, http.StatusUnauthorized)
	s.do("GET", "/api/v1/drafts", "", "", "Authorization", "Token unheard").want(t, http.StatusServiceUnavailable)
	current = true
	s.do("GET", "/api/v1/drafts", "", "", "Authorization", "Token unheard").want(t, http.StatusUnauthorized)
}
