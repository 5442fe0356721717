package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"time"
)

const (
	block = 150 * time.Millisecond // how long one side is measured before the other's turn
	long  = 50 * time.Millisecond  // from here on a call needs no other to warm its caches
	most  = 100                    // calls a turn
)

// pair is what one comparison found: medians over all calls of all rounds, in seconds. Theirs is 0 where the peer is missing.
type pair struct {
	ours, theirs float64
	peerName     string
}

// compare measures our call and a peer's in turns, so that what disturbs the machine meets both.
func (b *bench) compare(ctx context.Context, call func(), module string, args map[string]any) (pair, error) {
	p, err := b.startPeer(ctx, module, args)
	var absent missing
	if errors.As(err, &absent) {
		return pair{ours: median(b.alone(call)), peerName: absent.Error()}, nil
	}
	if err != nil {
		return pair{}, err
	}
	defer p.close()
	debug.FreeOSMemory() // what earlier rows left must not be collected while this one is measured
	n, warm := turn(call)
	first, err := p.run(1, 1)
	if err != nil {
		return pair{}, err
	}
	theirN, theirWarm := calls(first[0])
	var ours, theirs []float64
	for range b.rounds {
		if err := ctx.Err(); err != nil {
			return pair{}, fmt.Errorf("compare %s: %w", module, err)
		}
		ours = append(ours, times(call, n, warm)...)
		measured, err := p.run(theirN, theirWarm)
		if err != nil {
			return pair{}, err
		}
		theirs = append(theirs, measured...)
	}
	if b.verbose {
		fmt.Fprintf(os.Stderr, "%s %v: ours %.4g…%.4g ms, %s %.4g…%.4g ms\n", module, args,
			1e3*slices.Min(ours), 1e3*slices.Max(ours), p.Name, 1e3*slices.Min(theirs), 1e3*slices.Max(theirs))
	}
	return pair{median(ours), median(theirs), p.Name}, nil
}

// alone measures our call without a peer.
func (b *bench) alone(call func()) (measured []float64) {
	debug.FreeOSMemory()
	n, warm := turn(call)
	for range b.rounds {
		measured = append(measured, times(call, n, warm)...)
	}
	return measured
}

// turn calls twice, and says how many calls a turn has from the second's time.
func turn(call func()) (n, warm int) {
	return calls(times(call, 1, 1)[0])
}

// calls says how many calls of so many seconds each a turn has, and how many go before them.
func calls(seconds float64) (n, warm int) {
	if seconds < long.Seconds() {
		warm = 1
	}
	return min(max(int(block.Seconds()/seconds), 1), most), warm
}

// times measures n calls after some that are not measured, in seconds.
func times(call func(), n, warm int) []float64 {
	for range warm {
		call()
	}
	measured := make([]float64, n)
	for i := range measured {
		start := time.Now()
		call()
		measured[i] = time.Since(start).Seconds()
	}
	return measured
}

// median is the middle value, the mean of the two middle ones of an even number.
func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
