package bus

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, config ServerConfig) *Server {
	t.Helper()
	s, err := StartServer(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func connect(t *testing.T, urls ...string) *nats.Conn {
	t.Helper()
	c, err := Connect(within(t, 10*time.Second), urls, t.Name(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// delivers publishes until a subscriber on the other connection hears it: a cluster spreads interest in the background.
func delivers(t *testing.T, from, to *nats.Conn) {
	t.Helper()
	sub, err := to.SubscribeSync("probe")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		// An error means that the connection is being re-made; the next round tries again.
		_ = to.FlushTimeout(time.Second)
		_ = from.Publish("probe", []byte("x"))
		if _, err := sub.NextMsg(50 * time.Millisecond); err == nil {
			return
		}
	}
	t.Fatal("no message arrived within 10 s")
}

// cluster starts n servers in this process that find each other from the first one's address.
func cluster(t *testing.T, n int) []*Server {
	t.Helper()
	servers := []*Server{start(t, ServerConfig{Name: "a", ClusterListen: "127.0.0.1:0"})}
	for _, name := range strings.Split("bcdefg", "")[:n-1] {
		servers = append(servers, start(t, ServerConfig{Name: name, ClusterListen: "127.0.0.1:0", Routes: []string{servers[0].ClusterURL()}}))
	}
	return servers
}

func TestClusterInOneProcessSurvivesALostServer(t *testing.T) {
	servers := cluster(t, 3)
	a, c := connect(t, servers[0].ClientURL()), connect(t, servers[2].ClientURL())
	delivers(t, a, c)

	// c was given one address only: it must have learned the others from the cluster.
	reconnected := c.StatusChanged(nats.CONNECTED)
	servers[2].Shutdown()
	select {
	case <-reconnected:
	case <-time.After(10 * time.Second):
		t.Fatal("did not reconnect to another server of the cluster within 10 s")
	}
	delivers(t, a, c)
	delivers(t, c, a)
}

func TestLimits(t *testing.T) {
	s := start(t, ServerConfig{Name: "a"})
	c := connect(t, s.ClientURL())
	if c.MaxPayload() != 8<<20 {
		t.Fatalf("max payload %d, want 8 MiB", c.MaxPayload())
	}
}

func TestPortTakenIsOneClearError(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	for field, config := range map[string]ServerConfig{
		"client":  {Name: "a", ClientListen: address},
		"cluster": {Name: "a", ClusterListen: address},
	} {
		_, err := StartServer(config)
		if !errors.Is(err, ErrStart) {
			t.Fatalf("%s port taken: error %v, want ErrStart", field, err)
		}
		for _, want := range []string{address, "address already in use", "choose a free port"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s port taken: error %q does not contain %q", field, err, want)
			}
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for want, config := range map[string]ServerConfig{
		"Name is empty":                {},
		"expected host:port":           {Name: "a", ClientListen: "localhost"},
		"number from 0 to 65535":       {Name: "a", ClientListen: "localhost:http"},
		"set ClusterListen":            {Name: "a", Routes: []string{"nats://x:1"}},
		"expected nats://host:port":    {Name: "a", ClusterListen: "127.0.0.1:0", Routes: []string{"x"}},
		"ClusterListen \"127.0.0.1\":": {Name: "a", ClusterListen: "127.0.0.1"},
	} {
		if _, err := StartServer(config); !errors.Is(err, ErrStart) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want ErrStart with %q", err, want)
		}
	}
}

func TestConnectNamesEveryAddress(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "nats://user:secret@" + free.Addr().String()
	free.Close()
	var said []error
	_, err = Connect(within(t, 200*time.Millisecond), []string{nobody, "nats://127.0.0.1:1"}, "x", zap.NewNop(), func(err error) { said = append(said, err) })
	if len(said) != 1 || !strings.Contains(said[0].Error(), "127.0.0.1:1 (connection refused)") {
		t.Errorf("while it waits it says %v", said)
	}
	if !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want ErrUnreachable and the deadline", err)
	}
	for _, want := range []string{free.Addr().String() + " (connection refused)", "127.0.0.1:1 (connection refused)", "check that"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not contain %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("error %q shows the password", err)
	}
	for want, urls := range map[string][]string{"no address given": nil, "expected nats://host:port": {"localhost"}} {
		if _, err := Connect(t.Context(), urls, "x", nil, nil); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), want) {
			t.Errorf("Connect(%q): error %v, want ErrUnreachable with %q", urls, err, want)
		}
	}
}

func TestConnectWaitsForAServerThatStartsLater(t *testing.T) {
	first := start(t, ServerConfig{Name: "a"})
	address := strings.TrimPrefix(first.ClientURL(), "nats://")
	first.Shutdown()
	type result struct {
		conn *nats.Conn
		err  error
	}
	done := make(chan result, 1)
	ctx := within(t, 10*time.Second)
	go func() {
		conn, err := Connect(ctx, []string{"nats://" + address}, "early", nil, nil)
		done <- result{conn, err}
	}()
	start(t, ServerConfig{Name: "a", ClientListen: address})
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	r.conn.Close()
}

func TestCloseDeliversWhatWasPublished(t *testing.T) {
	s := start(t, ServerConfig{Name: "a"})
	from, to := connect(t, s.ClientURL()), connect(t, s.ClientURL())
	sub, err := to.SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := from.Publish("x", []byte("last")); err != nil {
		t.Fatal(err)
	}
	if err := Close(from, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.NextMsg(5 * time.Second); err != nil {
		t.Fatalf("the last message did not arrive: %v", err)
	}
	s.Shutdown()
	if err := Close(to, 5*time.Second); err != nil {
		t.Fatalf("closing without a server: %v", err)
	}
}

func TestExternalServerProcess(t *testing.T) {
	c := connect(t, external(t))
	delivers(t, c, c)
}

// external starts a nats-server process and returns its address.
func external(t *testing.T) string {
	t.Helper()
	tools := os.Getenv("SSLCTL_TOOLS")
	if tools == "" {
		tools = filepath.Join(os.Getenv("HOME"), ".cache", "sslctl-tools")
	}
	path := filepath.Join(tools, "bin", "nats-server")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no nats-server program: %v; run make tools", err)
	}
	process := exec.Command(path, "--addr", "127.0.0.1", "--port", "-1")
	output, err := process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	addresses := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(addresses)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			if _, address, ok := strings.Cut(lines.Text(), "Listening for client connections on "); ok {
				addresses <- address
			}
		}
	}()
	t.Cleanup(func() {
		process.Process.Kill()
		<-read
		process.Wait()
	})
	select {
	case address, ok := <-addresses:
		if !ok {
			t.Fatalf("%s ended before it listened", path)
		}
		return "nats://" + address
	case <-time.After(20 * time.Second):
		t.Fatalf("%s did not say where it listens within 20 s", path)
	}
	return ""
}

func TestSecretsOfAddressesAreHidden(t *testing.T) {
	got := Redact([]string{"nats://10.0.0.1:4222", "nats://ann:pass@10.0.0.1:4222", "nats://s3cr3tT0ken@10.0.0.1:4222", "nats://ann:%zz@x"})
	want := []string{"nats://10.0.0.1:4222", "nats://ann:xxxxx@10.0.0.1:4222", "nats://xxxxx@10.0.0.1:4222", "(unreadable address)"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
