package allreduce

import "time"

// Stats counts what passed through a Group since it was made. Bytes include frame headers.
type Stats struct {
	FramesSent, BytesSent         uint64 // data frames, each counted once
	FramesReceived, BytesReceived uint64 // data frames taken in order
	FramesResent, BytesResent     uint64 // repeated after a loss, a reconnect or a stall
	ControlSent                   uint64 // acknowledgements, keepalives, greetings
	SendErrors                    uint64 // frames that the transport refused; they are sent again
	Reconnects                    uint64 // of the transport
	Rejected                      Rejected
	Straight                      int           // neighbours to which frames go straight now, over a lane
	Waits                         uint64        // how often a collective waited for a frame or for room in the window
	WaitTime                      time.Duration // how long altogether
	MaxKept                       int           // most bytes sent and kept until acknowledged
	MaxWaiting                    int           // most bytes received and not yet taken by a collective
}

// Rejected counts received frames that were dropped, by cause.
type Rejected struct {
	Malformed  uint64 // shorter than a header, foreign magic or version
	Corrupt    uint64 // checksum wrong; asked for again
	Foreign    uint64 // of another job
	Stale      uint64 // of another generation
	Misrouted  uint64 // not from the neighbour that sends such frames
	Duplicate  uint64 // had arrived before
	OutOfOrder uint64 // after a gap; asked for again from the gap on
}

// Total is the sum over all causes.
func (r Rejected) Total() uint64 {
	return r.Malformed + r.Corrupt + r.Foreign + r.Stale + r.Misrouted + r.Duplicate + r.OutOfOrder
}
