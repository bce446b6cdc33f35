package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kube-router/internal/agent"
	"kube-router/internal/config"
	"kube-router/internal/console"
	"kube-router/internal/doctor"
	"kube-router/internal/show"
	"kube-router/internal/view"
)

// asking are the flags of all commands that ask a running daemon.
type asking struct {
	socket string
	format string
	watch  bool
}

func (a *asking) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.socket, "control-socket", config.DefaultControlSocket, "where the daemon listens")
	cmd.Flags().StringVarP(&a.format, "output", "o", "text", "text, json or yaml")
	cmd.Flags().BoolVarP(&a.watch, "watch", "w", false, "ask again every second until interrupted")
}

func (a *asking) run(ctx context.Context, view string, args []string) error {
	for {
		page, err := show.Ask(ctx, a.socket, view, args)
		if err != nil {
			return err
		}
		if err := page.Print(out(a.format), show.Format(a.format)); err != nil || !a.watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// out is where an answer goes: text in colour, if that is a terminal.
func out(format string) io.Writer {
	if !strings.EqualFold(format, string(show.Text)) {
		return os.Stdout
	}
	return console.Writer(os.Stdout, os.Getenv)
}

func showCommand() *cobra.Command {
	var a asking
	cmd := &cobra.Command{
		Use:   "show WHAT [ARG...]",
		Short: "Show what a running kube-router knows, wants and has",
		Long:  "Show what a running kube-router knows, wants and has. WHAT is one of:\n\n" + view.Help(),
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"summary"}
			}
			return a.run(cmd.Context(), args[0], args[1:])
		},
	}
	a.flags(cmd)
	return cmd
}

func whyCommand() *cobra.Command {
	var a asking
	var id string
	cmd := &cobra.Command{
		Use:   "why ADDRESS[:PORT[/PROTOCOL]] | SERVICE | POD | FROM TO PORT/PROTOCOL | --flow ID",
		Short: "Tell why an address is served so, or whether one pod may talk to another",
		Args: func(cmd *cobra.Command, args []string) error {
			if id != "" {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.RangeArgs(1, 3)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if id != "" {
				var err error
				if args, err = endsOf(cmd.Context(), a.socket, id); err != nil {
					return err
				}
			}
			return a.run(cmd.Context(), "why", args)
		},
	}
	cmd.Flags().StringVar(&id, "flow", "", "ask about the ends of the flow with this identifier, as flows -o wide has it")
	a.flags(cmd)
	return cmd
}

func policyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Look at policies before they are applied"}
	var a asking
	diff := &cobra.Command{
		Use: "diff -f FILE", Short: "Tell what would change on this node if policies were applied", Args: cobra.NoArgs,
		Long: "Tell from what a running kube-router knows what would change on this node if the NetworkPolicies and ClusterNetworkPolicies of a\n" +
			"manifest were applied: which of its pods would get other rules, and what passes now and wouldn't, and the reverse. Nothing is changed.",
	}
	file := diff.Flags().StringP("filename", "f", "", "the manifest, - for standard input")
	diff.RunE = func(cmd *cobra.Command, _ []string) error {
		var text []byte
		var err error
		switch *file {
		case "":
			return errors.New("-f tells which manifest")
		case "-":
			text, err = io.ReadAll(cmd.InOrStdin())
		default:
			text, err = os.ReadFile(*file)
		}
		if err != nil {
			return err
		}
		return a.run(cmd.Context(), "policy-diff", []string{string(text)})
	}
	a.flags(diff)
	cmd.AddCommand(diff)
	return cmd
}

func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look at the configuration"}
	check := &cobra.Command{
		Use: "check", Short: "Check flags, environment and --config file, and print what they mean", Args: cobra.NoArgs,
		Long: "Check flags, environment and --config file, and print every setting, remarks and faults. The exit code is 0 if the daemon\nwould start with them, and 1 if not.",
	}
	raw := config.Flags(check.Flags())
	check.RunE = func(cmd *cobra.Command, _ []string) error {
		text, faults := raw.Check(os.Getenv, os.ReadFile)
		if _, err := fmt.Fprint(cmd.OutOrStdout(), text); err != nil {
			return err
		}
		if faults > 0 {
			return exitCode(1)
		}
		return nil
	}
	cmd.AddCommand(check)
	return cmd
}

func cleanupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cleanup", Short: "Remove from this node everything that kube-router made, and nothing else", Args: cobra.NoArgs,
	}
	raw := config.Flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if os.Geteuid() != 0 {
			return errors.New("cleanup needs root")
		}
		o, err := raw.Options(os.Getenv, os.ReadFile)
		if err != nil {
			return err
		}
		return agent.Cleanup(cmd.Context(), o, logger(o.Verbosity))
	}
	return cmd
}

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check what this node needs and say how to fix it", Args: cobra.NoArgs,
		Long: "Check what this node needs and say how to fix it. The flags are those of the daemon; without any, the doctor asks the\n" +
			"running daemon for its settings. The exit code is 1 when something that was asked for can't work.",
	}
	raw := config.Flags(cmd.Flags())
	format := cmd.Flags().StringP("output", "o", "text", "text, json or yaml")
	all := cmd.Flags().Bool("all", false, "tell what is well, too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, err := raw.Options(os.Getenv, os.ReadFile)
		if err != nil {
			return err
		}
		if !told(cmd.Flags()) {
			// Without a daemon the defaults are all there is to judge by, which the doctor tells.
			if running, err := doctor.Running(cmd.Context(), o.ControlSocket); err == nil {
				o = running
			}
		}
		page, bad := doctor.Examine(cmd.Context(), o, *all)
		if err := page.Print(out(*format), show.Format(strings.ToLower(*format))); err != nil {
			return err
		}
		if bad > 0 {
			return exitCode(1)
		}
		return nil
	}
	return cmd
}

// told tells whether a command line says how the daemon is set.
func told(flags *pflag.FlagSet) bool {
	yes := false
	flags.Visit(func(f *pflag.Flag) { yes = yes || f.Name != "output" && f.Name != "control-socket" })
	return yes
}
