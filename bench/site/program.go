package site

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const mainPackage = "github.com/blockstored/blockstored/cmd/blockstored"

// Program is the path of a built blockstored.
type Program string

// Build compiles the program into the folder dir, without cgo, as it ships, unless
// further flags of go build say otherwise. The working folder must be inside the
// repository.
func Build(ctx context.Context, dir string, flags ...string) (Program, error) {
	return build(ctx, dir, "CGO_ENABLED=0", flags...)
}

// BuildRace compiles the program with the race detector, which needs cgo and
// writes what it finds to the program's log; see [Site.Races].
func BuildRace(ctx context.Context, dir string) (Program, error) {
	return build(ctx, dir, "CGO_ENABLED=1", "-race")
}

func build(ctx context.Context, dir, env string, flags ...string) (Program, error) {
	path := filepath.Join(dir, "blockstored")
	args := append(append([]string{"build"}, flags...), "-o", path, mainPackage)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), env)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return Program(path), nil
}

// run executes one command to its end and returns what it printed on standard
// output, which a failed one may have done, too. The environment names no instance.
func (p Program) run(ctx context.Context, env []string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, string(p), args...)
	cmd.Env = append(environment(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("blockstored %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// ExitStatus returns the exit status that a command's error tells of, -1 if it
// tells of none.
func ExitStatus(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}

// runJSON executes one command with --format json and decodes its answer.
func (p Program) runJSON(ctx context.Context, env []string, out any, args ...string) error {
	stdout, err := p.run(ctx, env, append(args, "--format", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(stdout, out); err != nil {
		return fmt.Errorf("blockstored %s: %w in %.200q", strings.Join(args, " "), err, stdout)
	}
	return nil
}

// environment is ours without what would change the program's behaviour.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "BLOCKSTORED_") && !strings.HasPrefix(v, "AWS_") {
			env = append(env, v)
		}
	}
	return env
}
