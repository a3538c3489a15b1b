package primary

import (
	"bufio"
	"context"
	"errors"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bundle"
)

// A stream of frames is stored batch by batch, each one object and one command:
// the next is read while one is stored.
const (
	batchBytes  = 16 << 20
	batchFrames = 3000
)

// StoreFrameStream stores the frames that r yields, one after the other, as
// [Primary.StoreFrames] does, and returns how many there were. It holds two
// batches of 16 MiB in memory at most. On an error some frames may be stored.
func (p *Primary) StoreFrameStream(ctx context.Context, r io.Reader) (stored int, err error) {
	g, gctx := errgroup.WithContext(ctx)
	batches := make(chan []bundle.Frame)
	g.Go(func() error {
		for frames := range batches {
			if _, err := p.StoreFrames(gctx, frames); err != nil {
				return err
			}
		}
		return nil
	})
	frames := bundle.NewFrameReader(bufio.NewReaderSize(r, 64<<10))
	for err == nil {
		var batch []bundle.Frame
		batch, err = nextBatch(frames)
		if len(batch) == 0 {
			continue
		}
		select {
		case batches <- batch:
			stored += len(batch)
		case <-gctx.Done():
			err = context.Cause(gctx)
		}
	}
	close(batches)
	if failed := g.Wait(); failed != nil {
		return 0, failed
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return stored, err
}

// nextBatch reads frames for one object. With an error the frames before it are
// a batch still.
func nextBatch(r *bundle.FrameReader) (batch []bundle.Frame, err error) {
	for size := 0; size < batchBytes && len(batch) < batchFrames; {
		f, err := r.Next()
		if err != nil {
			return batch, err
		}
		size += f.EncodedLen()
		batch = append(batch, f)
	}
	return batch, nil
}
