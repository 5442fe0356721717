package worker

import (
	"context"

	"github.com/sslctl/sslctl/internal/bus"
	"github.com/sslctl/sslctl/internal/telemetry"
	contract "github.com/sslctl/sslctl/proto"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"google.golang.org/protobuf/proto"
)

// openLogs makes the agent's log lines about jobs known to the coordinators, until the function that it returns is called. Nothing waits
// for that: what the bus does not take is lost and counted, and is in the worker's own log all the same.
func (a *agent) openLogs() (done func()) {
	a.post = bus.NewPost("logs-"+a.config.ID, a.busURLs, func() { a.metrics.LostLines.Inc() }, a.config.Logger)
	a.config.Logger = telemetry.WithJobLines(a.config.Logger, a.sendLine).With(telemetry.Worker(a.config.ID))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.post.Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// busURLs are the NATS servers as far as they are known: none before the worker is registered.
func (a *agent) busURLs() []string {
	if registered := a.registered.Load(); registered != nil {
		return a.natsURLs(registered)
	}
	return nil
}

func (a *agent) sendLine(line *sslctlv1.LogLine) {
	registered := a.registered.Load()
	if registered == nil {
		return // it has no job yet
	}
	line.Lost = a.post.Lost()
	data, err := proto.Marshal(line)
	if err != nil {
		return // text that is not UTF-8
	}
	a.post.Send(contract.LogSubject(registered.Cluster, line.JobUid), data)
}
