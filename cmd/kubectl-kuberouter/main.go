// Command kubectl-kuberouter is a plugin of kubectl: `kubectl kuberouter` asks the daemons of all nodes from one place, through the API server and with
// the caller's own rights.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // the ways in which clusters authenticate

	"kube-router/internal/cluster"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	code := 2
	if v := verdict(cluster.Well); errors.As(err, &v) {
		code = int(v)
	} else {
		fmt.Fprintln(os.Stderr, "kubectl kuberouter:", err)
	}
	os.Exit(code)
}

// verdict is what was told already, as an exit code: 0 well, 1 unwell, 2 somebody doesn't answer.
type verdict cluster.Verdict

func (v verdict) Error() string { return fmt.Sprintf("exit code %d", int(v)) }

// told makes the exit code of a command.
func told(v cluster.Verdict, err error) error {
	if err == nil && v != cluster.Well {
		err = verdict(v)
	}
	return err
}

func rootCommand() *cobra.Command {
	var f flags
	root := &cobra.Command{
		Use:         "kubectl-kuberouter",
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl kuberouter"},
		Short:       "The network of all nodes from one place",
		Long: `The network of all nodes from one place: this plugin runs the daemon's own program in its pods, through the API server, with your rights.
It needs the right to list nodes and pods, and to create pods/exec in the namespace of kube-router's pods (get, too, before Kubernetes 1.35).

The exit code is 0 when all is well, 1 when something isn't, and 2 when a node doesn't answer or the question failed.`,
		SilenceErrors: true, SilenceUsage: true,
	}
	f.persistent(root.PersistentFlags())
	root.AddGroup(&cobra.Group{ID: "look", Title: "Look:"}, &cobra.Group{ID: "do", Title: "Do:"})
	for _, cmd := range []*cobra.Command{statusCommand(&f), peersCommand(&f), showCommand(&f), whyCommand(&f), flowsCommand(&f), dropsCommand(&f), doctorCommand(&f), uiCommand(&f)} {
		cmd.GroupID = "look"
		root.AddCommand(cmd)
	}
	for _, cmd := range []*cobra.Command{checkCommand(&f), bundleCommand(&f)} {
		cmd.GroupID = "do"
		root.AddCommand(cmd)
	}
	root.AddCommand(versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the plugin's version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "kubectl-kuberouter version", version)
			return err
		},
	}
}
