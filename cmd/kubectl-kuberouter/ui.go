package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kube-router/internal/cluster"
	"kube-router/internal/page"
)

func uiCommand(f *flags) *cobra.Command {
	var port int
	cmd := &cobra.Command{
		Use: "ui", Short: "See traffic and health in a browser on this machine", Args: cobra.NoArgs,
		Long: "See traffic and health in a browser: a map of who talks to whom, flows as they come, nodes, BGP sessions, Services, policies and what they drop.\n" +
			"The page is served on 127.0.0.1 of this machine, to whoever has the URL that is printed, and asks the nodes as every other command does, with your\n" +
			"rights. Nothing listens in the cluster. Ctrl-C ends it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.open()
			if err != nil {
				return err
			}
			return page.New(cluster.Sight{Cluster: c}, f.context()).Run(cmd.Context(), port, func(url string) {
				fmt.Fprintf(cmd.OutOrStdout(), "open %s\n", url)
			})
		},
	}
	cmd.Flags().IntVar(&port, "port", 0, "port of 127.0.0.1 to serve at (default: any that is free)")
	return cmd
}
