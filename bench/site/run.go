package site

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Main runs a command of bench with the process' arguments until it ends, or is
// interrupted, and returns the process' exit status. What goes wrong is told on
// standard error, behind the command's name.
func Main(name string, run func(ctx context.Context, args []string, stdout io.Writer) error) (status int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		return 1
	}
	return 0
}

// InFolder runs fn with a temporary folder and removes the folder afterwards.
// After a failure everything stays there, and the error says where.
func InFolder(name string, fn func(dir string) error) error {
	dir, err := os.MkdirTemp("", "blockstored-"+name+"-")
	if err != nil {
		return err
	}
	if err := fn(dir); err != nil {
		return fmt.Errorf("%w\n(everything is kept in %s)", err, dir)
	}
	return os.RemoveAll(dir)
}

// OrBuild returns p, or what [Build] makes in the folder dir if p is empty.
func (p Program) OrBuild(ctx context.Context, dir string) (Program, error) {
	if p != "" {
		return p, nil
	}
	return Build(ctx, dir)
}

// PrintJSON writes a result for other programs.
func PrintJSON(w io.Writer, result any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}
