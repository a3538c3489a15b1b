package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blockstored/blockstored/client"
)

// patience bounds each wait for the program.
const patience = 30 * time.Second

// program runs the program in a process of its own.
type program struct {
	t    *testing.T
	data string
}

func (p program) command(args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	mine := func(v string) bool { return strings.HasPrefix(v, envPrefix) } // of whoever runs the tests
	cmd.Env = append(slices.DeleteFunc(os.Environ(), mine), asProgram+"=1", "BLOCKSTORED_DATA="+p.data)
	return cmd
}

// ok runs a command that must succeed and returns its output.
func (p program) ok(args ...string) (stdout, stderr string) {
	p.t.Helper()
	var out, errs bytes.Buffer
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("blockstored %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(out.String()), errs.String()
}

// eventually runs a command until it succeeds.
func (p program) eventually(args ...string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		out, err := p.command(args...).CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			status, _ := p.command("sync", "status").CombinedOutput()
			p.t.Fatalf("blockstored %s: %v\n%s%s", strings.Join(args, " "), err, out, status)
		}
	}
}

// server is a running serve.
type server struct {
	*exec.Cmd
	api    string
	stderr *bytes.Buffer
	rest   chan string // what came on stdout after the announcement
}

// serve starts a server on free ports and returns once it says where.
func (p program) serve(args ...string) *server {
	p.t.Helper()
	s := &server{stderr: &bytes.Buffer{}, rest: make(chan string, 1)}
	s.Cmd = p.command(append([]string{"serve", "--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0"}, args...)...)
	s.Stderr = s.stderr
	stdout, err := s.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if s.ProcessState == nil {
			_ = s.Process.Kill()
			_ = s.Wait()
		}
	})
	found := make(chan string, 1)
	go func() {
		lines := bufio.NewReader(stdout)
		for {
			line, err := lines.ReadString('\n')
			if url, ok := strings.CutPrefix(strings.TrimSpace(line), "API"); ok {
				found <- strings.TrimSpace(url)
				break
			}
			if err != nil {
				close(found)
				break
			}
		}
		rest, _ := io.ReadAll(lines) // ends with the process
		s.rest <- string(rest)
	}()
	select {
	case s.api = <-found:
	case <-time.After(patience):
	}
	if s.api == "" {
		_ = s.Process.Kill()
		_ = s.Wait()
		p.t.Fatalf("serve did not start:\n%s", s.stderr)
	}
	return s
}

// kill ends a server without a chance to do anything.
func (p program) kill(s *server) {
	p.t.Helper()
	if err := s.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	<-s.rest
	_ = s.Wait() // says "killed"
}

// interrupt ends a server in order.
func (p program) interrupt(s *server) {
	p.t.Helper()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	<-s.rest
	if err := s.Wait(); err != nil {
		p.t.Errorf("serve ended with %v:\n%s", err, s.stderr)
	}
}

// tree makes a folder with small files, a few of them equal, and a large one.
func tree(t *testing.T, files int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "content")
	for i := range files {
		sub := filepath.Join(dir, fmt.Sprintf("part %d", i%7))
		if err := os.MkdirAll(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, sub, fmt.Sprintf("file%d.txt", i), strings.Repeat(fmt.Sprintf("line %d\n", i/2), 50))
	}
	write(t, dir, "large.bin", strings.Repeat("0123456789abcdef", 64<<10)) // 1 MiB
	write(t, dir, "empty", "")
	return dir
}

// sameTree holds two folders against each other, byte for byte.
func sameTree(t *testing.T, want, got string) {
	t.Helper()
	out, err := exec.Command("diff", "-r", want, got).CombinedOutput()
	if err != nil {
		t.Errorf("the folders differ: %v\n%s", err, out)
	}
}

func (p program) publish(args ...string) client.Published {
	p.t.Helper()
	var done client.Published
	out, _ := p.ok(append([]string{"bundle", "publish", "--format", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &done); err != nil {
		p.t.Fatal(err)
	}
	return done
}

func TestPublishShowDownloadAndPublishAgain(t *testing.T) {
	p := program{t, filepath.Join(t.TempDir(), "data")}
	config := write(t, t.TempDir(), "c.yaml", "name: north\nlog: {format: json}\n")
	p.ok("init", "--config", config)
	srv := p.serve("--config", config)

	dir := tree(t, 200)
	collection, _ := p.ok("collection", "create", "Physics")
	first := p.publish(dir, "--collection", collection, "--title", "Mechanics")
	if first.Version != 1 || first.Files != 202 || first.Changed != 202 || first.SentFiles != 102 {
		t.Errorf("first: %+v", first)
	}

	write(t, dir, "part 3/file3.txt", "edited")
	if err := os.Remove(filepath.Join(dir, "part 4/file4.txt")); err != nil {
		t.Fatal(err)
	}
	second := p.publish(dir, "--collection", collection, "--title", "Mechanics")
	if second.Bundle != first.Bundle || second.Version != 2 || second.Changed != 1 || second.Deleted != 1 ||
		second.SentFiles != 1 || second.SentBytes != 6 {
		t.Errorf("second: %+v", second)
	}
	third := p.publish(dir, "--bundle", first.Bundle.String())
	if !third.Unchanged || third.Version != 2 || third.SentFiles != 0 {
		t.Errorf("third: %+v", third)
	}

	name := first.Bundle.String()
	if out, _ := p.ok("bundle", "show", name); !strings.Contains(out, "part 3/file3.txt") || !strings.Contains(out, "primary      north") {
		t.Errorf("show: %s", out)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	p.ok("bundle", "download", name+"@2", copied)
	sameTree(t, dir, copied)

	token, _ := p.ok("token", "create", "lms", "--role", "reader")
	if out, _ := p.ok("--server", srv.api, "--token", token, "bundle", "list"); !strings.Contains(out, name) {
		t.Errorf("list over TCP: %s", out)
	}
	if err := p.command("--server", srv.api, "--token", token, "collection", "create", "x").Run(); exitCode(err) != exitFailed {
		t.Errorf("a reader's write ended with %v", err)
	}
	p.ok("cluster", "status")
	p.ok("sync", "status")
	p.interrupt(srv)
	if err := p.command("bundle", "list").Run(); exitCode(err) != exitFailed {
		t.Errorf("a command without an instance ended with %v", err)
	}
}

func exitCode(err error) int {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode()
	}
	return exitOK
}

func TestAcknowledgedCommitSurvivesKill(t *testing.T) {
	p := program{t, filepath.Join(t.TempDir(), "data")}
	srv := p.serve()
	collection, _ := p.ok("collection", "create", "Physics")
	dir := tree(t, 20)
	name := p.publish(dir, "--collection", collection).Bundle.String()
	for version := uint64(2); version <= 4; version++ {
		write(t, dir, "now.txt", fmt.Sprint(version))
		if done := p.publish(dir, "--bundle", name); done.Version != version {
			t.Fatalf("published %+v", done)
		}
		p.kill(srv)
		srv = p.serve()
		copied := filepath.Join(t.TempDir(), "copy")
		p.ok("bundle", "download", fmt.Sprintf("%s@%d", name, version), copied)
		sameTree(t, dir, copied)
	}
	p.interrupt(srv)
}

func TestServeSetsItselfUpAndAnswersHealth(t *testing.T) {
	p := program{t, filepath.Join(t.TempDir(), "data")}
	srv := p.serve()
	resp, err := http.Get(srv.api + "/health/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("health: %s", resp.Status)
	}
	http.DefaultClient.CloseIdleConnections()

	second := p.command("serve", "--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0")
	if out, err := second.CombinedOutput(); exitCode(err) != exitFailed || !strings.Contains(string(out), "in use by another process") {
		t.Errorf("a second serve on the folder: %v\n%s", err, out)
	}
	if err := srv.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if rest := <-srv.rest; !strings.Contains(rest, "token create lms --role writer") {
		t.Errorf("no hint on the first start: %q", rest)
	}
	if err := srv.Wait(); err != nil {
		t.Errorf("serve ended with %v:\n%s", err, srv.stderr)
	}
}

func TestTwoSitesByHand(t *testing.T) {
	north := program{t, filepath.Join(t.TempDir(), "north")}
	south := program{t, filepath.Join(t.TempDir(), "south")}
	north.serve()
	south.serve()
	collection, _ := north.ok("collection", "create", "Physics")
	dir := tree(t, 30)
	name := north.publish(dir, "--collection", collection).Bundle.String()

	token, warnings := north.ok("peer", "invite", "south", "--grant", "all")
	if !strings.Contains(warnings, "warning: ") {
		t.Errorf("an invitation with loopback addresses came without a warning: %q", warnings)
	}
	accept := south.command("peer", "accept", "-", "--as", "north", "--subscribe", "all")
	accept.Stdin = strings.NewReader(token + "\n")
	if out, err := accept.CombinedOutput(); err != nil {
		t.Fatalf("accept: %v\n%s", err, out)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	south.eventually("bundle", "download", name+"@1", copied)
	sameTree(t, dir, copied)
	south.eventually("sync", "status")
	if out, _ := south.ok("peer", "list"); !strings.Contains(out, "north  following") {
		t.Errorf("peers: %s", out)
	}
	out, err := south.command("bundle", "publish", dir, "--bundle", name).CombinedOutput()
	if exitCode(err) != exitFailed || !strings.Contains(string(out), "read-only copy") {
		t.Errorf("a write to the copy: %v\n%s", err, out)
	}
	south.ok("peer", "resume", "north")
	out, err = south.command("peer", "resume", "north", "--bundle", name).CombinedOutput()
	if exitCode(err) != exitFailed || !strings.Contains(string(out), "not set aside") {
		t.Errorf("a bundle that was not set aside was released: %v\n%s", err, out)
	}
	south.ok("peer", "remove", "north")
	south.ok("bundle", "show", name)
	if err := south.command("peer", "remove", "north").Run(); exitCode(err) != exitFailed {
		t.Errorf("a peer was removed twice: %v", err)
	}
}
