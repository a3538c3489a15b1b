package client

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

func TestRefusalsBecomeErrorsWithKindAndText(t *testing.T) {
	tests := []struct {
		name   string
		status int
		header string
		body   string
		kind   bundle.Kind
		text   string
		fields map[string]string
	}{
		{"detail", 404, "not_found", `{"detail":"Not found."}`, bundle.KindNotFound, "Not found.", nil},
		{"no header", 401, "", `{"detail":"Invalid token."}`, bundle.KindUnauthorized, "Invalid token.", nil},
		{"array", 400, "invalid", `["Draft has no changes to commit."]`, bundle.KindInvalid, "Draft has no changes to commit.", nil},
		{"fields", 400, "invalid", `{"title":["This field is required."],"slug":["Enter.","Short."]}`, bundle.KindInvalid,
			"slug: Enter.; Short.; title: This field is required.", nil},
		{"no field", 400, "invalid", `{"non_field_errors":["Unique."]}`, bundle.KindInvalid, "Unique.", nil},
		{"copy", 403, "read_only", `{"detail":"A copy.","primary":{"name":"north","url":"https://n"}}`, bundle.KindReadOnly, "A copy.",
			map[string]string{"primary": "north", "primary_url": "https://n"}},
		{"finer than the status", 409, "blob_gone", `{"detail":"Gone."}`, bundle.KindBlobGone, "Gone.", nil},
		{"conflicts", 409, "conflict", `{"detail":"Both.","conflicts":[{"path":"a/b","kind":"changed"},{"link":"l","kind":"deleted"},{"path":"c","kind":"file_and_folder"}]}`,
			bundle.KindConflict, "Both.", nil},
		{"not JSON", 502, "", `<html>`, bundle.KindUnavailable, "the server answered 502 Bad Gateway", nil},
		{"redirect", 302, "", ``, bundle.KindOther, "the server answered 302 Found: is this the address of a blockstored?", nil},
		{"empty", 507, "no_space", ``, bundle.KindNoSpace, "the server answered 507 Insufficient Storage", nil},
		{"unknown 4xx", 418, "", `{"detail":"tea"}`, bundle.KindInvalid, "tea", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tt.header != "" {
					w.Header().Set("Blockstored-Error", tt.header)
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			})
			_, err := c.Bundle(t.Context(), bundle.NewID())
			e, ok := errors.AsType[*bundle.Error](err)
			if !ok {
				t.Fatalf("got %T %v", err, err)
			}
			if e.Kind != tt.kind || e.Message != tt.text {
				t.Errorf("got  %v %q\nwant %v %q", e.Kind, e.Message, tt.kind, tt.text)
			}
			if tt.fields != nil && !maps.Equal(e.Fields, tt.fields) {
				t.Errorf("got fields %q, want %q", e.Fields, tt.fields)
			}
		})
	}
}

func TestAConflictListsWhatCollides(t *testing.T) {
	body := `{"detail":"Both.","conflicts":[{"path":"a/b","kind":"changed"},{"link":"l","kind":"deleted"}]}`
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Blockstored-Error", "conflict")
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write([]byte(body))
	})
	_, err := c.CommitDraft(t.Context(), bundle.NewID(), api.Commit{})
	conflict, ok := errors.AsType[*api.ConflictError](err)
	if !ok || !slices.Equal(conflict.Conflicts, []api.Conflict{{Path: "a/b", Kind: "changed"}, {Link: "l", Kind: "deleted"}}) {
		t.Errorf("got %#v", err)
	}
	body = `{"detail":"Taken."}`
	_, err = c.CommitDraft(t.Context(), bundle.NewID(), api.Commit{})
	if _, ok := errors.AsType[*api.ConflictError](err); ok || !bundle.IsKind(err, bundle.KindConflict) {
		t.Errorf("a conflict of another kind became %#v", err)
	}
}

func TestNoAnswerIsUnavailableAndSaysWhere(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	socket := filepath.Join(t.TempDir(), "none.sock")
	for _, cfg := range []Config{{Server: srv.URL}, {Socket: socket}} {
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Healthy(t.Context())
		if !bundle.IsKind(err, bundle.KindUnavailable) || !strings.Contains(err.Error(), c.where) {
			t.Errorf("%+v: got %v", cfg, err)
		}
	}
}

func TestCancelledCallReturnsTheCause(t *testing.T) {
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := c.Healthy(ctx); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

func TestBadConfigIsRefused(t *testing.T) {
	for _, cfg := range []Config{{}, {Server: "x", Socket: "y"}, {Server: "127.0.0.1:1"}, {Server: "ftp://x"}, {Server: "http://"}, {Server: "://"}} {
		if _, err := New(cfg); !bundle.IsKind(err, bundle.KindInvalid) {
			t.Errorf("%+v: got %v", cfg, err)
		}
	}
}

func TestTokenIsSentToTheInstanceOnly(t *testing.T) {
	var got []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		if r.URL.Path == "/health/" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}
	})
	if err := c.Healthy(t.Context()); err == nil {
		t.Error("a redirect was followed")
	}
	r, err := c.OpenURL(t.Context(), c.base.String()+"files/x", api.Range{})
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	if len(got) != 2 || got[0] != "Token secret" || got[1] != "" {
		t.Errorf("got %q", got)
	}
}

func FuzzErrorBody(f *testing.F) {
	f.Add(`{"detail":"x","primary":{"name":"n"},"conflicts":[{"path":"p"}]}`)
	f.Add(`["a",1,null]`)
	f.Add(`{"a":["b"],"c":{}}`)
	f.Fuzz(func(t *testing.T, body string) {
		w := httptest.NewRecorder()
		w.WriteHeader(400)
		_, _ = w.WriteString(body)
		e, ok := errors.AsType[*bundle.Error](readError(w.Result()))
		if !ok || e.Message == "" || e.Kind != bundle.KindInvalid {
			t.Errorf("got %#v", e)
		}
	})
}
