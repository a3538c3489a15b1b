package main

import (
	"bytes"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// asProgram makes the test binary behave as the program itself.
const asProgram = "BLOCKSTORED_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// outcome is what a command left behind.
type outcome struct {
	stdout, stderr string
	code           int
}

// run runs the program in this process.
func run(t *testing.T, vars map[string]string, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	m := &Main{Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr, Getenv: env(vars)}
	code := m.Run(t.Context(), args)
	return outcome{stdout.String(), stderr.String(), code}
}

// golden holds text against testdata/name.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, text, want)
	}
}

func TestUsageErrorsAreTwoAndSayWhatToDo(t *testing.T) {
	const id = "0e2cb1a4-6c1b-4c3e-9a57-3d6c1f3c9b11"
	tests := []struct {
		args string
		want string // part of stderr
	}{
		{"srve", `there is no command "blockstored srve"; did you mean "serve"?`},
		{"token", "say what to do: create, list, revoke"},
		{"token crate", `did you mean "create"?`},
		{"token create lms", "--role reader, writer or operator"},
		{"token create lms --role king", "--role reader, writer or operator"},
		{"token create --role writer", "use it like this: blockstored token create NAME --role ROLE"},
		{"token list --colour", "unknown flag: --colour"},
		{"token list --format yaml", "--format is table or json"},
		{"token list --data x --server http://y", "give one of them"},
		{"token list --server http://127.0.0.1:1", "give a token for the server"},
		{"token list --server 127.0.0.1:1 --token t", "is not the URL of a server"},
		{"token create x --role reader --expires-in -1h", "--expires-in is a positive"},
		{"token create x --role reader --from-file /does/not/exist", "--from-file"},
		{"token create x --role reader --from-file -", "there is no key"},
		{"collection create", "use it like this"},
		{"collection create x --uuid 7", `--uuid: "7" is not a uuid`},
		{"bundle show", "use it like this: blockstored bundle show BUNDLE[@N]"},
		{"bundle show x", `BUNDLE: "x" is not a uuid`},
		{"bundle show " + id + "@0", "a number from 1"},
		{"bundle show " + id + "@x", "a number from 1"},
		{"bundle publish .", "--collection UUID or --bundle UUID"},
		{"bundle publish . --bundle x", `--bundle: "x" is not a uuid`},
		{"bundle download " + id, "use it like this"},
		{"peer invite south", "--grant all, collection=UUID or bundle=UUID"},
		{"peer invite south --grant everything", `not "everything"`},
		{"peer invite south --grant all=" + id, "--grant is all"},
		{"peer invite south --grant bundle=7", `"7" is not a uuid`},
		{"peer accept - --server http://127.0.0.1:1 --token t", "standard input holds no invitation"},
		{"serve now", "use it like this"},
		{"serve --server http://x", "commands that work on a running instance"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			got := run(t, map[string]string{"HOME": t.TempDir()}, "", strings.Fields(tt.args)...)
			if got.code != exitUsage || got.stdout != "" || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("status %d, stdout %q, stderr\n%s\nwant status 2 and %q", got.code, got.stdout, got.stderr, tt.want)
			}
		})
	}
}

func TestNoInstanceRunsHere(t *testing.T) {
	dir := t.TempDir()
	got := run(t, map[string]string{"BLOCKSTORED_DATA": dir}, "", "bundle", "list")
	want := "blockstored: no instance runs on " + dir + ": start it with \"blockstored serve --data " + dir +
		"\", or name another with --data or --server\n"
	if got.code != exitFailed || got.stderr != want {
		t.Errorf("status %d, %q", got.code, got.stderr)
	}
}

// canned is a server whose answers stand in testdata/api, so that the output
// for states that are hard to bring about can be looked at.
func canned(t *testing.T, answers map[string]string) map[string]string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Token t" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		file, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			t.Errorf("%s %s was not expected", r.Method, r.URL)
			w.WriteHeader(http.StatusNotFound)
			return
		}
		raw, err := os.ReadFile(filepath.Join("testdata", "api", file))
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(raw)
	}))
	t.Cleanup(srv.Close)
	return map[string]string{"BLOCKSTORED_SERVER": srv.URL, "BLOCKSTORED_TOKEN": "t"}
}

func TestResultsAreTablesOrJSON(t *testing.T) {
	const id = "2f9c3f0a-1b9b-4e7e-8f43-5b0f6a7d1c22"
	answers := map[string]string{
		"GET /api/v1/collections":                  "collections.json",
		"GET /api/v1/bundles":                      "bundles.json",
		"GET /api/v1/bundles/" + id:                "bundle.json",
		"GET /api/v1/bundle_versions/" + id + ",2": "version.json",
		"GET /admin/v1/tokens":                     "tokens.json",
		"POST /admin/v1/tokens":                    "token.json",
		"GET /admin/v1/peers":                      "peers.json",
		"GET /admin/v1/sync":                       "sync-good.json",
		"GET /admin/v1/cluster":                    "cluster.json",
		"POST /admin/v1/peers/invite":              "invite.json",
		"POST /admin/v1/peers/accept":              "accept.json",
	}
	tests := []struct{ name, args, stdin string }{
		{"collection-list", "collection list", ""},
		{"bundle-list", "bundle list", ""},
		{"bundle-show", "bundle show " + id, ""},
		{"token-list", "token list", ""},
		{"token-create", "token create lms --role writer --expires-in 24h", ""},
		{"peer-list", "peer list", ""},
		{"peer-invite", "peer invite south --grant all", ""},
		{"peer-accept", "peer accept - --subscribe all", "bsp1_xyz\n"},
		{"sync-status", "sync status", ""},
		{"cluster-status", "cluster status", ""},
	}
	for _, tt := range tests {
		for _, format := range []string{"table", "json"} {
			t.Run(tt.name+"-"+format, func(t *testing.T) {
				got := run(t, canned(t, answers), tt.stdin, append(strings.Fields(tt.args), "--format", format)...)
				if got.code != exitOK {
					t.Fatalf("status %d: %s", got.code, got.stderr)
				}
				golden(t, tt.name+"."+format, got.stdout)
			})
		}
	}
}

func TestStatusOfFollowingIsTheExitCode(t *testing.T) {
	for file, want := range map[string]int{
		"sync-good.json": exitOK, "sync-none.json": exitOK, "sync-behind.json": exitDegraded,
		"sync-parked.json": exitDegraded, "sync-alarm.json": exitAlarm,
	} {
		vars := canned(t, map[string]string{"GET /admin/v1/sync": file, "GET /admin/v1/peers": "peers.json"})
		name := strings.TrimSuffix(file, ".json")
		got := run(t, vars, "", "sync", "status")
		if got.code != want || got.stderr != "" {
			t.Errorf("%s: status %d, want %d; %s", file, got.code, want, got.stderr)
		}
		golden(t, name+".table", got.stdout)
		if got := run(t, vars, "", "peer", "list"); got.code != want {
			t.Errorf("%s: peer list ends with %d, want %d", file, got.code, want)
		}
	}
}

func TestSecretsStandAloneOnStdout(t *testing.T) {
	vars := canned(t, map[string]string{"POST /admin/v1/peers/invite": "invite.json", "POST /admin/v1/tokens": "token.json"})
	got := run(t, vars, "", "peer", "invite", "south", "--grant", "all")
	if got.stdout != "bsp1_xyz\n" || got.stderr != "warning: only this machine can reach http://127.0.0.1:18251\n" {
		t.Errorf("stdout %q, stderr %q", got.stdout, got.stderr)
	}
	got = run(t, vars, "", "token", "create", "lms", "--role", "writer")
	if got.stdout != "bst_secret\n" {
		t.Errorf("stdout %q", got.stdout)
	}
}

func TestAccessIsFoundByFlagThenEnvironment(t *testing.T) {
	right := canned(t, map[string]string{"GET /api/v1/collections": "collections.json"})
	wrong := map[string]string{"BLOCKSTORED_SERVER": "http://127.0.0.1:1", "BLOCKSTORED_TOKEN": "x"}
	file := write(t, t.TempDir(), "token", "t\n")
	for name, tt := range map[string]struct {
		vars map[string]string
		args []string
	}{
		"flags":      {wrong, []string{"--server", right["BLOCKSTORED_SERVER"], "--token", "t"}},
		"token file": {map[string]string{"BLOCKSTORED_SERVER": right["BLOCKSTORED_SERVER"], "BLOCKSTORED_TOKEN_FILE": file}, nil},
	} {
		if got := run(t, tt.vars, "", append(tt.args, "collection", "list")...); got.code != exitOK {
			t.Errorf("%s: status %d: %s", name, got.code, got.stderr)
		}
	}
	dir := t.TempDir()
	if got := run(t, right, "", "--data", dir, "collection", "list"); !strings.Contains(got.stderr, dir) {
		t.Errorf("--data did not beat BLOCKSTORED_SERVER: %s", got.stderr)
	}
}

func TestServeWithAConfigFileRefusesAnEmptyFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	file := write(t, t.TempDir(), "c.yaml", "data: "+dir+"\n")
	got := run(t, nil, "", "serve", "--config", file)
	if got.code != exitFailed || !strings.Contains(got.stderr, "blockstored init --config "+file) {
		t.Errorf("status %d: %s", got.code, got.stderr)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder was made")
	}
}

func TestVersionIsPrinted(t *testing.T) {
	got := run(t, nil, "", "version")
	if got.code != exitOK || !strings.HasPrefix(got.stdout, "blockstored ") {
		t.Errorf("status %d: %q", got.code, got.stdout)
	}
}
