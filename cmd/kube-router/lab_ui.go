package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"kube-router/internal/cluster"
	"kube-router/internal/lab"
	"kube-router/internal/page"
)

// labUI serves the page that `kubectl kuberouter ui` serves, for a lab.
func labUI() *cobra.Command {
	var name string
	var port int
	cmd := &cobra.Command{
		Use: "ui", Short: "See a running lab's traffic and health in a browser on this machine", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := one(name)
			if err != nil {
				return err
			}
			config, err := clientcmd.BuildConfigFromFlags("", lab.Dir(name)+"/kubeconfig")
			if err != nil {
				return fmt.Errorf("lab %s: %w", name, err)
			}
			c, err := cluster.Open(config, "default")
			if err != nil {
				return err
			}
			return page.New(cluster.Sight{Cluster: c}, "lab "+name).Run(cmd.Context(), port, func(url string) { fmt.Println("open", url) })
		},
	}
	nameFlag(cmd, &name)
	cmd.Flags().IntVar(&port, "port", 0, "port of 127.0.0.1 to serve at (default: any that is free)")
	return cmd
}
