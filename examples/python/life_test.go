// Package python_test runs the example against the built program.
package python_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bench/site/sitetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// interpreter returns a Python that has requests, or ends the test.
func interpreter(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} { // the system's may have what another lacks
		if exec.CommandContext(t.Context(), python, "-c", "import requests").Run() == nil {
			return python
		}
	}
	if os.Getenv("BLOCKSTORED_TEST_NOSKIP") == "1" {
		t.Fatal("there is no python3 with requests (Debian's package is python3-requests)")
	}
	t.Skip("there is no python3 with requests (Debian's package is python3-requests)")
	return ""
}

// life runs the example and returns what it said.
func life(t *testing.T, python, server, token string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, python, "life.py")
	cmd.Env = append(os.Environ(), "BLOCKSTORED_SERVER="+server, "BLOCKSTORED_TOKEN="+token, "PYTHONIOENCODING=utf-8")
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func TestTheLifeOfABundleFromPython(t *testing.T) {
	python := interpreter(t)
	program := sitetest.Program(t)
	s, err := site.New(t.Context(), site.Config{Program: program, Dir: t.TempDir(), Name: "north"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}

	writer := token(t, s, "writer")
	for range 2 { // it leaves nothing behind that the next one meets
		out, errs, err := life(t, python, s.URL(), writer)
		if err != nil || !strings.HasSuffix(out, "deleted it all\n") || errs != "" {
			t.Fatalf("%v\n%s%s\n%s", err, out, errs, s.LogTail())
		}
	}

	for what, c := range map[string]struct{ server, token, says string }{
		"without a token":         {s.URL(), "", "set BLOCKSTORED_TOKEN"},
		"with a reader's token":   {s.URL(), token(t, s, "reader"), "POST collections: 403 instead of 201"},
		"where no server listens": {"http://127.0.0.1:9", writer, "life.py: "},
	} {
		out, errs, err := life(t, python, c.server, c.token)
		if site.ExitStatus(err) != 1 || out != "" || !strings.Contains(errs, c.says) {
			t.Errorf("%s: %v\n%s%s", what, err, out, errs)
		}
	}
}

func token(t *testing.T, s *site.Site, role string) string {
	t.Helper()
	out, err := s.Command(t.Context(), "token", "create", role, "--role", role, "--format", "json")
	var created struct{ Token string }
	if err == nil {
		err = json.Unmarshal(out, &created)
	}
	if err != nil || created.Token == "" {
		t.Fatalf("token create: %v: %s", err, out)
	}
	return created.Token
}
