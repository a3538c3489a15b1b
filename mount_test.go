package blockstored_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/blockstoredtest"
	"github.com/blockstored/blockstored/client"
)

// mount serves an instance below /blocks of a host's mux and returns the base
// that clients know it by.
func mount(t *testing.T, public func(base string) string) (*blockstoredtest.Kit, string) {
	t.Helper()
	mux := http.NewServeMux()
	host := httptest.NewUnstartedServer(mux)
	base := "http://" + host.Listener.Addr().String() + "/blocks"
	kit := blockstoredtest.New(t, func(c *blockstored.Config) { c.Listen, c.PublicURL = "", public(base) })
	mux.Handle("/blocks/", http.StripPrefix("/blocks", kit.Instance.Handler()))
	host.Start()
	t.Cleanup(host.Close)
	return kit, base
}

func TestTheAPIIsMountedBelowAnyPathOfAHostsMux(t *testing.T) {
	for name, public := range map[string]func(string) string{
		"as it is asked":  func(string) string { return "" },
		"with public_url": func(base string) string { return base },
	} {
		t.Run(name, func(t *testing.T) {
			kit, base := mount(t, public)
			c, err := client.New(client.Config{Server: base, Token: kit.Token})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			lookAround(t, c, kit.Token, base)
			if public(base) != "" {
				followOwn(t, kit.Instance, c)
			}
		})
	}
}

// lookAround holds every kind of URL that answers have against the base.
func lookAround(t *testing.T, c *client.Client, token, base string) {
	t.Helper()
	ctx := t.Context()
	collection, err := c.CreateCollection(ctx, "Mounted")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.CreateBundle(ctx, api.NewBundle{Collection: collection.ID, Title: "B", Slug: "b"}); err != nil {
			t.Fatal(err)
		}
	}
	done, err := client.Publish(ctx, c, fstest.MapFS{"a file/ü": {Data: []byte("mounted")}},
		client.PublishOptions{Collection: collection.ID, Title: "Mounted"})
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Version(ctx, done.Bundle, 1)
	if err != nil {
		t.Fatal(err)
	}
	fileURL := v.Snapshot.Files["a file/ü"].URL
	if text := fetched(t, c, fileURL); !strings.HasPrefix(fileURL, base+"/files/") || text != "mounted" {
		t.Errorf("%s is the URL of %q", fileURL, text)
	}

	list := get(t, base+"/api/v1/bundles?limit=2", token)
	var bundles []struct{ URL, Collection string }
	if err := json.Unmarshal([]byte(list.body), &bundles); err != nil || len(bundles) != 2 {
		t.Fatalf("%s: %v", list.body, err)
	}
	next, _, _ := strings.Cut(strings.TrimPrefix(list.header.Get("Link"), "<"), ">")
	for _, url := range []string{bundles[0].URL, bundles[0].Collection, next} {
		if got := get(t, url, token); !strings.HasPrefix(url, base+"/api/v1/") || got.status != http.StatusOK {
			t.Errorf("GET %s: %d", url, got.status)
		}
	}
	if to := get(t, base+"/api/v1", token); to.header.Get("Location") != "/blocks/api/v1/" {
		t.Errorf("the root is at %q", to.header.Get("Location"))
	}
	made, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/collections", strings.NewReader(`{"title":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	made.Header.Set("Content-Type", "application/json")
	if got := send(t, made, token); !strings.HasPrefix(got.header.Get("Location"), base+"/api/v1/collections/") {
		t.Errorf("what was made is at %q", got.header.Get("Location"))
	}
}

// followOwn opens a file by the URL that the instance itself shows.
func followOwn(t *testing.T, store api.Store, c *client.Client) {
	t.Helper()
	for v, err := range store.Versions(t.Context(), api.VersionFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if v, err = store.Version(t.Context(), v.Bundle, v.Number); err != nil {
			t.Fatal(err)
		}
		if text := fetched(t, c, v.Snapshot.Files["a file/ü"].URL); text != "mounted" {
			t.Errorf("got %q", text)
		}
	}
}

func fetched(t *testing.T, c *client.Client, url string) string {
	t.Helper()
	r, err := c.OpenURL(t.Context(), url, api.Range{})
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

type answer struct {
	status int
	header http.Header
	body   string
}

func get(t *testing.T, url, token string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, r, token)
}

func send(t *testing.T, r *http.Request, token string) answer {
	t.Helper()
	r.Header.Set("Authorization", "Token "+token)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}
