package allreduce

import "sync"

const (
	// leadBytes is the room before a frame, in which a lane writes what its protocol wants said first: one write sends both. With the header
	// it is a multiple of 64, so that payloads begin on a cache line.
	leadBytes = 104
	// tailBytes is the room behind a frame. A read may run into what follows the frame on the connection.
	tailBytes = 192
)

// buffer is the memory of one frame, raw[lead:lead+n]. Without room around it, as others hand frames in, lead is 0.
type buffer struct {
	raw     []byte
	lead, n int
}

// foreign is a buffer around a frame that another has allocated.
func foreign(frame []byte) buffer { return buffer{raw: frame, n: len(frame)} }

// roomy says whether there is room before and behind the frame.
func (b buffer) roomy() bool { return b.lead == leadBytes && len(b.raw) >= leadBytes+b.n+tailBytes }

func (b buffer) frame() []byte { return b.raw[b.lead : b.lead+b.n] }

// pool keeps the buffers of large frames to be used again.
type pool struct {
	frameBytes int // most bytes of a payload
	most       int // buffers kept

	mu   sync.Mutex
	free [][]byte
}

func newPool(config Config) *pool {
	// A window on its way to either side, and what the collective and the connections have in hand.
	return &pool{frameBytes: config.FrameBytes, most: 2*config.WindowBytes/config.FrameBytes + 8}
}

// get returns a buffer with room for a frame of n bytes, header included.
func (p *pool) get(n int) buffer {
	size := leadBytes + headerBytes + p.frameBytes + tailBytes
	if !p.large(n) {
		return buffer{raw: make([]byte, leadBytes+n+tailBytes), lead: leadBytes, n: n}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.free) - 1; last >= 0 {
		raw := p.free[last]
		p.free = p.free[:last]
		return buffer{raw: raw, lead: leadBytes, n: n}
	}
	return buffer{raw: make([]byte, max(size, leadBytes+n+tailBytes)), lead: leadBytes, n: n}
}

// put takes back a buffer that nobody uses any more.
func (p *pool) put(b buffer) {
	if b.lead != leadBytes || !p.large(len(b.raw)-leadBytes-tailBytes) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < p.most {
		p.free = append(p.free, b.raw)
	}
}

// large says whether a frame of n bytes is worth keeping a buffer for: one that holds every frame.
func (p *pool) large(n int) bool { return n > headerBytes+p.frameBytes/2 }
