package worker

import (
	"testing"
	"time"
)

func TestOutageIsSaidNowAndAgain(t *testing.T) {
	var o outage
	start := time.Unix(1000, 0)
	var said []time.Duration
	for at := time.Duration(0); at <= 70*time.Second; at += time.Second {
		if o.met(start.Add(at), 2*time.Second) {
			said = append(said, at)
		}
	}
	if len(said) != 3 || said[0] != 2*time.Second || said[1] != 32*time.Second || said[2] != 62*time.Second {
		t.Errorf("said at %v", said)
	}
	if lasted, told := o.over(start.Add(71 * time.Second)); lasted != 71*time.Second || !told {
		t.Errorf("it lasted %v, said: %v", lasted, told)
	}
	if !o.met(start.Add(80*time.Second), 0) {
		t.Error("a new one without grace was not said at once")
	}
}
