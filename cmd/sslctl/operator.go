package main

import "github.com/spf13/cobra"

func newOperatorCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Look after the coordinators: who leads, who is of the group, back-up",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newOperatorRaftCommand(g), newOperatorSnapshotCommand(g))
	return cmd
}
