package simd

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// threadLimit is the number of goroutines that may compute at once, callers included; 0 stands for GOMAXPROCS.
var threadLimit atomic.Int64

// helpersBusy counts the helper goroutines running in all calls of Parallel together, less the callers that wait for theirs.
var helpersBusy atomic.Int64

// SetThreads bounds the goroutines that compute at once in this process. n ≤ 0 restores the default, GOMAXPROCS. Results never depend on it.
func SetThreads(n int) { threadLimit.Store(int64(max(n, 0))) }

func threads() int64 {
	if n := threadLimit.Load(); n > 0 {
		return n
	}
	return int64(runtime.GOMAXPROCS(0))
}

// Parallel calls f(0) … f(n−1), each once, and returns when all have returned. The caller works too; helpers join it as far as the
// process-wide bound allows, so a nested call whose helpers are all taken runs inline and nothing can deadlock. The calls run in any
// order: f(i) may write only what no other f(j) reads or writes, and must not sum into anything shared.
// A panic in f is raised again in the caller, once all running calls have returned.
func Parallel(n int, f func(i int)) {
	if n <= 1 || threads() <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	t := teams.Get().(*team)
	t.n, t.f = int64(n), f
	t.next.Store(0)
	for want := n - 1; want > 0 && takeHelper(); want-- {
		t.helpers.Add(1)
		go t.help()
	}
	t.work()
	helpersBusy.Add(-1) // while the caller waits, a nested call of the last helper may have its place
	t.helpers.Wait()
	helpersBusy.Add(1)
	failure := t.failure
	t.f, t.failure = nil, nil
	teams.Put(t)
	if failure != nil {
		panic(failure)
	}
}

func takeHelper() bool {
	for {
		busy := helpersBusy.Load()
		if busy >= threads()-1 {
			return false
		}
		if helpersBusy.CompareAndSwap(busy, busy+1) {
			return true
		}
	}
}

// idleThreads is the number of threads that a call of Parallel would have now, the caller's included.
func idleThreads() int { return int(min(threads(), max(1, threads()-helpersBusy.Load()))) }

// A team is one call of Parallel. Teams are pooled, and help is bound once, so that a call allocates nothing.
type team struct {
	n       int64
	f       func(int)
	next    atomic.Int64
	helpers sync.WaitGroup
	help    func()
	mu      sync.Mutex
	failure any
}

var teams = sync.Pool{New: func() any {
	t := new(team)
	t.help = func() {
		defer t.helpers.Done()
		defer helpersBusy.Add(-1)
		t.work()
	}
	return t
}}

func (t *team) work() {
	defer func() {
		if r := recover(); r != nil {
			t.next.Store(t.n) // nobody starts another call
			t.mu.Lock()
			t.failure = fmt.Errorf("simd: Parallel: a call panicked: %v", r)
			t.mu.Unlock()
		}
	}()
	for {
		i := t.next.Add(1) - 1
		if i >= t.n {
			return
		}
		t.f(int(i))
	}
}
