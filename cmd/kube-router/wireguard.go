package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"kube-router/internal/driver/wireguard"
)

// wireguardCommand is what carries WireGuard where the kernel has none. The daemon starts it beside itself.
func wireguardCommand() *cobra.Command {
	var p wireguard.Process
	cmd := &cobra.Command{
		Use: "wireguard", Short: "WireGuard, which the daemon runs beside itself where the kernel has none", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Its words go to the daemon. When that is gone nobody listens, which must not end it.
			signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
			p.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
			return p.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&p.Dir, "dir", "/run/kube-router", "where its socket is")
	cmd.Flags().StringVar(&p.Token, "token", "", "what it is started as")
	return cmd
}
