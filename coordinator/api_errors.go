package coordinator

import (
	"errors"

	"connectrpc.com/connect"
	"github.com/hashicorp/raft"

	"github.com/sslctl/sslctl/coordinator/state"
)

// refused is the API error for a command that package state has refused.
func refused(err error) error {
	code := connect.CodeInternal
	switch {
	case errors.Is(err, state.ErrNoJob), errors.Is(err, state.ErrNoWorker):
		code = connect.CodeNotFound
	case errors.Is(err, state.ErrNameTaken):
		code = connect.CodeAlreadyExists
	case errors.Is(err, state.ErrInvalid):
		code = connect.CodeInvalidArgument
	case errors.Is(err, state.ErrEnded), errors.Is(err, state.ErrLiving), errors.Is(err, state.ErrPausing), errors.Is(err, state.ErrReplaced),
		errors.Is(err, state.ErrStale), errors.Is(err, state.ErrPlanChanged):
		code = connect.CodeFailedPrecondition
	}
	return connect.NewError(code, err)
}

// uncommitted is the API error for a command of which it is not known whether it was, or will be, committed.
func uncommitted(err error) error {
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipLost) || errors.Is(err, raft.ErrRaftShutdown) ||
		errors.Is(err, raft.ErrEnqueueTimeout) || errors.Is(err, raft.ErrLeadershipTransferInProgress) || errors.Is(err, ErrClosed) {
		return connect.NewError(connect.CodeUnavailable, err)
	}
	return connect.NewError(connect.CodeInternal, err)
}

// errTurned is what requests get that are under way when leadership changes.
var errTurned = connect.NewError(connect.CodeUnavailable, errors.New("this coordinator leads no longer; try again"))
