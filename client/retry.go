package client

import (
	"context"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// attempts is how often a request is made before its error counts.
const attempts = 4

// again calls do until it succeeds, fails with an error that another attempt
// will not mend, or was called often enough. What do asks for may happen twice.
func again(ctx context.Context, do func() error) error {
	for attempt := 1; ; attempt++ {
		err := do()
		if attempt == attempts || !bundle.IsKind(err, bundle.KindUnavailable) {
			return err
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// pause waits longer with each attempt: 0.25 s, 0.5 s, 1 s.
func pause(ctx context.Context, attempt int) error {
	timer := time.NewTimer(250 * time.Millisecond << (attempt - 1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
