package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
	"github.com/sslctl/sslctl/worker"
)

type deleteOptions struct {
	force       bool
	checkpoints bool
}

type deleteReport struct {
	Job         string `json:"job"`
	UID         string `json:"uid"`
	State       string `json:"state"`
	Checkpoints string `json:"checkpoints,omitempty"` // the folder whose checkpoints were deleted
	Exported    string `json:"exported,omitempty"`    // stays
}

func newDeleteCommand(g *globals) *cobra.Command {
	var o deleteOptions
	cmd := &cobra.Command{
		Use:   "delete JOB",
		Short: "Remove a job that has ended from the list; its checkpoints stay unless asked for",
		Long: `Removes a job that has ended from what the coordinators know, with its ledger and events. Its checkpoints stay where they are, unless
--checkpoints deletes them and the index of its data; an exported encoder stays in any case. --checkpoints is done by this process, so it must reach
the job's checkpoint.uri and find its secretRef, as workers do.

The name is free afterwards. The uid never comes back. Where several jobs that are listed have the name, the uid must be given.`,
		Args: arguments(1, 1, "the job's name or uid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDelete(cmd.Context(), g, args[0], o)
		},
	}
	cmd.Flags().BoolVar(&o.force, "force", false, "cancel the job first, if it has not ended")
	cmd.Flags().BoolVar(&o.checkpoints, "checkpoints", false, "delete its checkpoints, too")
	return cmd
}

func runDelete(ctx context.Context, g *globals, name string, o deleteOptions) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.close()
	// Deleted is the job that is looked at here, by its uid: a request that is repeated must not find an older job of the name.
	job, err := c.get(ctx, &sslctlv1.GetRequest{Job: name})
	if err != nil {
		return err
	}
	if err := c.onlyOne(ctx, job, name); err != nil {
		return err
	}
	folder := ""
	if o.checkpoints && (ended(job.State) || o.force) {
		if folder, err = g.deleteCheckpoints(ctx, c, job); err != nil {
			return fmt.Errorf("deleting the checkpoints of job %s, which is still listed: %w", job.Name, err)
		}
	}
	last, err := c.delete(ctx, job, o.force)
	switch {
	case err == nil:
		job = last
	case exitCode(err) != exitNotFound: // else it is gone already: the answer to an earlier attempt was lost
		return err
	}
	return g.print(deleteReport{job.Name, job.Uid, stateName(job.State), folder, job.Exported}, func(w io.Writer, _ bool) {
		fmt.Fprintf(w, "job %s (uid %s) is deleted; it was %s\n", job.Name, job.Uid, stateName(job.State))
		if folder != "" {
			fmt.Fprintf(w, "its checkpoints in %s are deleted\n", folder)
		} else if n := len(job.Checkpoints); n > 0 {
			fmt.Fprintf(w, "its newest checkpoint stays: %s\n", job.Checkpoints[n-1].Uri)
		}
		if job.Exported != "" {
			fmt.Fprintf(w, "its encoder stays: %s\n", job.Exported)
		}
	})
}

// onlyOne refuses a name that several jobs have: it would go over to an older one, and a command that is given twice would delete both.
func (c *client) onlyOne(ctx context.Context, job *sslctlv1.Job, name string) error {
	if name == job.Uid {
		return nil
	}
	jobs, err := c.list(ctx)
	if err != nil {
		return err
	}
	var found []string
	for _, j := range jobs {
		if j.Name == job.Name {
			found = append(found, fmt.Sprintf("%s (%s)", j.Uid, stateName(j.State)))
		}
	}
	if len(found) < 2 {
		return nil
	}
	return &conflictError{fmt.Sprintf("deleting job %s: %d jobs have this name, with the uids %s; name one by its uid: the newest is sslctl delete %s",
		name, len(found), strings.Join(found, ", "), job.Uid)}
}

// deleteCheckpoints cancels a job if it has not ended, and deletes what it has stored. If that cannot be reached, nothing is done.
func (g *globals) deleteCheckpoints(ctx context.Context, c *client, job *sslctlv1.Job) (folder string, err error) {
	files, err := worker.FindJobFiles(ctx, job.SpecYaml, job.Uid)
	if err != nil {
		return "", err
	}
	if !ended(job.State) {
		if _, err := c.cancel(ctx, job.Uid); err != nil {
			return "", err
		}
	}
	if err := c.awaitIdle(ctx, job.Uid); err != nil {
		return "", err
	}
	return files.URI(), files.Delete(ctx)
}

// idleWithin bounds how long workers may take to end a step of a job that is cancelled.
const idleWithin = time.Minute

// awaitIdle waits until no worker works for a job any more, or they might store what was just deleted.
func (c *client) awaitIdle(ctx context.Context, uid string) error {
	ctx, cancel := context.WithTimeout(ctx, idleWithin)
	defer cancel()
	for {
		cluster, err := c.getCluster(ctx)
		if err != nil {
			return err
		}
		var at []string
		for _, w := range cluster.Workers {
			if w.WorkingForUid == uid && w.State != "lost" {
				at = append(at, w.Id)
			}
		}
		if len(at) == 0 {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting for the workers %s to stop: %w; try again", strings.Join(at, ", "), ctx.Err())
		}
	}
}

func (c *client) delete(ctx context.Context, job *sslctlv1.Job, force bool) (*sslctlv1.Job, error) {
	m, err := call(ctx, c, "deleting job "+job.Name, func(ctx context.Context, e endpoint) (*connect.Response[sslctlv1.DeleteResponse], error) {
		return e.jobs.Delete(ctx, connect.NewRequest(&sslctlv1.DeleteRequest{Job: job.Uid, Force: force}))
	})
	return m.GetJob(), err
}
