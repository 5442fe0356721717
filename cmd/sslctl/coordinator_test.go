package main

import (
	"net"
	"strings"
	"testing"

	"github.com/sslctl/sslctl/internal/bus"
)

func TestCoordinatorPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	code, stdout, stderr := sslctl("", "coordinator", "--id", "a", "--listen", l.Addr().String(), "--data-dir", t.TempDir())
	if code != 1 || stdout != "" || !strings.Contains(stderr, "address already in use; choose another --listen") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	code, _, stderr = sslctl("", "coordinator", "--id", "a", "--listen", "127.0.0.1:0", "--nats-listen", l.Addr().String(), "--data-dir", t.TempDir())
	if code != 1 || !strings.Contains(stderr, "embedded NATS server did not start") || !strings.Contains(stderr, l.Addr().String()) {
		t.Errorf("NATS: exit code %d, stderr %q", code, stderr)
	}
}

func TestCoordinatorSettings(t *testing.T) {
	code, _, stderr := sslctl("", "coordinator", "--id", "a", "--listen", "127.0.0.1:0", "--peers", "b=127.0.0.1:1,c=127.0.0.1:2",
		"--nats", "nats://127.0.0.1:4222", "--data-dir", t.TempDir())
	if code != 3 || !strings.Contains(stderr, "coordinator a is not among the peers") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}

func TestNeighbour(t *testing.T) {
	for address, want := range map[string]string{"10.0.0.1:7600": "10.0.0.1:7601", "[::1]:7600": "[::1]:7601", "127.0.0.1:0": "127.0.0.1:0", "odd": "odd"} {
		if got := neighbour(address, 1); got != want {
			t.Errorf("neighbour(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestAdvertisedBus(t *testing.T) {
	peers := map[string]string{"a": "host-a:7600"}
	for want, o := range map[string]coordinatorOptions{
		"nats://host-a:7601":    {id: "a", peers: peers},
		"nats://public:7601":    {id: "a", peers: peers, advertise: "public:80"},
		"nats://127.0.0.1:7601": {id: "a"},
	} {
		if got := advertisedBus(o, "nats://127.0.0.1:7601"); got != want {
			t.Errorf("%+v: got %q, want %q", o, got, want)
		}
	}
}

func TestListenAddress(t *testing.T) {
	for address, want := range map[string]string{
		"7600":            `sslctl: starting coordinator a: --listen is "7600": missing port in address; expected host:port, such as 127.0.0.1:7600`,
		"127.0.0.1:77600": `sslctl: starting coordinator a: --listen is "127.0.0.1:77600": invalid port; expected host:port, such as 127.0.0.1:7600`,
	} {
		if code, _, stderr := sslctl("", "coordinator", "--id", "a", "--listen", address, "--data-dir", t.TempDir()); code != 3 || stderr != want+"\n" {
			t.Errorf("exit code %d, stderr %q, want %q", code, stderr, want)
		}
	}
}

// TestAddressOfTheBus asks the port beside the one that was meant. Whether the server's greeting or the request comes first decides how it is known.
func TestAddressOfTheBus(t *testing.T) {
	server, err := bus.StartServer(bus.ServerConfig{Name: "bus"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	address := strings.TrimPrefix(server.ClientURL(), "nats://")
	code, _, stderr := sslctl("", "list", "--addr", address, "--timeout", "1s")
	if code != 4 || !strings.Contains(stderr, "("+address+": a ") || !strings.Contains(stderr, " answers there, not a coordinator; the API is at the coordinator's --listen);") ||
		!strings.Contains(stderr, "NATS") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}
