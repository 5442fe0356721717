package simd

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestParallelCallsEachOnce(t *testing.T) {
	defer SetThreads(0)
	for _, threads := range []int{0, 1, 2, 7} {
		SetThreads(threads)
		for _, n := range []int{0, 1, 2, 100} {
			calls := make([]atomic.Int32, n)
			Parallel(n, func(i int) { calls[i].Add(1) })
			for i := range calls {
				if got := calls[i].Load(); got != 1 {
					t.Fatalf("threads=%d n=%d: f(%d) was called %d times", threads, n, i, got)
				}
			}
		}
	}
}

func TestParallelNestsWithinTheBound(t *testing.T) {
	defer SetThreads(0)
	const threads = 3
	SetThreads(threads)
	var running, most, total atomic.Int64
	Parallel(10, func(int) {
		Parallel(10, func(int) {
			Parallel(10, func(int) {
				now := running.Add(1)
				for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
				}
				total.Add(1)
				running.Add(-1)
			})
		})
	})
	if total.Load() != 1000 {
		t.Errorf("%d calls, want 1000", total.Load())
	}
	if most.Load() > threads {
		t.Errorf("%d calls at once, the bound is %d", most.Load(), threads)
	}
	if n := helpersBusy.Load(); n != 0 {
		t.Errorf("%d helpers left over", n)
	}
}

// Of caller and helper, the one that ends first leaves its place to the nested calls of the other.
func TestParallelLendsThePlaceOfWhoWaits(t *testing.T) {
	defer SetThreads(0)
	SetThreads(2)
	for _, ends := range []int64{1, 2} { // who ends first: one is the caller, the other the helper
		var arrived, running atomic.Int64
		both, together := make(chan struct{}), make(chan struct{})
		meet := sync.OnceFunc(func() { close(together) })
		Parallel(2, func(int) {
			mine := arrived.Add(1)
			if mine == 2 {
				close(both)
			}
			<-both
			if mine == ends {
				return
			}
			for deadline := time.Now().Add(10 * time.Second); !closed(together) && time.Now().Before(deadline); {
				Parallel(2, func(int) {
					defer running.Add(-1)
					if running.Add(1) == 2 {
						meet()
					}
					select {
					case <-together:
					case <-time.After(time.Millisecond):
					}
				})
			}
		})
		if !closed(together) {
			t.Error("nested calls never ran at once although a place was free")
		}
	}
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestParallelRaisesPanicsInTheCaller(t *testing.T) {
	defer SetThreads(0)
	for _, threads := range []int{1, 4} {
		SetThreads(threads)
		func() {
			defer func() {
				r := recover()
				if err, ok := r.(error); ok && strings.Contains(err.Error(), "boom") || r == "boom" {
					return
				}
				t.Errorf("threads=%d: recovered %v, want the panic of f", threads, r)
			}()
			Parallel(50, func(i int) {
				if i == 20 {
					panic("boom")
				}
			})
		}()
	}
	SetThreads(4)
	Parallel(50, func(int) {}) // the pool still works
}
