// Command kube-router is the network of a Kubernetes node: the daemon by default, and beside it the
// commands that look into a running one, clean up after it, and run a lab of many nodes on one machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	code := 1
	if e := exitCode(0); errors.As(err, &e) {
		code = int(e)
	} else {
		fmt.Fprintln(os.Stderr, "kube-router:", err)
	}
	os.Exit(code)
}

// exitCode is an error that has been told already and only sets the exit code.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// rootCommand is the daemon with its subcommands. A positional argument that is no subcommand is an
// error, as in kube-router since 2.11.
func rootCommand() *cobra.Command {
	root := daemonCommand()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(showCommand(), flowsCommand(), whyCommand(), policyCommand(), doctorCommand(), configCommand(), cleanupCommand(), labCommand(), convertCommand(), probeCommand(), speakerCommand(), wireguardCommand(), encryptionCommand(), versionCommand())
	return root
}
