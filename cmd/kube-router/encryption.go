package main

import (
	"os"

	"github.com/spf13/cobra"

	"kube-router/internal/config"
	"kube-router/internal/show"
)

// encryptionCommand acts on the encryption of a running daemon.
func encryptionCommand() *cobra.Command {
	socket := ""
	rotate := &cobra.Command{
		Use: "rotate", Short: "Change this node's key of WireGuard; no connection ends", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, err := show.Ask(cmd.Context(), socket, "encryption-rotate", nil)
			if err != nil {
				return err
			}
			return page.Print(os.Stdout, show.Text)
		},
	}
	rotate.Flags().StringVar(&socket, "control-socket", config.DefaultControlSocket, "where the daemon listens")
	cmd := &cobra.Command{Use: "encryption", Short: "Act on the encryption of a running kube-router"}
	cmd.AddCommand(rotate)
	return cmd
}
