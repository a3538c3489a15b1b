package main

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"

	"github.com/blockstored/blockstored/bench/site"
)

const fileSize = 1 << 10

// edits numbers the edits of a run, so that no content comes twice.
type edits struct{ n atomic.Uint64 }

// text is a compressible file of 1 KiB that the two numbers tell from others.
func text(bundle, n uint64) []byte {
	line := fmt.Sprintf("<problem bundle=\"%d\" n=\"%d\"><p>What is the momentum of the cart?</p></problem>\n", bundle, n)
	return bytes.Repeat([]byte(line), fileSize/len(line)+1)[:fileSize]
}

func filePath(n int) string { return fmt.Sprintf("unit-%02d/problem-%05d.xml", n%20, n) }

// course is a bundle with a draft of a host that edits it.
type course struct {
	api    *site.API
	number uint64
	bundle string
	draft  string
	files  int
}

// newCourse makes a bundle of so many files of 1 KiB, with one version.
func newCourse(ctx context.Context, api *site.API, collection string, number uint64, files int) (*course, error) {
	c := &course{api: api, number: number, files: files}
	var err error
	if c.bundle, err = api.CreateBundle(ctx, collection, fmt.Sprintf("course %d", number)); err != nil {
		return nil, err
	}
	if c.draft, err = api.CreateDraft(ctx, c.bundle, "studio"); err != nil {
		return nil, err
	}
	const batch = 500
	for from := 0; from < files; from += batch {
		some := map[string][]byte{}
		for n := from; n < min(from+batch, files); n++ {
			some[filePath(n)] = text(number, uint64(n))
		}
		if err := api.PatchDraft(ctx, c.draft, some); err != nil {
			return nil, err
		}
	}
	_, err = api.Commit(ctx, c.draft, "")
	return c, err
}

// cycle writes new content into so many files and commits it.
func (c *course) cycle(ctx context.Context, e *edits, files int) error {
	some := make(map[string][]byte, files)
	for range files {
		n := e.n.Add(1)
		some[filePath(int(n)%c.files)] = text(c.number, 1<<32+n)
	}
	if err := c.api.PatchDraft(ctx, c.draft, some); err != nil {
		return err
	}
	_, err := c.api.Commit(ctx, c.draft, "")
	return err
}
