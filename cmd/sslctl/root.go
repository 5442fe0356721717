package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/sslctl/sslctl/internal/telemetry"
	"go.uber.org/zap"
)

// globals are the flags and streams that all verbs share.
type globals struct {
	in       io.Reader
	out, err io.Writer
	screen   *screen // on err

	addresses []string
	timeout   time.Duration
	output    string
	logLevel  string
	logFormat string
}

const defaultAddress = "127.0.0.1:7600"

func newRootCommand(g *globals) *cobra.Command {
	g.screen = &screen{w: g.err}
	root := &cobra.Command{
		Use:   "sslctl",
		Short: "Pretrain models without labels on a cluster of ordinary machines",
		Long: `sslctl pretrains models without labels on a cluster of ordinary machines.

  sslctl up job.yaml         runs a job on a cluster of its own, in one process
  sslctl submit job.yaml     hands a job to the coordinators at --addr and follows it

Data goes to standard output; progress, logs and errors go to standard error. Each flag has an environment variable: --addr is
SSLCTL_ADDR, --log-level is SSLCTL_LOG_LEVEL; a flag counts more. --set has none.

` + exitHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := flagsFromEnvironment(cmd); err != nil {
				return err
			}
			return g.validate(cmd)
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(g.in)
	root.SetOut(g.out)
	root.SetErr(g.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err.Error(), cmd.CommandPath()}
	})
	f := root.PersistentFlags()
	f.StringSliceVar(&g.addresses, "addr", []string{defaultAddress}, "addresses host:port of the coordinators, separated by commas")
	f.DurationVar(&g.timeout, "timeout", 10*time.Second, "how long one request may take over all coordinators")
	f.StringVarP(&g.output, "output", "o", "table", "form of the data on standard output: "+strings.Join(outputs, ", "))
	f.StringVar(&g.logLevel, "log-level", "", "least level that is logged: "+strings.Join(telemetry.Levels(), ", ")+" (default info; warn for up)")
	f.StringVar(&g.logFormat, "log-format", "console", "form of the log on standard error: "+strings.Join(telemetry.Formats(), ", "))
	root.AddCommand(
		newUpCommand(g), newCoordinatorCommand(g), newWorkerCommand(g),
		newSubmitCommand(g), newValidateCommand(g), newPlanCommand(g), newListCommand(g), newStatusCommand(g), newWatchCommand(g),
		newExplainCommand(g), newEventsCommand(g), newLogsCommand(g),
		newCancelCommand(g), newPauseCommand(g), newResumeCommand(g), newScaleCommand(g), newDeleteCommand(g), newExportCommand(g), newAuditCommand(g),
		newDatasetCommand(g), newOperatorCommand(g), newCompletionCommand(g), newVersionCommand(g),
	)
	g.complete(root)
	return root
}

// validate checks the shared flags.
func (g *globals) validate(cmd *cobra.Command) error {
	check := func(flag, value string, allowed []string) error {
		if value == "" || slices.Contains(allowed, value) {
			return nil
		}
		return &usageError{fmt.Sprintf("--%s is %q; expected one of %s", flag, value, strings.Join(allowed, ", ")), cmd.CommandPath()}
	}
	if err := check("output", g.output, outputs); err != nil {
		return err
	}
	if err := check("log-level", g.logLevel, telemetry.Levels()); err != nil {
		return err
	}
	if err := check("log-format", g.logFormat, telemetry.Formats()); err != nil {
		return err
	}
	if g.timeout <= 0 {
		return &usageError{fmt.Sprintf("--timeout is %v; expected more than 0s", g.timeout), cmd.CommandPath()}
	}
	return nil
}

// logger logs to standard error, at level unless --log-level says otherwise.
func (g *globals) logger(level string) (*zap.Logger, error) {
	if g.logLevel != "" {
		level = g.logLevel
	}
	return telemetry.NewLogger(telemetry.Options{Format: g.logFormat, Level: level, Output: g.screen})
}

// loggerWithFile also writes a JSON log of everything from level info on to a file. quiet ends what is shown, but for errors.
func (g *globals) loggerWithFile(level string, file io.Writer, quiet *atomic.Bool) (*zap.Logger, error) {
	shown, err := g.logger(level)
	if err != nil {
		return nil, err
	}
	shown = telemetry.Unless(shown, quiet)
	kept, err := telemetry.NewLogger(telemetry.Options{Format: "json", Output: file})
	if err != nil {
		return nil, err
	}
	return telemetry.Both(shown, kept), nil
}

// flagsFromEnvironment sets each flag that is not on the command line from SSLCTL_<NAME>.
func flagsFromEnvironment(cmd *cobra.Command) error {
	var failure error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || f.Name == "set" || failure != nil {
			return
		}
		name := "SSLCTL_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if !ok || value == "" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			failure = &usageError{fmt.Sprintf("%s is %q: %v", name, value, err), cmd.CommandPath()}
		}
	})
	return failure
}

// unknownCommand refuses what is no verb, with the nearest one.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := fmt.Sprintf("there is no command %q", args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		message += fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return &usageError{message, cmd.CommandPath()}
}

// arguments checks that the command has between least and most arguments; what names them in the error.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return &usageError{fmt.Sprintf("%s is missing", what), cmd.CommandPath()}
		case len(args) > most:
			return &usageError{fmt.Sprintf("%q is one argument too many", args[most]), cmd.CommandPath()}
		}
		return nil
	}
}
