package coordinator

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// greeting is what a coordinator says first when it calls another one for Raft. It is there for one purpose: a mistaken peer list
// gives a sentence instead of two groups that mix.
type greeting struct {
	Version int    `json:"version"`
	Cluster string `json:"cluster"`
	From    string `json:"from"`
	To      string `json:"to"`
	// Group is the index of the entry in the caller's log that says who is of the group. It tells one who was let in lately, which
	// the other may not have heard yet, from one who was removed, or has made a group of its own.
	Group uint64 `json:"group,omitempty"`
}

const greetingVersion = 1

// greetingMost bounds the bytes of a greeting and of its answer.
const greetingMost = 4096

// stream is the raft.StreamLayer on the shared port.
type stream struct {
	*queue
	id, cluster string
	advertise   string
	peers       map[string]string
	raft        atomic.Pointer[raft.Raft] // nil until it has started

	mu     sync.Mutex
	failed map[string]error // by address: why the last call failed
}

// Addr is the address that this node is known by.
func (s *stream) Addr() net.Addr { return advertised(s.advertise) }

type advertised string

func (advertised) Network() string  { return "tcp" }
func (a advertised) String() string { return string(a) }

// ServerAddr is where a node is now, which may be elsewhere than when the group was made.
func (s *stream) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	addr, ok := s.peers[string(id)]
	if !ok {
		return "", fmt.Errorf("coordinator %s is not among the peers %s", id, peerList(s.peers))
	}
	return raft.ServerAddress(addr), nil
}

// Dial calls another coordinator.
func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	conn, err := s.dial(string(address), timeout)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed[string(address)] = err
		return nil, err
	}
	delete(s.failed, string(address))
	return conn, nil
}

func (s *stream) dial(address string, timeout time.Duration) (net.Conn, error) {
	to := ""
	for id, addr := range s.peers {
		if addr == address {
			to = id
		}
	}
	conn, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return nil, fmt.Errorf("call coordinator %s: %w", to, err)
	}
	conn.SetDeadline(time.Now().Add(timeout))
	if err := s.introduce(conn, to); err != nil {
		conn.Close()
		return nil, fmt.Errorf("call coordinator %s at %s: %w", to, address, err)
	}
	conn.SetDeadline(time.Time{})
	return conn, nil
}

func (s *stream) introduce(conn net.Conn, to string) error {
	hello, err := json.Marshal(greeting{Version: greetingVersion, Cluster: s.cluster, From: s.id, To: to, Group: s.group().index})
	if err != nil {
		return fmt.Errorf("encode the greeting: %w", err)
	}
	if _, err := conn.Write(append([]byte{preamble}, frame(hello)...)); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	answer, err := readFrame(conn)
	if err != nil {
		return fmt.Errorf("read its answer, is it a coordinator: %w", err)
	}
	if len(answer) > 0 {
		return fmt.Errorf("it refused: %s", answer)
	}
	return nil
}

// welcome answers a greeting whose preamble was read; the error says why it was refused, as the caller is told.
func (s *stream) welcome(conn net.Conn) error {
	data, err := readFrame(conn)
	if err != nil {
		return fmt.Errorf("read the greeting: %w", err)
	}
	var g greeting
	if err := json.Unmarshal(data, &g); err != nil {
		return fmt.Errorf("read the greeting: %w", err)
	}
	refusal := s.judge(g)
	answer := ""
	if refusal != nil {
		answer = refusal.Error()
	}
	if _, err := conn.Write(frame([]byte(answer))); err != nil {
		return errors.Join(refusal, fmt.Errorf("answer the greeting: %w", err))
	}
	return refusal
}

// group is the group as this node's log has it; empty before Raft has started.
func (s *stream) group() membership {
	if r := s.raft.Load(); r != nil {
		return membersOf(r)
	}
	return membership{}
}

func (s *stream) judge(g greeting) error {
	_, known := s.peers[g.From]
	group := s.group()
	switch {
	case g.Version != greetingVersion:
		return fmt.Errorf("coordinator %s speaks version %d between coordinators, %s speaks %d", g.From, g.Version, s.id, greetingVersion)
	case g.Cluster != s.cluster:
		return fmt.Errorf("coordinator %s is of cluster %q, %s at this address is of cluster %q", g.From, g.Cluster, s.id, s.cluster)
	case g.To != s.id:
		return fmt.Errorf("coordinator %s takes this address for %s, it is %s", g.From, g.To, s.id)
	case !known:
		return fmt.Errorf("coordinator %s is not among the peers of %s: %s", g.From, s.id, peerList(s.peers))
	case len(group.servers) > 0 && !group.has(g.From) && g.Group <= group.index:
		return fmt.Errorf("coordinator %s is no member of the group %s; %s", g.From, strings.Join(group.ids(), ", "), letIn(g.From))
	}
	return nil
}

// letIn says how a node becomes a member.
func letIn(id string) string {
	return fmt.Sprintf("to let it in, start it on an empty --data-dir with --join, then run sslctl operator raft add-peer %s", id)
}

// trouble says why peers could not be called, in order of their addresses; empty if all could.
func (s *stream) trouble() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, err := range s.failed {
		list = append(list, err.Error())
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}

func frame(data []byte) []byte {
	data = data[:min(len(data), greetingMost)]
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...)
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(head[:])
	if n > greetingMost {
		return nil, fmt.Errorf("it has %d bytes, at most %d are allowed", n, greetingMost)
	}
	data := make([]byte, n)
	_, err := io.ReadFull(r, data)
	return data, err
}
