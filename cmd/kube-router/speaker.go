package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kube-router/internal/driver/gobgp"
	"kube-router/internal/driver/probe"
)

// speakerCommand is the BGP speaker that the daemon starts beside itself.
func speakerCommand() *cobra.Command {
	var e gobgp.Engine
	cmd := &cobra.Command{
		Use: "speaker", Short: "The BGP speaker that the daemon runs beside itself", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Its words go to the daemon. When that is gone nobody listens, which must not end it.
			signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
			e.MD5 = func() uint64 {
				n, _ := probe.WrongSignatures("/proc") // a hint: without it less is told
				return n
			}
			e.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
			return e.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&e.Dir, "dir", "/run/kube-router", "where its sockets are")
	cmd.Flags().StringVar(&e.Token, "token", "", "what it is started as")
	cmd.Flags().DurationVar(&e.Orphan, "orphan", 5*time.Minute, "how long it goes on without a daemon; 0: for ever")
	return cmd
}
