package shard

import (
	"context"
	"sync"
)

// memory bounds the bytes that a stream holds ahead of its reader. What the reader is waiting for is always let in, so that a window
// larger than the limit is read all the same; what lies behind waits for room.
type memory struct {
	mu      sync.Mutex
	changed *sync.Cond
	limit   int64
	held    int64
	peak    int64
	current int // window that the reader is in
}

func newMemory(limit int64) *memory {
	m := &memory{limit: limit}
	m.changed = sync.NewCond(&m.mu)
	return m
}

// acquire waits until n bytes for a window may be read.
func (m *memory) acquire(ctx context.Context, n int64, window int) error {
	stop := context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.changed.Broadcast()
	})
	defer stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.held+n > m.limit && window > m.current {
		if err := ctx.Err(); err != nil {
			return err
		}
		m.changed.Wait()
	}
	m.held += n
	m.peak = max(m.peak, m.held)
	return nil
}

// release gives n bytes back.
func (m *memory) release(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held -= n
	m.changed.Broadcast()
}

// enter says which window the reader is in.
func (m *memory) enter(window int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current = window
	m.changed.Broadcast()
}
