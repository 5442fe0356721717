package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/sslctl/sslctl/internal/telemetry"
)

// shells are those that completion knows.
var shells = []string{"bash", "zsh", "fish", "powershell"}

func newCompletionCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the script that lets a shell complete commands, flags and names of jobs",
		Long: `Prints the script that lets a shell (bash, zsh, fish or powershell) complete commands, flags, and the names of jobs, workers and coordinators,
which it asks the coordinators at --addr or SSLCTL_ADDR for.

  bash        source <(sslctl completion bash)                  needs the package bash-completion
  zsh         source <(sslctl completion zsh)                   after autoload -U compinit; compinit
  fish        sslctl completion fish | source
  powershell  sslctl completion powershell | Out-String | Invoke-Expression

In the shell's start-up file, such a line serves every new session.`,
		Args:      arguments(1, 1, "the shell ("+strings.Join(shells, ", ")+")"),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCompletion(cmd, g.out, args[0])
		},
	}
}

func runCompletion(cmd *cobra.Command, w io.Writer, shell string) error {
	root := cmd.Root()
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "zsh":
		return root.GenZshCompletion(w)
	case "fish":
		return root.GenFishCompletion(w, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(w)
	}
	return &usageError{fmt.Sprintf("there is no completion for %q; expected one of %s", shell, strings.Join(shells, ", ")), cmd.CommandPath()}
}

// completeWithin bounds how long a shell waits for names: who presses a key waits for no election.
const completeWithin = time.Second

type completion = func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective)

// complete gives each command whose first argument is a JOB, WORKER or COORDINATOR their names, and flags of few values those.
func (g *globals) complete(root *cobra.Command) {
	names := map[string]completion{"JOB": g.names(g.jobNames), "WORKER": g.names(g.workerNames), "COORDINATOR": g.names(g.coordinatorNames)}
	var each func(*cobra.Command)
	each = func(cmd *cobra.Command) {
		if words := strings.Fields(cmd.Use); len(words) > 1 {
			cmd.ValidArgsFunction = names[strings.Trim(words[1], "[]")]
		}
		for _, child := range cmd.Commands() {
			each(child)
		}
	}
	each(root)
	for flag, values := range map[string][]string{"output": outputs, "log-level": telemetry.Levels(), "log-format": telemetry.Formats()} {
		// It fails for flags that do not exist alone, and the tests complete these.
		_ = root.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
}

// names completes the first argument with the names that list finds in the cluster, and further ones with files. A cluster that
// does not answer completes nothing.
func (g *globals) names(list func(context.Context, *client) ([]string, error)) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		if err := flagsFromEnvironment(cmd); err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		c, err := newClient(g.addresses, min(g.timeout, completeWithin))
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer c.close()
		ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
		defer cancel()
		names, err := list(ctx, c)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// jobNames are the names of all jobs, for completion, each with what it does.
func (g *globals) jobNames(ctx context.Context, c *client) ([]string, error) {
	jobs, err := c.list(ctx)
	var names []string
	seen := map[string]bool{}
	for i := len(jobs) - 1; i >= 0; i-- { // of several jobs of a name, the newest is meant
		if j := jobs[i]; !seen[j.Name] {
			seen[j.Name] = true
			names = append(names, cobra.CompletionWithDesc(j.Name, stateName(j.State)))
		}
	}
	return names, err
}

// workerNames are the ids of all workers, for completion.
func (g *globals) workerNames(ctx context.Context, c *client) ([]string, error) {
	cluster, err := c.getCluster(ctx)
	var names []string
	for _, w := range cluster.GetWorkers() {
		names = append(names, cobra.CompletionWithDesc(w.Id, w.State))
	}
	return names, err
}

// coordinatorNames are the ids of all coordinators, for completion.
func (g *globals) coordinatorNames(ctx context.Context, c *client) ([]string, error) {
	cluster, err := c.getCluster(ctx)
	var names []string
	for _, n := range cluster.GetCoordinators() {
		names = append(names, cobra.CompletionWithDesc(n.Id, n.State))
	}
	return names, err
}
