// Command ring measures an all-reduce of float32 gradients between processes on this machine: each round sums one vector of every rank into
// one that all ranks have, from floats to floats. It prints one line of JSON.
//
// With -peer, a program is measured in the same run, the rounds of the two alternating: for each line on its standard input it makes one
// round, and answers with the milliseconds that it took.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
)

// settings are what a run measures.
type settings struct {
	Ranks  int    `json:"ranks"`
	Bytes  int    `json:"bytes"`
	Lane   string `json:"lane"`
	Wire   string `json:"wire"`
	Rounds int    `json:"rounds"`
	Warmup int    `json:"-"`
	Peer   string `json:"-"`
}

// result is what is printed: medians over the rounds, each of which takes as long as its slowest rank.
type result struct {
	settings
	Milliseconds     float64 `json:"ms"`
	PeerMilliseconds float64 `json:"peer_ms,omitempty"`
	Ratio            float64 `json:"ratio,omitempty"`
}

func main() {
	var s settings
	flag.IntVar(&s.Ranks, "ranks", 4, "processes in the ring")
	flag.IntVar(&s.Bytes, "bytes", 64<<20, "bytes of the gradient, as float32")
	flag.StringVar(&s.Lane, "lane", "nats", "how frames travel: nats (a server in each process), direct (TCP alone), shared (one server for all)")
	flag.StringVar(&s.Wire, "wire", "int32", "what a value is on its way")
	flag.IntVar(&s.Rounds, "rounds", 9, "measured rounds")
	flag.IntVar(&s.Warmup, "warmup", 2, "rounds before those")
	flag.StringVar(&s.Peer, "peer", "", "command line of a program to measure beside")
	flag.Parse()
	run := measure
	if os.Getenv(rankVariable) != "" {
		run = func(settings) error { return serveRank(os.Getenv(rankVariable)) }
	}
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "ring:", err)
		os.Exit(1)
	}
}

// measure runs the rounds and prints the result.
func measure(s settings) (err error) {
	if s.Ranks < 2 || s.Bytes < 4*s.Ranks || s.Rounds < 1 || s.Warmup < 0 {
		return fmt.Errorf("%d ranks, %d bytes, %d rounds after %d; expected at least two ranks, an element for each, and a round", s.Ranks, s.Bytes, s.Rounds, s.Warmup)
	}
	ours, err := startRing(s)
	if err != nil {
		return err
	}
	contenders := []*contender{{name: "ring", round: ours.round}}
	defer func() { err = errors.Join(err, ours.close()) }()
	if s.Peer != "" {
		p, err := startPeer(s)
		if err != nil {
			return err
		}
		defer p.close()
		contenders = append(contenders, &contender{name: "peer", round: p.round})
	}
	for i := range s.Warmup + s.Rounds {
		for _, c := range contenders {
			took, err := c.round()
			if err != nil {
				return fmt.Errorf("round %d of the %s: %w", i+1, c.name, err)
			}
			if i >= s.Warmup {
				c.times = append(c.times, took)
			}
		}
	}
	r := result{settings: s, Milliseconds: median(contenders[0].times)}
	if s.Peer != "" {
		r.PeerMilliseconds = median(contenders[1].times)
		r.Ratio = r.Milliseconds / r.PeerMilliseconds
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// contender is one of the programs that are measured.
type contender struct {
	name  string
	round func() (milliseconds float64, err error)
	times []float64
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// readTime reads the answer to one round.
func readTime(from *bufio.Reader) (float64, error) {
	line, err := from.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("the program ended without an answer: %w", err)
	}
	var took float64
	if _, err := fmt.Sscan(line, &took); err != nil {
		return 0, fmt.Errorf("answer %q, expected milliseconds", line)
	}
	return took, nil
}
