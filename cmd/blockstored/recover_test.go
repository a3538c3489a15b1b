package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored"
)

func TestANodeIsRecoveredAlsoIfThatIsKilled(t *testing.T) {
	t.Parallel()
	p := program{t, filepath.Join(t.TempDir(), "data")}
	srv := p.serve()
	collection, _ := p.ok("collection", "create", "Physics")
	dir := tree(t, 10)
	name := p.publish(dir, "--collection", collection).Bundle.String()
	fails := func(code int, says string, args ...string) {
		t.Helper()
		out, err := p.command(args...).CombinedOutput()
		if exitCode(err) != code || !strings.Contains(string(out), says) {
			t.Errorf("%q ended with %v:\n%s", args, err, out)
		}
	}
	fails(exitFailed, "in use by another process", "cluster", "recover", "--yes")
	p.kill(srv)
	fails(exitUsage, "nothing was changed: give --yes", "cluster", "recover")
	fails(exitUsage, "generation  2", "cluster", "recover")
	srv = p.serve() // it was only told
	p.kill(srv)

	// Killed sooner or later, whatever it has done by then, the next one goes on.
	for k := range 6 {
		cmd := p.command("cluster", "recover", "--yes")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(k) * 20 * time.Millisecond) // where it is killed is no matter
		_ = cmd.Process.Kill()                               // it may have ended
		_ = cmd.Wait()
	}
	out, _ := p.ok("cluster", "recover", "--yes", "--format", "json")
	var r blockstored.Recovery
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Generation < 2 || r.NewNode == r.Node && !r.Resumed {
		t.Errorf("%s, %v", out, err)
	}
	srv = p.serve()
	copied := filepath.Join(t.TempDir(), "copy")
	p.ok("bundle", "download", name+"@1", copied)
	sameTree(t, dir, copied)
	write(t, dir, "now.txt", "after")
	if done := p.publish(dir, "--bundle", name); done.Version != 2 {
		t.Errorf("published %+v", done)
	}
	p.interrupt(srv)
}
