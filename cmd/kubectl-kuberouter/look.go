package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"kube-router/internal/cluster"
)

// ask is what a command wants to know of the cluster.
type ask func(ctx context.Context, c *cluster.Cluster, args []string, w io.Writer) (cluster.Verdict, error)

// asking makes a command that asks nodes, all or those named, and prints the answer in the form wanted.
func (f *flags) asking(cmd *cobra.Command, what ask) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return f.answer(cmd, func(ctx context.Context, c *cluster.Cluster, w io.Writer) (cluster.Verdict, error) {
			return what(ctx, c, args, w)
		})
	}
	f.node(cmd)
	f.output(cmd)
	return cmd
}

func statusCommand(f *flags) *cobra.Command {
	return f.asking(&cobra.Command{
		Use: "status", Short: "Is every node well? The unwell first, with the cause", Args: cobra.NoArgs,
	}, func(ctx context.Context, c *cluster.Cluster, _ []string, w io.Writer) (cluster.Verdict, error) {
		return c.Status(ctx, f.nodes, w, f.format)
	})
}

func peersCommand(f *flags) *cobra.Command {
	return f.asking(&cobra.Command{
		Use: "peers", Short: "The BGP sessions of all nodes, those that aren't established first", Args: cobra.NoArgs,
	}, func(ctx context.Context, c *cluster.Cluster, _ []string, w io.Writer) (cluster.Verdict, error) {
		return c.Peers(ctx, f.nodes, w, f.format)
	})
}

func showCommand(f *flags) *cobra.Command {
	return f.asking(&cobra.Command{
		Use: "show WHAT [ARG...]", Short: "What the nodes know, want and have; see kube-router show",
		Long: "What the nodes know, want and have: the views of `kube-router show`, on the node of a pod or node that is named (show firewalls POD),\n" +
			"otherwise on every node, each answer below its node's name.",
		Example: "  kubectl kuberouter show failing\n  kubectl kuberouter show drops\n  kubectl kuberouter show firewalls -n shop web-1\n  kubectl kuberouter show routes --node n2",
		Args:    cobra.MinimumNArgs(1),
	}, func(ctx context.Context, c *cluster.Cluster, args []string, w io.Writer) (cluster.Verdict, error) {
		return c.View(ctx, f.nodes, true, "show", args, w, f.format)
	})
}

func whyCommand(f *flags) *cobra.Command {
	var id string
	cmd := f.asking(&cobra.Command{
		Use: "why ADDRESS[:PORT[/PROTOCOL]] | SERVICE | POD | FROM TO PORT/PROTOCOL | --flow ID", Short: "Why an address is served so, or whether one may talk to another, from the nodes concerned",
		Long: "Why an address is served so, or whether one may talk to another. It is asked on the nodes of the pods and addresses that are named, both ends of\n" +
			"a flow; for a Service alone on the first node that answers, since all carry it. Pods and Services without a namespace are those of -n.",
		Example: "  kubectl kuberouter why -n shop web\n  kubectl kuberouter why -n shop client-1 web-2 8080/tcp\n  kubectl kuberouter why --flow 18ecedf4-a62c-018c-c64e-ecb413cc43ed",
		Args: func(cmd *cobra.Command, args []string) error {
			if id != "" {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.RangeArgs(1, 3)(cmd, args)
		},
	}, func(ctx context.Context, c *cluster.Cluster, args []string, w io.Writer) (cluster.Verdict, error) {
		if id != "" {
			r, err := c.Flow(ctx, f.nodes, id)
			if err != nil {
				return cluster.Unknown, err
			}
			fmt.Fprintln(os.Stderr, r.Line(false))
			if args = r.Why(); args == nil {
				return cluster.Unknown, fmt.Errorf("flow %s has no ports: there is nothing that why could judge", id)
			}
		}
		return c.View(ctx, f.nodes, false, "why", args, w, f.format)
	})
	cmd.Flags().StringVar(&id, "flow", "", "ask about the ends of the flow with this identifier, as flows -o wide has it")
	return cmd
}

func doctorCommand(f *flags) *cobra.Command {
	var all bool
	cmd := f.asking(&cobra.Command{
		Use: "doctor", Short: "Have every node check what it needs, and say how to fix it", Args: cobra.NoArgs,
	}, func(ctx context.Context, c *cluster.Cluster, _ []string, w io.Writer) (cluster.Verdict, error) {
		return c.Doctor(ctx, f.nodes, all, w, f.format)
	})
	cmd.Flags().BoolVarP(&all, "verbose", "v", false, "what is well, too")
	return cmd
}
