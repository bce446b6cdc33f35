package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"kube-router/internal/cluster"
	"kube-router/internal/flow"
)

func flowsCommand(f *flags) *cobra.Command {
	return f.flows(&cobra.Command{
		Use: "flows", Short: "Who talked to whom on all nodes, and what was ended and why", Args: cobra.NoArgs,
		Long: "Who talked to whom on all nodes, and what was ended and why: the latest 20, or what the flags say. What several nodes saw of one connection is one\n" +
			"flow: what ended it counts, wherever that was, and the client is the first. One filter said twice is either, two filters are both. JSON is one object a\n" +
			"line, with the fields of Hubble's that docs/flows.md lists.",
		Example: "  kubectl kuberouter flows --verdict DROPPED --since 10m\n  kubectl kuberouter flows --namespace shop --to-service shop/web -f",
	}, nil)
}

func dropsCommand(f *flags) *cobra.Command {
	return f.flows(&cobra.Command{
		Use: "drops", Short: "What was refused or dropped on all nodes, and by whom", Args: cobra.NoArgs,
		Long:    "What was refused or dropped on all nodes, and by whom: flows --verdict DROPPED.",
		Example: "  kubectl kuberouter drops --namespace shop --since 1h",
	}, func(c *flow.Choice) {
		if v := c.Values["verdict"]; len(*v) == 0 {
			*v = []string{flow.Dropped}
		}
	})
}

// flows makes a command that tells of flows.
func (f *flags) flows(cmd *cobra.Command, preset func(*flow.Choice)) *cobra.Command {
	choice, format := flow.NewChoice(cmd.Flags()), ""
	cmd.Flags().StringVarP(&format, "output", "o", "compact", "compact, wide (with nodes, and the identifiers for why --flow) or json")
	f.node(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !slices.Contains([]string{"compact", "wide", "json"}, format) {
			return fmt.Errorf("output format %q: compact, wide or json", format)
		}
		if preset != nil {
			preset(choice)
		}
		c, err := f.open()
		if err != nil {
			return err
		}
		lines := json.NewEncoder(cmd.OutOrStdout())
		return told(c.Flows(cmd.Context(), cluster.Flows{
			Nodes: f.nodes, Choice: choice,
			Heard: func(r flow.Record) error {
				if format == "json" {
					return lines.Encode(r)
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), r.Line(format == "wide"))
				return err
			},
			Note: func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), text) },
		}))
	}
	return cmd
}
