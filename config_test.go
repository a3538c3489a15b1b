package blockstored_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/blockstoredtest"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
)

func TestABadConfigurationNamesItsKey(t *testing.T) {
	for _, c := range []struct {
		key    string
		change func(*blockstored.Config)
	}{
		{"data", func(c *blockstored.Config) { c.Data = "" }},
		{"name", func(c *blockstored.Config) { c.Name = " " }},
		{"storage.driver", func(c *blockstored.Config) { c.Storage.Driver = "tape" }},
		{"storage.s3", func(c *blockstored.Config) { c.Storage.Driver = "s3" }},
		{"peer.poll_wait", func(c *blockstored.Config) { c.Peer.PollWait = 51e9 }},
		{"peer.freeze_after", func(c *blockstored.Config) { c.Peer.FreezeAfter = 1e9 }},
		{"peer.tls_cert", func(c *blockstored.Config) { c.Peer.TLSKey = "key.pem" }},
		{"tls_cert", func(c *blockstored.Config) { c.TLSCert = "cert.pem" }},
		{"tls_cert", func(c *blockstored.Config) { c.TLSCert, c.TLSKey = "/does/not/exist", "/does/not/exist" }},
		{"peer.tls_cert", func(c *blockstored.Config) { c.Peer.TLSCert, c.Peer.TLSKey = "/does/not/exist", "/does/not/exist" }},
		{"public_url", func(c *blockstored.Config) { c.PublicURL = "ftp://x" }},
		{"public_url", func(c *blockstored.Config) { c.PublicURL = "https://x?a=b" }},
		{"files.url", func(c *blockstored.Config) { c.Files.URL = "files.example.org" }},
		{"files.cors_origins", func(c *blockstored.Config) { c.Files.CORSOrigins = []string{"*", "https://x/path"} }},
		{"files.cors_origins", func(c *blockstored.Config) { c.Files.CORSOrigins = []string{"https://x/"} }},
		{"files.cors_origins", func(c *blockstored.Config) { c.Files.CORSOrigins = []string{""} }},
		{"trusted_proxies", func(c *blockstored.Config) { c.TrustedProxies = []string{"127.0.0.1", "proxy.example.org"} }},
		{"trusted_proxies", func(c *blockstored.Config) { c.TrustedProxies = []string{"10.0.0.0/33"} }},
		{"socket.path", func(c *blockstored.Config) { c.Socket.Path = "api.sock" }},
		{"socket.path", func(c *blockstored.Config) { c.Socket.Path = "/" + strings.Repeat("x", 100) }},
		{"socket.path", func(c *blockstored.Config) { c.Data, c.Socket.Path = "/tmp/d", "/tmp/d/./admin.sock" }},
		{"socket.mode", func(c *blockstored.Config) { c.Socket.Path, c.Socket.Mode = "/tmp/s", "0888" }},
		{"socket.mode", func(c *blockstored.Config) { c.Socket.Path, c.Socket.Mode = "/tmp/s", "01777" }},
		{"socket.mode", func(c *blockstored.Config) { c.Socket.Path, c.Socket.Mode = "/tmp/s", "" }},
		{"socket.owner", func(c *blockstored.Config) { c.Socket.Path, c.Socket.Owner = "/tmp/s", "www-data:" }},
		{"socket.owner", func(c *blockstored.Config) { c.Socket.Path, c.Socket.Owner = "/tmp/s", "a b" }},
		{"socket.owner", func(c *blockstored.Config) { c.Socket.Path, c.Socket.Owner = "/tmp/s", "no-such-user" }},
		{"socket.owner", func(c *blockstored.Config) { c.Socket.Path, c.Socket.Owner = "/tmp/s", ":no-such-group" }},
		{"limits.max_body", func(c *blockstored.Config) { c.Limits.MaxBody = 1000 }},
		{"limits.max_uploads", func(c *blockstored.Config) { c.Limits.MaxUploads = 0 }},
		{"limits.requests_per_second", func(c *blockstored.Config) { c.Limits.RequestsPerSecond = -1 }},
		{"limits.burst", func(c *blockstored.Config) { c.Limits.Burst = -1 }},
		{"limits.max_list", func(c *blockstored.Config) { c.Limits.MaxList = 0 }},
		{"limits.idle_timeout", func(c *blockstored.Config) { c.Limits.IdleTimeout = 0 }},
		{"cluster.max_staleness", func(c *blockstored.Config) { c.Cluster.MaxStaleness = time.Second }},
		{"cluster.max_staleness", func(c *blockstored.Config) { c.Cluster.MaxStaleness = -time.Hour }},
		{"cluster.disk_stall", func(c *blockstored.Config) { c.Cluster.DiskStall = 0 }},
		{"drain", func(c *blockstored.Config) { c.Drain = -time.Second }},
		{"drain", func(c *blockstored.Config) { c.Drain = time.Hour }},
		{"cluster.remove_dead_after", func(c *blockstored.Config) { c.Cluster.RemoveDeadAfter = time.Minute }},
		{"cluster.tls_cert", func(c *blockstored.Config) { c.Cluster.TLSCert, c.Cluster.TLSKey = "cert.pem", "key.pem" }},
		{"cluster.tls_cert", func(c *blockstored.Config) { c.Cluster.TLSCA = "ca.pem" }},
		{"files.csp", func(c *blockstored.Config) { c.Files.CSP = "sandbox;\r\nSet-Cookie: a=b" }},
	} {
		cfg := config(t.TempDir())
		c.change(&cfg)
		_, err := blockstored.Open(t.Context(), cfg)
		if !bundle.IsKind(err, bundle.KindInvalid) || !strings.Contains(err.Error(), "configuration: "+c.key+": ") {
			t.Errorf("%s: Open answered %v", c.key, err)
		}
	}
}

// ask sends a request with the kit's token and the headers, given in pairs, and
// returns the answer and its body.
func ask(t *testing.T, k *blockstoredtest.Kit, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, k.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Token "+k.Token)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Minute}}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func TestOnlyTrustedProxiesSayWhatTheClientAskedFor(t *testing.T) {
	forwarded := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "store.example"}
	for trusted, heard := range map[string]bool{"": false, "127.0.0.1": true, "127.0.0.0/8": true, "10.0.0.0/8": false} {
		k := blockstoredtest.New(t, func(c *blockstored.Config) {
			if trusted != "" {
				c.TrustedProxies = []string{"2001:db8::/32", trusted}
			}
		})
		want := k.URL
		if heard {
			want = "https://store.example"
		}
		if _, text := ask(t, k, "GET", "/api/v1/", "", forwarded...); !strings.Contains(text, `"`+want+`/api/v1/bundles"`) {
			t.Errorf("trusted %q: %s, want %s", trusted, text, want)
		}
	}
}

func TestABodyAboveTheConfiguredLimitIsRefused(t *testing.T) {
	k := blockstoredtest.New(t, func(c *blockstored.Config) { c.Limits.MaxBody = 1 << 20 })
	for pad, want := range map[int]int{1000: http.StatusCreated, 1 << 20: http.StatusRequestEntityTooLarge} {
		// A client that asks first is told before it sends; one that does not may
		// find the connection closed under what it sends.
		resp, text := ask(t, k, "POST", "/api/v1/collections", `{"title":"x"`+strings.Repeat(" ", pad)+"}", "Expect", "100-continue")
		if resp.StatusCode != want {
			t.Errorf("%d bytes more: %d %s", pad, resp.StatusCode, text)
		}
	}
}

func TestFilesHaveTheConfiguredBaseAndReaders(t *testing.T) {
	const files, studio = "https://files.example/store", "https://studio.example"
	k := blockstoredtest.New(t, func(c *blockstored.Config) {
		c.Files.URL, c.Files.CORSOrigins, c.TrustedProxies = files+"/", []string{studio}, []string{"127.0.0.1"}
	})
	signed := publishedURL(t, k)
	path, found := strings.CutPrefix(signed, files+"/files/")
	if !found {
		t.Fatalf("the file is at %s, not below %s", signed, files)
	}
	for origin, want := range map[string]string{studio: studio, "https://evil.example": ""} {
		resp, text := ask(t, k, "GET", "/files/"+path, "", "Origin", origin, "Authorization", "", "X-Forwarded-Host", "files.example")
		if got := resp.Header.Get("Access-Control-Allow-Origin"); resp.StatusCode != 200 || text != "<p/>" || got != want {
			t.Errorf("origin %s: %d %q, allowed %q, want %q", origin, resp.StatusCode, text, got, want)
		}
		if got := resp.Header.Get("Content-Security-Policy"); got != "" {
			t.Errorf("files of an origin of their own are in a sandbox: %s", got)
		}
	}

	plain := blockstoredtest.New(t)
	path, found = strings.CutPrefix(publishedURL(t, plain), plain.URL)
	if !found {
		t.Fatal("without files.url a file is elsewhere than the API")
	}
	resp, _ := ask(t, plain, "GET", path, "", "Origin", studio, "Authorization", "")
	if resp.Header.Get("Access-Control-Allow-Origin") != "" || resp.Header.Get("Content-Security-Policy") != "sandbox" {
		t.Errorf("by default: %v", resp.Header)
	}
}

// publishedURL publishes one file and returns its signed URL.
func publishedURL(t *testing.T, k *blockstoredtest.Kit) string {
	t.Helper()
	collection, err := k.Client.CreateCollection(t.Context(), "Physics")
	if err != nil {
		t.Fatal(err)
	}
	done, err := client.Publish(t.Context(), k.Client, fstest.MapFS{"unit.xml": {Data: []byte("<p/>")}},
		client.PublishOptions{Collection: collection.ID, Title: "Mechanics"})
	if err != nil {
		t.Fatal(err)
	}
	v, err := k.Client.Version(t.Context(), done.Bundle, 1)
	if err != nil {
		t.Fatal(err)
	}
	return v.Snapshot.Files["unit.xml"].URL
}
