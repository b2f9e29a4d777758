package git

import (
	"container/list"
	"sync"
)

// A cache keeps the trees that were used last, up to a number of bytes. Trees
// are named by what is in them, so that all mirrors can share it.
type cache struct {
	mu    sync.Mutex
	size  int64     // in all
	room  int64     // of it that is free
	order list.List // of *tree, last used first
	trees map[string]*list.Element
}

func newCache(size int64) *cache {
	return &cache{size: size, room: size, trees: make(map[string]*list.Element)}
}

func (c *cache) get(id []byte) *tree {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.trees[string(id)]
	if !ok {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*tree)
}

func (c *cache) put(t *tree) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.trees[t.id]; ok || t.size() > c.size/2 {
		return
	}
	c.trees[t.id] = c.order.PushFront(t)
	c.room -= t.size()
	for c.room < 0 {
		old := c.order.Remove(c.order.Back()).(*tree)
		delete(c.trees, old.id)
		c.room += old.size()
	}
}
