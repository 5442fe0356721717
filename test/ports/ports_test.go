package ports

import (
	"net"
	"sync"
	"testing"
)

func TestFree(t *testing.T) {
	var given sync.Map
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				address, err := Free()
				if err != nil {
					t.Error(err)
					return
				}
				if _, twice := given.LoadOrStore(address, true); twice {
					t.Errorf("%s was given twice", address)
				}
			}
		})
	}
	all.Wait()
}

func TestFreePassesOverTakenPorts(t *testing.T) {
	var open []net.Listener
	for range 20 {
		address, err := Free()
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, l)
	}
	next.Add(-20)
	address, err := Free()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range open {
		if l.Addr().String() == address {
			t.Errorf("%s is taken", address)
		}
		l.Close()
	}
}
