// Package worker composes data, model, task, collectives and checkpoints into the step loop, and takes part in jobs as the
// coordinators assign them.
package worker

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sslctl/sslctl/internal/bus"
	"github.com/sslctl/sslctl/internal/telemetry"
	"github.com/sslctl/sslctl/pkg/simd"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"go.uber.org/zap"
)

// ErrConfig is returned by Run when a setting cannot work.
var ErrConfig = errors.New("worker settings")

// Config is what a worker process is started with.
type Config struct {
	ID           string            // unique in the cluster; kept across restarts
	Coordinators []string          // host:port of each, any order
	Labels       map[string]string // shown in `sslctl status`
	Version      string
	Timeout      time.Duration // of one request to one coordinator; 0 means 2 s
	DrainWithin  time.Duration // how long the job may take to go on without this worker when it leaves; 0: it leaves at once
	RingListen   string        // host:port where the other ranks of a job connect; port 0 picks a free one; ":0" if empty
	RingHost     string        // host that they dial; if empty, the one that the NATS server sees this worker at
	Logger       *zap.Logger
	Registry     prometheus.Registerer // takes the worker's metrics; nil: nobody asks for them
	Readiness    *telemetry.Readiness  // is told whether the worker is registered; nil: nobody asks
	Hooks        Hooks
}

// Hooks let tests reach into a step. The zero value changes nothing.
type Hooks struct {
	// Gradient may change a virtual rank's gradient before it is summed; step counts from 0.
	Gradient func(step uint64, virtualRank int, gradient []float32)
	// Step is called after each step that this worker has finished, with the count of finished steps.
	Step func(jobUID string, generation, step uint64, rank int)
}

// agent is the running worker: one goroutine talks to the coordinators, at most one session trains.
type agent struct {
	config      Config
	incarnation uint64
	client      *coordinators
	metrics     *telemetry.WorkerMetrics
	kick        chan struct{}
	registered  atomic.Pointer[sslctlv1.RegisterResponse] // nil before; atomic for those who log
	post        *bus.Post                                 // takes the log lines about jobs to the coordinators
	every       time.Duration                             // between two heartbeats
	silence     outage                                    // of the coordinators
	session     *session
	sessions    context.Context   // of all sessions: they go on while the worker drains
	leaving     bool              // wants no more work
	replaced    bool              // a newer process has this worker's id: the coordinators know, and hear this one no more
	newest      map[string]uint64 // newest generation seen, by job UID: what is older comes from a deposed leader

	nats      sync.Mutex
	natsKnown []string // servers that the last connection knew: the one named at registration may be gone by now
}

// Run takes part in the cluster until ctx ends; it then drains and leaves, so that the coordinators need not find out. It returns an error if
// the configuration is unusable or the coordinators refuse the worker. While no coordinator answers it keeps trying and keeps training.
func Run(ctx context.Context, c Config) error {
	if c.ID == "" {
		return fmt.Errorf("%w: the worker has no id; give it a name that is unique in the cluster", ErrConfig)
	}
	if strings.ContainsAny(c.ID, " \t\n=,/") {
		return fmt.Errorf("%w: worker id %q has a blank, an equals sign, a comma or a slash in it; use letters, digits and hyphens", ErrConfig, c.ID)
	}
	if c.RingListen == "" {
		c.RingListen = ":0"
	}
	if err := checkRingAddress(c.RingListen, c.RingHost); err != nil {
		return err
	}
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Second
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Readiness == nil {
		c.Readiness = new(telemetry.Readiness)
	}
	metrics, err := telemetry.NewWorkerMetrics(c.Registry, c.ID)
	if err != nil {
		return fmt.Errorf("start worker %s: %w", c.ID, err)
	}
	client, err := newCoordinators(c.Coordinators, c.Timeout)
	if err != nil {
		return err
	}
	defer client.close()
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return fmt.Errorf("choose an incarnation: %w", err)
	}
	sessions, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	a := &agent{
		config: c, incarnation: binary.LittleEndian.Uint64(id[:]) >> 1, client: client, metrics: metrics, kick: make(chan struct{}, 1),
		newest: map[string]uint64{}, sessions: sessions,
	}
	closeLogs := a.openLogs()
	defer closeLogs()
	defer a.leave()
	if err := a.register(ctx); err != nil {
		return ignoreEnd(ctx, err)
	}
	if err := a.takePart(ctx, func() bool { return false }); err != nil {
		return err
	}
	return a.drain()
}

// takePart sends heartbeats and does what the answers say, until ctx ends or over is true after one.
func (a *agent) takePart(ctx context.Context, over func() bool) error {
	for {
		if err := a.heartbeat(ctx); err != nil {
			return ignoreEnd(ctx, err)
		}
		if over() {
			return nil
		}
		// At most four heartbeats an interval, however many there is reason for.
		if !pause(ctx, a.every/4, nil) || !pause(ctx, a.every-a.every/4, a.kick) {
			return nil
		}
	}
}

// pause returns after a time, or earlier when woken; it is false when ctx has ended.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return true
}

// ignoreEnd turns the error of a call that the end of ctx cut short into nil.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// register announces the worker, and keeps trying while no coordinator answers.
func (a *agent) register(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find this host's name: %w", err)
	}
	request := &sslctlv1.RegisterRequest{
		WorkerId: a.config.ID, Incarnation: a.incarnation, Numerics: []string{simd.Profile()}, Labels: a.config.Labels,
		Version: a.config.Version, Cores: int32(runtime.GOMAXPROCS(0)), Host: host,
	}
	a.setReady("not registered with the coordinators yet")
	var silence outage
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		response, err := a.client.register(ctx, request, a.config.Timeout)
		if err == nil {
			if response.HeartbeatMs == 0 || len(response.NatsUrls) == 0 {
				return errors.New("register: the coordinator named no heartbeat interval or no NATS server; is it of this version?")
			}
			a.registered.Store(response)
			a.every = time.Duration(response.HeartbeatMs) * time.Millisecond
			a.setReady("")
			a.config.Logger.Info("registered", zap.Strings("nats", bus.Redact(response.NatsUrls)), zap.Uint64("incarnation", a.incarnation))
			return nil
		}
		if !errors.Is(err, errNoCoordinator) {
			return err
		}
		a.setReady(err.Error())
		if silence.met(time.Now(), 0) {
			a.config.Logger.Warn("cannot register; keeps trying", zap.Error(err))
		}
		if !pause(ctx, wait, nil) {
			return context.Cause(ctx)
		}
	}
}

// heartbeat reports, and does what the answer says.
func (a *agent) heartbeat(ctx context.Context) error {
	request := &sslctlv1.HeartbeatRequest{}
	if a.session != nil {
		request = a.session.report.snapshot()
	}
	request.WorkerId, request.Incarnation, request.Leaving = a.config.ID, a.incarnation, a.leaving
	start := time.Now()
	response, err := a.client.heartbeat(ctx, request, a.patience())
	a.countHeartbeat(ctx, err, time.Since(start))
	switch {
	case errors.Is(err, errNoCoordinator):
		a.setReady(err.Error())
		// Training goes on without coordinators for as long as the job's maxUncommittedSteps allows.
		if a.silence.met(time.Now(), a.config.Timeout) {
			a.config.Logger.Warn("no coordinator answers; keeps trying", zap.Bool("training", a.session != nil), zap.Error(err))
		}
		return nil
	case err != nil:
		a.replaced = connect.CodeOf(err) == connect.CodeFailedPrecondition
		return err
	}
	a.setReady("")
	if lasted, said := a.silence.over(time.Now()); said {
		a.config.Logger.Info("a coordinator answers again", zap.Duration("after", lasted))
	}
	if response.RegisterAgain {
		return a.register(ctx)
	}
	if response.HeartbeatMs > 0 {
		a.every = time.Duration(response.HeartbeatMs) * time.Millisecond
	}
	return a.follow(a.sessions, response)
}

// setReady says that the coordinators answer, if why is empty, or why the worker cannot be used.
func (a *agent) setReady(why string) {
	a.config.Readiness.Set(why)
	if why == "" {
		a.metrics.Registered.Set(1)
	} else {
		a.metrics.Registered.Set(0)
	}
}

// countHeartbeat counts what became of a heartbeat, unless the end of ctx has cut it short.
func (a *agent) countHeartbeat(ctx context.Context, err error, took time.Duration) {
	result := telemetry.HeartbeatAnswered
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, errNoCoordinator):
		result = telemetry.HeartbeatUnanswered
	case err != nil:
		result = telemetry.HeartbeatRefused
	default:
		a.metrics.HeartbeatSeconds.Observe(took.Seconds())
	}
	a.metrics.Heartbeats.WithLabelValues(result).Inc()
}

// patience is how long one coordinator may take to answer a heartbeat. Where there are others, it is half of detectWithin at most, so that
// one that stands still does not make this worker look lost.
func (a *agent) patience() time.Duration {
	if len(a.config.Coordinators) == 1 {
		return a.config.Timeout
	}
	return min(a.config.Timeout, 4*a.every)
}

// follow starts, keeps or stops the session as the response's assignment says. ctx is that of a session that it starts.
func (a *agent) follow(ctx context.Context, response *sslctlv1.HeartbeatResponse) error {
	next := response.Assignment
	if next != nil && next.Generation < a.newest[next.JobUid] {
		a.config.Logger.Warn("ignored an assignment of an old generation", telemetry.Job(next.JobUid), telemetry.Generation(next.Generation))
		return nil
	}
	stop := next == nil || next.Directive == sslctlv1.Directive_DIRECTIVE_STOP
	if s := a.session; s != nil && !s.ending && !stop && next.JobUid == s.assignment.JobUid && next.Generation == s.assignment.Generation {
		s.report.acknowledge(response)
		return nil
	}
	if a.session != nil {
		// A step, a measurement or a store may keep the session for a while. Heartbeats go on meanwhile, or the worker would count as lost;
		// the one after the session's end begins what is assigned then.
		if !a.session.end("the coordinators have no more use for it") {
			return nil
		}
		a.session = nil
	}
	if next == nil {
		a.metrics.Leave()
	}
	if stop || a.leaving {
		return nil
	}
	a.newest[next.JobUid] = next.Generation
	a.session = startSession(ctx, a, next)
	return nil
}

// natsURLs lists the NATS servers to try: those that the coordinators named, then others of their cluster.
func (a *agent) natsURLs(r *sslctlv1.RegisterResponse) []string {
	a.nats.Lock()
	defer a.nats.Unlock()
	urls := slices.Clone(r.NatsUrls)
	for _, u := range a.natsKnown {
		if !slices.Contains(urls, u) {
			urls = append(urls, u)
		}
	}
	return urls
}

func (a *agent) knowNATS(urls []string) {
	a.nats.Lock()
	defer a.nats.Unlock()
	a.natsKnown = urls
}
