package worker

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/pkg/allreduce"
)

// meter adds what passes through the ring of one generation to the metrics of the job. It is used by one goroutine, the session's.
type meter struct {
	of   *telemetry.JobMetrics
	last allreduce.Stats // counted already
}

// count takes the ring's counters as they are now.
func (m *meter) count(now allreduce.Stats) {
	last := m.last
	m.last = now
	add := func(to prometheus.Counter, now, last uint64) { to.Add(float64(now - last)) }
	add(m.of.SentBytes, now.BytesSent, last.BytesSent)
	add(m.of.ReceivedBytes, now.BytesReceived, last.BytesReceived)
	add(m.of.ResentBytes, now.BytesResent, last.BytesResent)
	add(m.of.Reconnects, now.Reconnects, last.Reconnects)
	m.of.StraightNeighbours.Set(float64(now.Straight))
	m.of.WaitSeconds.Add((now.WaitTime - last.WaitTime).Seconds())
	causes := m.of.RejectedFrames
	add(causes["malformed"], now.Rejected.Malformed, last.Rejected.Malformed)
	add(causes["corrupt"], now.Rejected.Corrupt, last.Rejected.Corrupt)
	add(causes["foreign"], now.Rejected.Foreign, last.Rejected.Foreign)
	add(causes["stale"], now.Rejected.Stale, last.Rejected.Stale)
	add(causes["misrouted"], now.Rejected.Misrouted, last.Rejected.Misrouted)
	add(causes["duplicate"], now.Rejected.Duplicate, last.Rejected.Duplicate)
	add(causes["out_of_order"], now.Rejected.OutOfOrder, last.Rejected.OutOfOrder)
}
