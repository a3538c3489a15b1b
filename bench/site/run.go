package site

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

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
