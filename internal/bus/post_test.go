package bus

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Post takes messages before the bus is there, delivers them to others and not to itself, and on its end sends what it has.
func TestPost(t *testing.T) {
	var urls atomic.Pointer[[]string]
	known := func() []string {
		if u := urls.Load(); u != nil {
			return *u
		}
		return nil
	}
	got := make(chan string, 10)
	none := func() { t.Error("a message was lost") }
	a, b := NewPost("a", known, none, nil), NewPost("b", known, none, nil)
	b.Receive("t.logs.>", func(data []byte) { got <- string(data) })
	var wait sync.WaitGroup
	defer wait.Wait()
	ctxA, endA := context.WithCancel(t.Context())
	ctxB, endB := context.WithCancel(t.Context())
	defer endA()
	defer endB()
	wait.Go(func() { a.Run(ctxA) })
	wait.Go(func() { b.Run(ctxB) })
	b.Send("t.logs.8", []byte("own"))
	server, err := StartServer(ServerConfig{Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	urls.Store(&[]string{server.ClientURL()})
	limit := time.After(20 * time.Second)
	receive := func() string {
		t.Helper()
		select {
		case m := <-got:
			return m
		case <-limit:
			t.Fatal("nothing has arrived")
			return ""
		}
	}
	// Whoever subscribes later misses what was sent before, so a says hello until b has heard it.
	for heard := false; !heard; {
		a.Send("t.logs.7", []byte("hello"))
		select {
		case m := <-got:
			if heard = m == "hello"; !heard {
				t.Errorf("received %q", m)
			}
		case <-time.After(20 * time.Millisecond):
		case <-limit:
			t.Fatal("nothing has arrived")
		}
	}
	a.Send("t.logs.7", []byte("last"))
	endA()
	for m := receive(); m != "last"; m = receive() {
		if m != "hello" {
			t.Errorf("received %q", m)
		}
	}
}

func TestPostDropsWhatItCannotKeep(t *testing.T) {
	lost := 0
	p := NewPost("a", func() []string { return nil }, func() { lost++ }, nil)
	for range postQueue + 3 {
		p.Send("t", nil)
	}
	if lost != 3 || p.Lost() != 3 {
		t.Errorf("%d messages too many, %d are counted and %d told", 3, p.Lost(), lost)
	}
}
