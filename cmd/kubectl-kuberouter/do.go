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
