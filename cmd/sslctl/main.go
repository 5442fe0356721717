// Command sslctl pretrains models without labels on a cluster of ordinary machines.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/sslctl/sslctl/internal/telemetry"
)

// version is set by the linker.
var version = "dev"

func main() {
	log.SetOutput(io.Discard) // net/http writes there what a server that is no coordinator greets with; the error says it better
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program; its result is the exit code.
func run(args []string, in io.Reader, out, err io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal ends the command in order; with the handler gone, a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	root := newRootCommand(&globals{in: in, out: out, err: err})
	root.SetArgs(args)
	// All that one command asks of the coordinators has one id in their logs.
	failure := root.ExecuteContext(telemetry.WithRequestID(ctx, telemetry.NewRequestID()))
	if failure != nil && ctx.Err() != nil && errors.Is(failure, context.Canceled) {
		failure = fmt.Errorf("%w: %w", errInterrupted, failure)
	}
	printError(err, failure)
	return exitCode(failure)
}
