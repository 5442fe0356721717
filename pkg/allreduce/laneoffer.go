package allreduce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// offer tells a neighbour how to connect.
type offer struct {
	Address string `json:"address"`
	NATS    bool   `json:"nats"` // a NATS server listens there
	Token   string `json:"token"`
}

// question is what a rank asks or tells a neighbour over the shared NATS. Every question is answered with an offer.
type question struct {
	Party party  `json:"party"`
	Kind  string `json:"kind"`
	Why   string `json:"why,omitempty"`
}

const (
	asksOffer    = "offer"    // it does not listen yet, or does no longer
	saysAttached = "attached" // it listens
	saysFailed   = "failed"   // it cannot connect
)

// askWithin bounds one question to a neighbour.
const askWithin = time.Second

func (t *LaneTransport) offerSubject(rank int) string { return t.shared.subject(rank) + ".lane" }

// answerOffers answers the neighbours' questions from now on.
func (t *LaneTransport) answerOffers(ctx context.Context) (*nats.Subscription, error) {
	mine, err := json.Marshal(offer{
		Address: net.JoinHostPort(t.lane.Host, strconv.Itoa(t.outlet.port())), NATS: t.lane.Server != nil, Token: t.lane.Token,
	})
	if err != nil {
		return nil, fmt.Errorf("encode how to connect to rank %d: %w", t.me.Rank, err)
	}
	subject := t.offerSubject(t.me.Rank)
	sub, err := t.shared.conn.Subscribe(subject, func(m *nats.Msg) {
		var q question
		if err := json.Unmarshal(m.Data, &q); err != nil || q.Party.Job != t.me.Job || q.Party.Generation != t.me.Generation || t.ways[q.Party.Rank] == nil {
			return // of no neighbour in this generation
		}
		t.hear(q)
		m.Respond(mine)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribing to %s: %w", subject, err)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, openWithin)
		defer cancel()
	}
	if err := t.shared.conn.FlushWithContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("subscribing to %s: the server did not confirm: %w", subject, err), sub.Unsubscribe())
	}
	return sub, nil
}

// hear takes what a neighbour says about its connection to this rank.
func (t *LaneTransport) hear(q question) {
	on := q.Kind == saysAttached
	t.outlet.attached(q.Party.Rank, on)
	t.note(q.Party.Rank, func(w *way) {
		w.out = on
		switch q.Kind {
		case saysAttached:
			w.outTried = true
		case saysFailed:
			w.outTried, w.why = true, fmt.Errorf("rank %d cannot connect here: %s", q.Party.Rank, q.Why)
		}
	})
}

// ask puts a question to a neighbour.
func (t *LaneTransport) ask(rank int, q question) (offer, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return offer{}, fmt.Errorf("ask rank %d: %w", rank, err)
	}
	ctx, cancel := context.WithTimeout(t.ctx, askWithin)
	defer cancel()
	answer, err := t.shared.conn.RequestWithContext(ctx, t.offerSubject(rank), text)
	if err != nil {
		return offer{}, fmt.Errorf("ask rank %d how to connect: %w: %w", rank, errNotAsked, err)
	}
	var o offer
	if err := json.Unmarshal(answer.Data, &o); err != nil {
		return offer{}, fmt.Errorf("ask rank %d how to connect: %w", rank, err)
	}
	return o, nil
}
