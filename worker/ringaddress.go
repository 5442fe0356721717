package worker

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// checkRingAddress rejects addresses for other ranks that cannot work: later, frames would take the slow way for the whole of a job. Whether
// the port is free shows when a job comes; it may be another process's until then.
func checkRingAddress(listen, host string) error {
	at, port, err := net.SplitHostPort(listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%w: the address %q to listen at for other ranks: %w; expected host:port", ErrConfig, listen, err)
	}
	probe, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
	if err != nil {
		return fmt.Errorf("%w: the address %q to listen at for other ranks: %w; expected one of this machine, or no host for all of them", ErrConfig, listen, err)
	}
	if err := probe.Close(); err != nil {
		return fmt.Errorf("%w: the address %q to listen at for other ranks: %w", ErrConfig, listen, err)
	}
	ip, err := netip.ParseAddr(host)
	if err == nil && ip.IsUnspecified() || err != nil && strings.ContainsAny(host, ":[]/ ") {
		return fmt.Errorf("%w: the host %q that other ranks dial; expected a name or an IP address of this machine without a port, which is the one to listen at", ErrConfig, host)
	}
	return nil
}
