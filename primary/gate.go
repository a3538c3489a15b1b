package primary

import (
	"context"
	"sync"

	"github.com/blockstored/blockstored/bundle"
)

// gate lets one holder at a time pass for each id. It only spares work that
// would be refused and done again; nothing relies on it. The zero gate is open.
type gate struct {
	mu    sync.Mutex
	slots map[bundle.ID]*slot
}

type slot struct {
	token chan struct{} // capacity 1: held while full
	users int           // holders and waiters, guarded by the gate's mutex
}

// enter waits until nobody holds id, or ctx ends. The caller calls leave once.
func (g *gate) enter(ctx context.Context, id bundle.ID) (leave func(), err error) {
	g.mu.Lock()
	s := g.slots[id]
	if s == nil {
		if g.slots == nil {
			g.slots = make(map[bundle.ID]*slot)
		}
		s = &slot{token: make(chan struct{}, 1)}
		g.slots[id] = s
	}
	s.users++
	g.mu.Unlock()
	select {
	case s.token <- struct{}{}:
		return func() { <-s.token; g.drop(id, s) }, nil
	case <-ctx.Done():
		g.drop(id, s)
		return nil, context.Cause(ctx)
	}
}

func (g *gate) drop(id bundle.ID, s *slot) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(g.slots, id)
	}
}
