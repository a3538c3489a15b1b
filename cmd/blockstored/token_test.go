package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/blockstoredtest"
)

func TestAKeyOfTheSiteBecomesAToken(t *testing.T) {
	const fromFile, fromStdin = "the-key-from-the-settings-of-the-lms-0001", "the-key-from-the-settings-of-the-lms-0002"
	k := blockstoredtest.New(t)
	vars := map[string]string{"BLOCKSTORED_DATA": k.Config.Data}
	file := write(t, t.TempDir(), "key", fromFile+"\r\n")
	create := func(stdin string, args ...string) outcome {
		t.Helper()
		got := run(t, vars, stdin, append([]string{"token", "create"}, args...)...)
		if out := got.stdout + got.stderr; strings.Contains(out, fromFile) || strings.Contains(out, fromStdin) {
			t.Errorf("%v printed the key: %s", args, out)
		}
		return got
	}
	if got := create("", "lms", "--role", "writer", "--from-file", file); got.code != exitOK || got.stdout != "the key is token lms now\n" {
		t.Errorf("%+v", got)
	}
	got := create("\n  "+fromStdin+"\n", "studio", "--role", "reader", "--expires-in", "24h", "--from-file", "-", "--format", "json")
	if got.code != exitOK || !strings.Contains(got.stdout, `"studio"`) {
		t.Errorf("%+v", got)
	}
	for _, key := range []string{fromFile, fromStdin} {
		if status := statusWith(t, k.URL, key); status != http.StatusOK {
			t.Errorf("with the key: %d", status)
		}
	}
	for name, c := range map[string]struct{ stdin, want string }{
		"taken": {fromFile, "already"},
		"short": {"short", "32 to 200 characters"},
		"blank": {fromFile + " " + fromFile, "without blanks"},
		"large": {strings.Repeat("k", 1<<20), "32 to 200 characters"},
	} {
		if got := create(c.stdin, name, "--role", "writer", "--from-file", "-"); got.code != exitFailed || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if err := k.Close(); err != nil { // nobody else may open the files of an open catalog
		t.Fatal(err)
	}
	keptNowhere(t, k.Config.Data, fromFile)
}

// keptNowhere looks for a key in all files of a data folder.
func keptNowhere(t *testing.T, dir, key string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), key) {
			t.Errorf("%s holds the key", path)
		}
		seen += len(content)
		return err
	})
	if err != nil || seen == 0 {
		t.Errorf("looked at %d bytes: %v", seen, err)
	}
}

func statusWith(t *testing.T, base, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/v1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Token "+token)
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestTheListShowsWhenATokenWasLastUsed(t *testing.T) {
	k := blockstoredtest.New(t)
	vars := map[string]string{"BLOCKSTORED_DATA": k.Config.Data}
	if got := run(t, vars, "", "token", "create", "unused", "--role", "reader"); got.code != exitOK {
		t.Fatalf("%+v", got)
	}
	before := time.Now().UTC().Truncate(time.Hour)
	if status := statusWith(t, k.URL, k.Token); status != http.StatusOK {
		t.Fatal(status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for { // it is noted beside the request
		<-tick.C
		tokens, err := k.Admin.Tokens(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if used := tokens[0].LastUsedAt; used != nil {
			if used.Before(before) || used.After(time.Now()) || !used.Equal(used.Truncate(time.Hour)) {
				t.Errorf("last used at %v", used)
			}
			break
		}
	}
	list := run(t, vars, "", "token", "list").stdout
	lines := strings.Split(strings.TrimSpace(list), "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[0], "LAST_USED") || !strings.HasSuffix(lines[1], "h") || !strings.HasSuffix(lines[2], " -") {
		t.Errorf("listed\n%s", list)
	}
	if got := run(t, vars, "", "token", "revoke", "unused"); got.code != exitOK {
		t.Errorf("%+v", got)
	}
}
