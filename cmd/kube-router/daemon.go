package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"kube-router/internal/agent"
	"kube-router/internal/config"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "development"

func daemonCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kube-router",
		Short: "The network of a Kubernetes node: routes, Services and network policy",
		Args:  cobra.NoArgs,
	}
	raw := config.Flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		action, err := raw.Act(args, os.Geteuid())
		if err != nil {
			return err
		}
		switch action {
		case config.ActHelp:
			return cmd.Help()
		case config.ActVersion:
			printVersion(os.Stderr)
			return nil
		}
		o, err := raw.Options(os.Getenv, os.ReadFile)
		if err != nil {
			return err
		}
		if action == config.ActCleanup {
			return agent.Cleanup(cmd.Context(), o, logger(o.Verbosity))
		}
		return runDaemon(cmd.Context(), o)
	}
	return cmd
}

func runDaemon(ctx context.Context, o *config.Options) error {
	log := logger(o.Verbosity)
	for _, r := range o.Remarks {
		log.Warn("settings", "remark", r)
	}
	if o.Nothing() {
		log.Info("neither router, firewall nor service proxy is enabled: nothing to do")
		return nil
	}
	log.Info("kube-router starts", "version", version, "node", o.Settings.Node, "go", runtime.Version())
	err := agent.Run(ctx, o, agent.Build{Version: version}, log)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if err == nil {
		log.Info("kube-router stops; the kernel goes on with what it has")
	}
	return err
}

// logger writes text to standard error; level 1 and above shows every changed row.
func logger(verbosity int) *slog.Logger {
	level := slog.LevelInfo
	if verbosity > 0 {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			printVersion(cmd.OutOrStdout())
			return nil
		},
	}
}

func printVersion(w io.Writer) {
	revision := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = ", revision " + s.Value
			}
		}
	}
	fmt.Fprintf(w, "kube-router version %s%s, built with %s\n", version, revision, runtime.Version())
}
