package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"connectrpc.com/connect"
	"github.com/sslctl/sslctl/coordinator"
	"github.com/sslctl/sslctl/coordinator/snapshot"
	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/internal/bus"
	"github.com/sslctl/sslctl/internal/jobspec"
	"github.com/sslctl/sslctl/shard"
	"github.com/sslctl/sslctl/worker"
)

// Exit codes. exitHelp documents them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInvalid     = 3
	exitUnreachable = 4
	exitNotFound    = 5
	exitConflict    = 6
	exitJobEnded    = 7
	exitInterrupted = 130
)

const exitHelp = `Exit codes:
  0    done; a job that was followed is completed
  1    something failed while running
  2    wrong command line
  3    invalid job file, data set, setting, or other input that cannot be used
  4    no coordinator answers
  5    there is no such job, worker or coordinator
  6    not possible in the present state, or what would be made is there already
  7    the job that was followed has failed or was cancelled
  130  interrupted
`

var (
	// errUsage is matched by every error about the command line itself.
	errUsage = errors.New("wrong usage")
	// errInput is matched when a file or a value that the user named cannot be used.
	errInput = errors.New("unusable input")
	// errUnreachable is returned when no coordinator answers in time.
	errUnreachable = errors.New("no coordinator answers")
	// errInterrupted is returned when a signal has ended the command.
	errInterrupted = errors.New("interrupted")
)

// usageError is an error about the command line; hint is the command whose help explains it.
type usageError struct {
	message string
	hint    string
}

func (e *usageError) Error() string { return fmt.Sprintf("%s; run %q", e.message, e.hint+" --help") }
func (e *usageError) Unwrap() error { return errUsage }

// inputError matches errInput and says nothing of it.
type inputError struct{ error }

func (e *inputError) Unwrap() []error { return []error{errInput, e.error} }

// conflictError is an error about what the present state does not allow.
type conflictError struct{ message string }

func (e *conflictError) Error() string { return e.message }

// unusable are the errors of the parts that mean what errInput means: something that the user named cannot be used as it is.
var unusable = []error{
	errInput, jobspec.ErrInvalid, jobspec.ErrSecret, coordinator.ErrConfig, worker.ErrConfig, bus.ErrAddress,
	blob.ErrURI, blob.ErrNotExist, blob.ErrNoBucket, blob.ErrDenied,
	snapshot.ErrFormat, snapshot.ErrDamaged,
	shard.ErrPattern, shard.ErrFormat, shard.ErrTruncated, shard.ErrCompressed, shard.ErrNoSamples,
}

// matches tells whether err is one of list.
func matches(err error, list []error) bool {
	return slices.ContainsFunc(list, func(e error) bool { return errors.Is(err, e) })
}

// jobEndedError says that the job that was followed did not complete.
type jobEndedError struct{ name, state, reason string }

func (e *jobEndedError) Error() string {
	if e.reason == "" {
		return fmt.Sprintf("job %s has ended as %s", e.name, e.state)
	}
	return fmt.Sprintf("job %s has ended as %s: %s", e.name, e.state, e.reason)
}

// exitCode is the one place that maps errors to exit codes.
func exitCode(err error) int {
	var ended *jobEndedError
	var conflict *conflictError
	var api *connect.Error
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.As(err, &ended):
		return exitJobEnded
	case errors.As(err, &conflict), errors.Is(err, shard.ErrExists), errors.Is(err, worker.ErrNoCheckpoint):
		return exitConflict
	case matches(err, unusable):
		return exitInvalid
	case errors.Is(err, errUnreachable):
		return exitUnreachable
	case errors.As(err, &api):
		return apiExitCode(api.Code())
	}
	return exitFailure
}

// apiExitCode maps what a coordinator answered.
func apiExitCode(code connect.Code) int {
	switch code {
	case connect.CodeNotFound:
		return exitNotFound
	case connect.CodeAlreadyExists, connect.CodeFailedPrecondition, connect.CodeAborted:
		return exitConflict
	case connect.CodeInvalidArgument, connect.CodeOutOfRange:
		return exitInvalid
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		return exitUnreachable
	}
	return exitFailure
}

// printError writes one error to w. Errors of job files stand alone, so that editors find "file:line:column" at the start of the line.
func printError(w io.Writer, err error) {
	var list jobspec.Errors
	switch {
	case err == nil || errors.Is(err, errChanges):
	case errors.As(err, &list):
		fmt.Fprintln(w, list)
	case errors.Is(err, errInterrupted) && errors.Is(err, context.Canceled):
		fmt.Fprintln(w, "sslctl: interrupted")
	default:
		fmt.Fprintln(w, "sslctl:", err)
	}
}
