package worker

import (
	"context"
	"time"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap"
)

// drain lets the session go on while it tells the coordinators that this worker leaves: they bring the job to a step boundary with a
// checkpoint and go on without it. After Config.DrainWithin, what is left of the session is stopped.
func (a *agent) drain() error {
	a.leaving = true
	if a.session == nil || a.config.DrainWithin == 0 {
		return nil
	}
	a.config.Logger.Info("leaving; the job is to go on without this worker", zap.Duration("within", a.config.DrainWithin))
	ctx, cancel := context.WithTimeout(a.sessions, a.config.DrainWithin)
	defer cancel()
	start := time.Now()
	if err := a.takePart(ctx, func() bool { return a.session == nil }); err != nil {
		return err
	}
	if a.session != nil {
		a.config.Logger.Warn("leaving in the middle of a step: the job did not come to a boundary in time", zap.Duration("waited", time.Since(start)))
	}
	return nil
}

// leave stops training and tells the coordinators, once: if nobody hears it, they find out by the missing heartbeats.
func (a *agent) leave() {
	if a.session != nil {
		a.session.stop("the worker shuts down")
	}
	if a.registered.Load() == nil || a.replaced {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.config.Timeout)
	defer cancel()
	_, err := a.client.heartbeat(ctx, &sslctlv1.HeartbeatRequest{WorkerId: a.config.ID, Incarnation: a.incarnation, Leaving: true}, a.config.Timeout)
	if err != nil {
		a.config.Logger.Warn("left without telling the coordinators", zap.Error(err))
	}
}
