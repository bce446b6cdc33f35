package main

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"kube-router/internal/lab/probe"
)

// labProbe asks from anywhere in a lab, as often as wanted.
func labProbe() *cobra.Command {
	var name, proto string
	var n, parallel int
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "probe NODE|outside|[NAMESPACE/]POD ADDRESS:PORT", Short: "Ask an address from a lab's node, pod or host, and say who answered and what he saw", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := netip.ParseAddrPort(args[1])
			if err != nil {
				return fmt.Errorf("%q: want ADDRESS:PORT or [ADDRESS]:PORT", args[1])
			}
			l, err := attach(cmd.Context(), name)
			if err != nil {
				return err
			}
			defer l.Close()
			host := l.FindHost(args[0])
			if host == nil {
				return fmt.Errorf("the lab has no node, host or running pod %q", args[0])
			}
			tally, err := host.Many(probe.Request{To: to, Proto: proto, Timeout: timeout}, n, parallel)
			if err != nil {
				return err
			}
			fmt.Printf("answers: %s\nsources seen: %s\nslowest: %v\n", tally, tally.Sources(), tally.Slowest.Round(10*time.Microsecond))
			if !tally.OK() {
				return exitCode(1)
			}
			return nil
		},
	}
	nameFlag(cmd, &name)
	cmd.Flags().StringVar(&proto, "proto", "tcp", "tcp (HTTP), udp or sctp")
	cmd.Flags().IntVarP(&n, "number", "n", 1, "how often")
	cmd.Flags().IntVar(&parallel, "parallel", 4, "how many at once")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Second, "of each")
	return cmd
}
