package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"kube-router/internal/cluster"
)

func bundleCommand(f *flags) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "bundle", Short: "Put all that matters of all nodes in one file, without secrets", Args: cobra.NoArgs,
		Long: "Put all that matters of all nodes in one tar.gz: every view, the rows of every table, logs, doctors, and the objects that kube-router's work\n" +
			"follows from, with a page index.html. Secrets and ConfigMaps are not read; environments and most annotations are left out.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.open()
			if err != nil {
				return err
			}
			if path == "" {
				path = "kube-router-bundle-" + time.Now().UTC().Format("20060102-150405") + ".tar.gz"
			}
			file, err := os.CreateTemp(filepath.Dir(path), ".bundle-")
			if err != nil {
				return err
			}
			defer os.Remove(file.Name()) // gone once it has its name
			v, err := c.Bundle(cmd.Context(), f.nodes, version, file, func(stage string) { fmt.Fprintln(cmd.ErrOrStderr(), "  "+stage) })
			if err = errors.Join(err, file.Close()); err == nil {
				err = os.Rename(file.Name(), path)
			}
			if err == nil {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			if v == cluster.Unwell {
				v = cluster.Well // the bundle is whole, whatever it tells
			}
			return told(v, err)
		},
	}
	f.node(cmd)
	cmd.Flags().StringVarP(&path, "output", "o", "", "file to write (default kube-router-bundle-TIME.tar.gz)")
	return cmd
}

func checkCommand(f *flags) *cobra.Command {
	var image string
	cmd := &cobra.Command{
		Use: "check", Short: "Try the network with real packets, from a pod on every node, and clean up", Args: cobra.NoArgs,
		Long: "Try the network with real packets. In a namespace of its own it makes a pod on every node, of kube-router's own image, two Services and a policy; the pods\n" +
			"ask each other (same node, other node, large answers), Services, node ports on every node, themselves by a Service, and what a policy allows and forbids,\n" +
			"in TCP and UDP and both families. All of it is removed afterwards, after Ctrl-C too; a namespace that was left has the label kube-router.io/check.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.open()
			if err != nil {
				return err
			}
			return told(c.Check(cmd.Context(), f.nodes, image, f.out(cmd), f.format, func(stage string) { fmt.Fprintln(cmd.ErrOrStderr(), "  "+stage) }))
		},
	}
	f.node(cmd)
	cmd.Flags().StringVarP(&f.format, "output", "o", "text", "text, json, yaml or junit")
	cmd.Flags().StringVar(&image, "image", "", "image of the pods (default: that of kube-router's own pods)")
	return cmd
}
