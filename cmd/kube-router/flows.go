package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kube-router/internal/config"
	"kube-router/internal/flow"
	"kube-router/internal/show"
)

// between is the time between two questions of who follows flows.
const between = 200 * time.Millisecond

func flowsCommand() *cobra.Command {
	var socket, format string
	cmd := &cobra.Command{
		Use: "flows", Short: "Show who talked to whom on this node, and what was ended and why", Args: cobra.NoArgs,
		Long: "Show who talked to whom on this node, and what was ended and why: the latest 20, or what the flags say. One filter said twice is either,\n" +
			"two filters are both. JSON is one object a line, with the fields of Hubble's that docs/flows.md lists.",
		Example: "  kube-router flows --verdict DROPPED --since 10m\n  kube-router flows --namespace shop --to-service shop/web -f",
	}
	c := flow.NewChoice(cmd.Flags())
	cmd.Flags().BoolVar(&c.Part, "part", false, "what may be a part of a flow that matches, behind a line that tells who answers; for who has the parts of all nodes")
	_ = cmd.Flags().MarkHidden("part") // fails only for an unknown flag
	cmd.Flags().StringVar(&socket, "control-socket", config.DefaultControlSocket, "where the daemon listens")
	cmd.Flags().StringVarP(&format, "output", "o", "compact", "compact, wide (with the identifiers for why --flow) or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !slices.Contains([]string{"compact", "wide", "json"}, format) {
			return fmt.Errorf("output format %q: compact, wide or json", format)
		}
		return flows(cmd.Context(), socket, c, format, cmd.OutOrStdout())
	}
	return cmd
}

// flows asks the daemon, and goes on asking for what came since.
func flows(ctx context.Context, socket string, c *flow.Choice, format string, w io.Writer) error {
	args, first := c.Args(), c.Part
	for {
		var a flow.Answer
		page, err := show.AskInto(ctx, socket, "flows", args, &a)
		if err != nil {
			return err
		}
		if page.Note != "" {
			fmt.Fprintln(os.Stderr, page.Note)
		}
		if first {
			a.Records = append([]flow.Record{flow.Connected(a.Node, time.Now())}, a.Records...)
			first = false
		}
		for _, r := range a.Records {
			if err := printFlow(w, r, format); err != nil {
				return err
			}
		}
		args = c.After(a.Next)
		if a.More {
			continue
		}
		if !c.Follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(between):
		}
	}
}

func printFlow(w io.Writer, r flow.Record, format string) error {
	if format == "json" {
		return json.NewEncoder(w).Encode(r)
	}
	_, err := fmt.Fprintln(w, r.Line(format == "wide"))
	return err
}

// endsOf are what why is asked about a flow; its line is told beside the answer.
func endsOf(ctx context.Context, socket, id string) ([]string, error) {
	var a flow.Answer
	if _, err := show.AskInto(ctx, socket, "flows", []string{"id=" + id}, &a); err != nil {
		return nil, err
	}
	for _, r := range a.Records {
		if r.Flow == nil {
			continue
		}
		fmt.Fprintln(os.Stderr, r.Line(false))
		if words := r.Why(); words != nil {
			return words, nil
		}
		return nil, fmt.Errorf("flow %s has no ports: there is nothing that why could judge", id)
	}
	return nil, fmt.Errorf("no flow %s on this node, or it is kept no longer: kube-router flows -o wide has identifiers", id)
}
