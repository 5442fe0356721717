package allreduce

import (
	"context"
	"sync"
)

// inbox is the sink behind Receive.
type inbox struct {
	frames chan []byte
	lost   chan *Ended
	done   chan struct{}
	once   sync.Once
	err    error // set before done is closed
}

// inboxFrames is how many frames wait for Receive before the connections do.
const inboxFrames = 64

func newInbox() *inbox {
	return &inbox{frames: make(chan []byte, inboxFrames), lost: make(chan *Ended, MaxVirtualRanks), done: make(chan struct{})}
}

func (i *inbox) accept(b buffer) {
	select {
	case i.frames <- b.frame():
	case <-i.done:
	}
}

func (i *inbox) ended(rank int) {
	select {
	case i.lost <- &Ended{rank}:
	case <-i.done:
	}
}

func (i *inbox) failed(err error) {
	i.once.Do(func() {
		i.err = err
		close(i.done)
	})
}

func (i *inbox) close() { i.failed(ErrTransportClosed) }

// next waits for a frame. What has arrived comes before the news that nothing will.
func (i *inbox) next(ctx context.Context) ([]byte, error) {
	select {
	case f := <-i.frames:
		return f, nil
	default:
	}
	select {
	case f := <-i.frames:
		return f, nil
	case e := <-i.lost:
		return nil, e
	case <-i.done:
		return nil, i.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
