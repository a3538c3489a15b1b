package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/blockstored/blockstored/bench/site"
)

// variant is the program with pieces of one of its files replaced.
type variant struct {
	file   string // from the root of the repository, with slashes
	pieces map[string]string
}

// shortLog keeps hardly any of the cluster's log, so that a node that was away gets
// a copy of the catalog.
var shortLog = variant{"cluster/config.go", map[string]string{
	"Retention.Soft, 64<<20":        "Retention.Soft, 8<<10",
	"Retention.Age, 30*time.Minute": "Retention.Age, 300*time.Millisecond",
	"Retention.Hard, 512<<20":       "Retention.Hard, 32<<10",
	"Retention.Check, time.Minute":  "Retention.Check, 100*time.Millisecond",
}}

// source returns the path of the variant's file and what it holds then. Each piece
// must be there once.
func (v variant) source(ctx context.Context) (path, text string, err error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", "", fmt.Errorf("where the repository is: %w", err)
	}
	path = filepath.Join(strings.TrimSpace(string(root)), filepath.FromSlash(v.file))
	content, err := os.ReadFile(path)
	text = string(content)
	for was, is := range v.pieces {
		if err == nil && strings.Count(text, was) != 1 {
			err = fmt.Errorf("%s does not have %q once", v.file, was)
		}
		text = strings.Replace(text, was, is, 1)
	}
	return path, text, err
}

// build compiles the variant into the folder dir.
func (v variant) build(ctx context.Context, dir string) (site.Program, error) {
	path, text, err := v.source(ctx)
	if err != nil {
		return "", err
	}
	other, overlay, program := filepath.Join(dir, "other.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "variant")
	encoded, err := json.Marshal(map[string]any{"Replace": map[string]string{path: other}})
	if err != nil {
		return "", err
	}
	for name, content := range map[string][]byte{other: []byte(text), overlay: encoded} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", program, "github.com/blockstored/blockstored/cmd/blockstored")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build a variant of %s: %w\n%s", v.file, err, out)
	}
	return site.Program(program), nil
}
