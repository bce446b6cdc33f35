package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"kube-router/internal/cluster"
	"kube-router/internal/console"
)

// flags are those of every command: which cluster, as kubectl has it, and where kube-router is in it.
type flags struct {
	kubeconfig     string
	overrides      clientcmd.ConfigOverrides
	selector, home string
	patience       time.Duration
	nodes          []string
	format         string
	watch          bool
}

func (f *flags) persistent(set *pflag.FlagSet) {
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "path of the kubeconfig file (default: $KUBECONFIG, or ~/.kube/config)")
	clientcmd.BindOverrideFlags(&f.overrides, set, clientcmd.RecommendedConfigOverrideFlags(""))
	set.StringVar(&f.home, "daemon-namespace", cluster.DefaultNamespace, "namespace of kube-router's pods")
	set.StringVar(&f.selector, "daemon-selector", cluster.DefaultSelector, "labels of kube-router's pods")
	set.DurationVar(&f.patience, "timeout", cluster.DefaultPatience, "how long a node may take for its answer")
}

// node adds the choice of nodes.
func (f *flags) node(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.nodes, "node", nil, "nodes to ask, separated by commas (default: all that are concerned)")
	_ = cmd.RegisterFlagCompletionFunc("node", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) { // fails only for an unknown flag
		return f.complete(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	})
}

// output adds the format, and watching.
func (f *flags) output(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.format, "output", "o", "text", "text, json or yaml")
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "ask again every few seconds until interrupted")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
}

// loader reads the kubeconfig by the rules of kubectl.
func (f *flags) loader() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &f.overrides)
}

// context is the name of the kubeconfig's context that counts.
func (f *flags) context() string {
	raw, err := f.loader().RawConfig()
	if err != nil {
		return ""
	}
	return cmp.Or(f.overrides.CurrentContext, raw.CurrentContext)
}

// open finds the cluster that is meant, by the rules of kubectl.
func (f *flags) open() (*cluster.Cluster, error) {
	loader := f.loader()
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	config.UserAgent = "kubectl-kuberouter/" + version
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	c, err := cluster.Open(config, namespace)
	if err != nil {
		return nil, err
	}
	c.Selector, c.Home, c.Patience = f.selector, f.home, f.patience
	return c, nil
}

// every is the time between two answers of a command that watches.
const every = 3 * time.Second

// answer asks the cluster, with --watch again and again, and prints to the command's output.
func (f *flags) answer(cmd *cobra.Command, ask func(context.Context, *cluster.Cluster, io.Writer) (cluster.Verdict, error)) error {
	c, err := f.open()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	for {
		v, err := ask(ctx, c, f.out(cmd))
		if err != nil || !f.watch {
			return told(v, err)
		}
		select {
		case <-ctx.Done():
			return told(v, nil)
		case <-time.After(every):
		}
	}
}

// complete is the names of the nodes, for a shell.
func (f *flags) complete(ctx context.Context) (names []string) {
	c, err := f.open()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	all, err := c.Nodes(ctx)
	if err != nil {
		return nil
	}
	for _, n := range all {
		names = append(names, n.Name)
	}
	return names
}

// out is where a command's answer goes: text in colour, if that is a terminal.
func (f *flags) out(cmd *cobra.Command) io.Writer {
	if file, ok := cmd.OutOrStdout().(*os.File); ok && (f.format == "" || f.format == "text") {
		return console.Writer(file, os.Getenv)
	}
	return cmd.OutOrStdout()
}
