// Command upload sends one large file to a site by PUT
// /api/v1/drafts/{uuid}/files/{path}, publishes it, reads it back by its signed
// URL and compares every byte. It prints how long that took, beside the floor,
// the same bytes written to a file in sequence and synced, and the most memory
// that the program had.
//
//	go run ./bench/upload [--size 10GiB] [--storage dir|s3] [--chunked] [--json]
//
// It needs twice the size on disk for a moment. The exit status is 1 if
// anything went wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/blockstored/blockstored/bench/site"
)

func main() { os.Exit(site.Main("upload", run)) }

type options struct {
	size             bytesize
	storage, program string
	chunked, json    bool
}

// bytesize is a flag like 64MiB.
type bytesize int64

// String implements flag.Value.
func (b *bytesize) String() string { return strconv.FormatInt(int64(*b), 10) }

// Set implements flag.Value.
func (b *bytesize) Set(text string) error {
	unit := int64(1)
	for suffix, bytes := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = number, bytes
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > 1<<43/unit {
		return errors.New("give bytes, or KiB, MiB or GiB, up to 8192GiB")
	}
	*b = bytesize(n * unit)
	return nil
}

func parse(args []string) (options, error) {
	o := options{size: 10 << 30}
	flags := flag.NewFlagSet("upload", flag.ContinueOnError)
	flags.Var(&o.size, "size", "of the file: bytes, KiB, MiB or GiB")
	flags.StringVar(&o.storage, "storage", "dir", "where the site keeps files: dir or s3")
	flags.StringVar(&o.program, "program", "", "built blockstored to use (default: build it)")
	flags.BoolVar(&o.chunked, "chunked", false, "send without saying the size first")
	flags.BoolVar(&o.json, "json", false, "print the result as JSON")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "blockstored-upload-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }() // it is large, also after a failure
	program, err := site.Program(o.program).OrBuild(ctx, dir)
	if err != nil {
		return err
	}
	r, err := measure(ctx, o, program, dir)
	if err != nil {
		return err
	}
	if !o.json {
		return r.print(stdout)
	}
	return site.PrintJSON(stdout, r)
}

// measure takes the floor, then a site with an upload, then the floor again.
func measure(ctx context.Context, o options, program site.Program, dir string) (_ *result, err error) {
	r := &result{Size: int64(o.size), Storage: o.storage, Chunked: o.chunked}
	if err := r.floor(dir); err != nil {
		return nil, err
	}
	buckets, err := site.OpenBuckets(ctx, filepath.Join(dir, "s3"), o.storage)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, buckets.Close()) }()
	store, err := buckets.Store(o.storage, "large")
	if err != nil {
		return nil, err
	}
	s, err := site.Open(ctx, site.Config{Program: program, Dir: filepath.Join(dir, "site"), Name: "large", Store: store})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l, err := newLarge(ctx, s, r)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if err := l.live(ctx, newContent(r.Size)); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, s.LogTail())
	}
	return r, r.floor(dir)
}
