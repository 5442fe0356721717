package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/sslctl/sslctl/internal/bus"
)

// rankVariable tells a copy of this program which rank it is, and of what ring.
const rankVariable = "SSLCTL_BENCH_RANK"

// process is a program that makes one round for each line that it reads.
type process struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func startProcess(command *exec.Cmd) (*process, error) {
	p := &process{command: command}
	var err error
	if p.in, err = command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out, command.Stderr = bufio.NewReader(out), os.Stderr
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command.Path, err)
	}
	return p, nil
}

// begin starts a round.
func (p *process) begin() error {
	_, err := io.WriteString(p.in, "go\n")
	return err
}

// round makes a round.
func (p *process) round() (float64, error) {
	if err := p.begin(); err != nil {
		return 0, err
	}
	return readTime(p.out)
}

// close lets the program end, which it does at the end of its input.
func (p *process) close() error {
	p.in.Close()
	return p.command.Wait()
}

func startPeer(s settings) (*process, error) {
	words := strings.Fields(s.Peer)
	if len(words) == 0 {
		return nil, errors.New("-peer is blank; expected a command line")
	}
	words = append(words, fmt.Sprint(s.Ranks), fmt.Sprint(s.Bytes))
	return startProcess(exec.Command(words[0], words[1:]...))
}

// ring is one process for each rank, and the NATS server that they share.
type ring struct {
	server *bus.Server
	ranks  []*process
}

func startRing(s settings) (*ring, error) {
	server, err := bus.StartServer(bus.ServerConfig{Name: "bench"})
	if err != nil {
		return nil, err
	}
	r := &ring{server: server}
	self, err := os.Executable()
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	for rank := range s.Ranks {
		command := exec.Command(self)
		command.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %d %s %s %s", rankVariable, rank, s.Ranks, s.Bytes, s.Lane, s.Wire, server.ClientURL()))
		p, err := startProcess(command)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		r.ranks = append(r.ranks, p)
	}
	return r, nil
}

// round takes as long as its slowest rank.
func (r *ring) round() (float64, error) {
	for _, p := range r.ranks {
		if err := p.begin(); err != nil {
			return 0, err
		}
	}
	slowest := 0.0
	for rank, p := range r.ranks {
		took, err := readTime(p.out)
		if err != nil {
			return 0, fmt.Errorf("rank %d: %w", rank, err)
		}
		slowest = max(slowest, took)
	}
	return slowest, nil
}

func (r *ring) close() error {
	var errs []error
	for _, p := range r.ranks {
		p.in.Close()
	}
	for _, p := range r.ranks {
		errs = append(errs, p.command.Wait())
	}
	r.server.Shutdown()
	return errors.Join(errs...)
}
