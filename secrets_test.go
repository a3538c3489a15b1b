package blockstored

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/storage/s3/s3test"
)

// book is what was logged.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer].
func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// panicking is a registry with a fault.
type panicking struct{}

// Gather implements prometheus.Gatherer.
func (panicking) Gather() ([]*dto.MetricFamily, error) { panic("a fault of this program") }

// observed is an instance with a log at its most talkative, and what must not be
// in that.
type observed struct {
	*Instance
	t       *testing.T
	log     *book
	secrets map[string]string // by what they are
	http    http.Client
	asked   int
}

func observe(t *testing.T) *observed {
	t.Helper()
	o := &observed{t: t, log: &book{}, secrets: map[string]string{}}
	dir := t.TempDir()
	pair := newPair(t, 1)
	cfg := DefaultConfig(filepath.Join(dir, "data"))
	cfg.Listen, cfg.Peer.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.TLSCert, cfg.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	replace(t, cfg.TLSCert, pair.cert)
	replace(t, cfg.TLSKey, pair.key)
	cfg.Logger = slog.New(slog.NewJSONHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug - 4, AddSource: true}))
	cfg.Gatherer = panicking{}
	inst, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	o.Instance = inst
	t.Cleanup(func() {
		if err := inst.Close(); err != nil {
			t.Error(err)
		}
	})
	o.http.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	return o
}

// ask sends a request and returns the body of the answer, which has that status.
func (o *observed) ask(method, target, auth, key, body string, want int) string {
	o.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = o.Addresses().API + target
	}
	r, err := http.NewRequestWithContext(o.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	resp, err := o.http.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		o.t.Errorf("%s %s: %d, %v, want %d: %s", method, target, resp.StatusCode, err, want, text)
	}
	o.asked++
	return string(text)
}

// clean looks for every secret in what was logged, also as a URL has it, in
// base64 and in hexadecimal.
func (o *observed) clean() {
	o.t.Helper()
	text := o.log.String()
	for what, secret := range o.secrets {
		for _, form := range []string{
			secret, url.QueryEscape(secret), access.HashToken(secret).String(),
			base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
			hex.EncodeToString([]byte(secret)),
		} {
			if secret == "" || strings.Contains(text, form) {
				o.t.Errorf("%s (%q) is in the log", what, secret)
			}
		}
	}
	for _, name := range []string{"Authorization", "Idempotency-Key", "signature="} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(name)) {
			o.t.Errorf("%s is in the log", name)
		}
	}
}

func TestNoSecretIsEverLogged(t *testing.T) {
	o := observe(t)
	made, err := o.CreateToken(t.Context(), "lms", "operator", 0)
	if err != nil {
		t.Fatal(err)
	}
	const foreign, adopted, key = "a-key-that-is-not-known-here-0123456789", "a-key-of-the-site-from-before-0123456789", "idempotency-1f2e3d"
	o.secrets = map[string]string{"the token": made.Token, "a wrong token": foreign, "an adopted key": adopted, "the idempotency key": key}
	auth := "Token " + made.Token
	for _, c := range []struct {
		method, path, auth, key, body string
		status                        int
	}{
		{"GET", "/api/v1/", auth, "", "", 200},
		{"GET", "/api/v1/?token=" + made.Token, auth, "", "", 200},
		{"GET", "/api/v1/", "Token " + foreign, "", "", 401},
		{"GET", "/api/v1/", "Bearer " + foreign, "", "", 401},
		{"GET", "/api/v1/", "Token " + foreign + " " + foreign, "", "", 401},
		{"POST", "/api/v1/collections", auth, key, `{"title":"x"}`, 201},
		{"POST", "/api/v1/collections", auth, key, `{"title":"x"}`, 201},
		{"POST", "/api/v1/collections", auth, key, `{"title":""}`, 400},
		{"POST", "/api/v1/collections", auth, key + strings.Repeat("k", 300), `{"title":"x"}`, 400},
		{"POST", "/api/v1/collections", auth, "", `{"title":"` + foreign, 400},
		{"POST", "/admin/v1/tokens", auth, "", `{"name":"studio","role":"writer","token":"` + adopted + `"}`, 201},
		{"POST", "/admin/v1/tokens", auth, "", `{"name":"again","role":"writer","token":"` + adopted + `"}`, 409},
		{"POST", "/admin/v1/tokens", auth, "", `{"name":"short","role":"king","token":"` + adopted[:20] + `"}`, 400},
		{"DELETE", "/admin/v1/tokens/nobody", auth, key, "", 404},
		{"PATCH", "/nowhere", auth, key, "", 404},
		{"GET", "/metrics", auth, key, "", 500}, // panics
	} {
		o.ask(c.method, c.path, c.auth, c.key, c.body, c.status)
	}
	o.askForFiles(auth)
	o.speakWithoutTLS()
	o.peerWith()

	text := o.log.String()
	for what, least := range map[string]int{`"msg":"request"`: o.asked, "a handler panicked": 1, "TLS handshake": 1, `"path":"/files/`: 4, "peer: ": 1} {
		if n := strings.Count(text, what); n < least {
			t.Errorf("the log has %s %d times, want %d: this test looks at nothing", what, n, least)
		}
	}
	o.clean()
}

// askForFiles fetches files by their signed URLs, good ones and spoilt ones.
func (o *observed) askForFiles(auth string) {
	o.t.Helper()
	ctx := o.t.Context()
	c, err := o.CreateCollection(ctx, "Physics")
	if err != nil {
		o.t.Fatal(err)
	}
	b, err := o.CreateBundle(ctx, api.NewBundle{Collection: c.ID, Title: "Mechanics", Slug: "m"})
	if err != nil {
		o.t.Fatal(err)
	}
	d, err := o.CreateDraft(ctx, b.ID, "work")
	if err != nil {
		o.t.Fatal(err)
	}
	if _, err := o.PatchDraft(ctx, d.ID, api.Patch{Files: map[string]api.FileEdit{"a.txt": {Content: []byte("x")}}}); err != nil {
		o.t.Fatal(err)
	}
	staged := o.signed("/api/v1/drafts/"+d.ID.String(), auth)
	o.ask("POST", "/api/v1/drafts/"+d.ID.String()+"/commit", auth, "", "", 201)
	committed := o.signed("/api/v1/bundle_versions/"+b.ID.String()+",1", auth)
	o.ask("GET", committed, "", "", "", 200)
	o.ask("GET", staged, "", "", "", 404)
	o.ask("GET", strings.Replace(committed, "a.txt", "b.txt", 1), "", "", "", 403)
	o.ask("GET", committed+"&signature=again", "", "", "", 403)
	o.ask("PUT", committed, auth, "", "", 405)
}

// signed returns the first URL of a file in an object, whose signature is a
// secret from then on.
func (o *observed) signed(path, auth string) string {
	o.t.Helper()
	body := o.ask("GET", path, auth, "", "", 200)
	_, found, _ := strings.Cut(body, `"a.txt":{"url":"`)
	found, _, _ = strings.Cut(found, `"`)
	u, err := url.Parse(found)
	if err != nil || u.Query().Get("signature") == "" {
		o.t.Fatalf("%q is no signed URL: %v", found, err)
	}
	o.secrets["the signature of "+u.Path] = u.Query().Get("signature")
	return found
}

// speakWithoutTLS has net/http itself log something.
func (o *observed) speakWithoutTLS() {
	o.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(o.Addresses().API, "https://"))
	if err != nil {
		o.t.Fatal(err)
	}
	defer conn.Close()
	check := func(_ any, err error) {
		if err != nil {
			o.t.Fatal(err)
		}
	}
	check(nil, conn.SetDeadline(time.Now().Add(20*time.Second)))
	check(conn.Write([]byte("GET /?token=" + o.secrets["the token"] + " HTTP/1.1\r\nHost: x\r\nAuthorization: Token " + o.secrets["the token"] + "\r\n\r\n")))
	check(io.ReadAll(conn))
}

// peerWith has another site follow this one, and an invitation misused.
func (o *observed) peerWith() {
	o.t.Helper()
	ctx := o.t.Context()
	cfg := DefaultConfig(o.t.TempDir())
	cfg.Listen, cfg.Peer.Listen = "", "127.0.0.1:0"
	cfg.Logger = o.cfg.Logger // what the other one says is looked at, too
	other, err := Open(ctx, cfg)
	if err != nil {
		o.t.Fatal(err)
	}
	defer other.Close()
	all := []api.Selector{{Scope: "all"}}
	invitation, err := o.Invite(ctx, "south", all, nil, 0)
	if err != nil {
		o.t.Fatal(err)
	}
	o.secrets["the invitation"] = invitation.Token
	if _, err := other.Accept(ctx, invitation.Token, "north", all); err != nil {
		o.t.Fatal(err)
	}
	if _, err := other.Accept(ctx, invitation.Token[:len(invitation.Token)-4], "cut", all); err == nil {
		o.t.Error("a part of an invitation was taken")
	}
	tick, deadline := time.NewTicker(20*time.Millisecond), time.After(60*time.Second)
	defer tick.Stop()
	for {
		sync, err := other.SyncStatus(ctx)
		if err == nil && len(sync) == 1 && sync[0].Bundles["copy"] == 1 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			o.t.Fatalf("nothing was followed: %+v, %v", sync, err)
		}
	}
}

// What makes a node one of an instance, and the keys that it is given, stay out of
// the logs of both sides, whether it is let in or not.
func TestNoSecretOfNodesIsEverLogged(t *testing.T) {
	s := s3test.Start(t)
	o := &observed{t: t, log: &book{}, secrets: map[string]string{"the bucket's key": s.SecretAccessKey}}
	log := slog.New(slog.NewJSONHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug - 4, AddSource: true}))
	bucket := s.NewBucket()
	start := func(name, join string) (*Instance, error) {
		cfg := DefaultConfig(t.TempDir())
		cfg.Listen, cfg.Peer.Listen, cfg.Logger = "", "", log
		cfg.Cluster.Node, cfg.Cluster.Listen, cfg.Cluster.Join = name, "127.0.0.1:0", join
		cfg.Storage.Driver = "s3"
		cfg.Storage.S3 = S3Config{
			Endpoint: s.Endpoint, Bucket: bucket, Region: "us-east-1", AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey,
		}
		inst, err := Open(t.Context(), cfg)
		if err == nil {
			t.Cleanup(func() {
				if err := inst.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		return inst, err
	}
	one, err := start("n1", "")
	if err != nil {
		t.Fatal(err)
	}
	invitation, err := one.InviteNode(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	o.secrets["the join token"] = invitation.Token
	o.secrets["the join token's signature"] = invitation.Token[5:45]
	o.secretsOfNodes(one)
	for _, name := range []string{"n1", "n2"} {
		if _, err := start(name, invitation.Token); (name == "n1") != bundle.IsKind(err, bundle.KindConflict) {
			t.Errorf("%s joins: %v", name, err)
		}
	}
	text := o.log.String()
	for _, what := range []string{"let a node join", "did not let a node join"} {
		if !strings.Contains(text, what) {
			t.Errorf("the log does not say %q: this test looks at nothing", what)
		}
	}
	o.clean()
}

// secretsOfNodes takes note of the keys that all nodes have.
func (o *observed) secretsOfNodes(inst *Instance) {
	o.t.Helper()
	key, err := os.ReadFile(inst.folder.join(access.KeyFile))
	if err != nil {
		o.t.Fatal(err)
	}
	o.secrets["the instance's key"] = string(key)
	for what, name := range map[string]string{"the key of invitations": access.SecretClusterJoinKey, "the authority": access.SecretClusterAuthority} {
		secret, err := inst.openSecret(o.t.Context(), name)
		if err != nil {
			o.t.Fatal(err)
		}
		o.secrets[what] = string(secret)
	}
	_, rest := pem.Decode([]byte(o.secrets["the authority"]))
	block, _ := pem.Decode(rest)
	if block == nil || block.Type != pemKey {
		o.t.Fatal("the authority has no key")
	}
	o.secrets["the authority's key"] = string(block.Bytes)
}
