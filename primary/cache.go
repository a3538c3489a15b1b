package primary

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// weighted is a least-recently-used cache bounded by the sum of its values'
// weights. What it holds is immutable and shared between callers.
type weighted[K comparable, V any] struct {
	weigh func(V) int
	max   int

	mu  sync.Mutex
	lru *simplelru.LRU[K, V]
	sum int
}

// newWeighted returns a cache of values that weigh at most limit together.
// weigh returns at least 1 and always the same for one value.
func newWeighted[K comparable, V any](limit int, weigh func(V) int) *weighted[K, V] {
	c := &weighted[K, V]{weigh: weigh, max: limit}
	lru, err := simplelru.NewLRU(limit, func(_ K, v V) { c.sum -= c.weigh(v) })
	if err != nil {
		panic(err) // only for a limit below one
	}
	c.lru = lru
	return c
}

func (c *weighted[K, V]) get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lru.Get(k)
}

// add keeps v unless k is there already or v alone is too heavy.
func (c *weighted[K, V]) add(k K, v V) {
	w := c.weigh(v)
	c.mu.Lock()
	defer c.mu.Unlock()
	if w > c.max || c.lru.Contains(k) {
		return
	}
	c.sum += w
	c.lru.Add(k, v)
	for c.sum > c.max {
		c.lru.RemoveOldest()
	}
}
