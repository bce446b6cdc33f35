package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"kube-router/internal/lab/probe"
)

// probed is what one probe of `kube-router probe` found, one JSON object a line.
type probed struct {
	Probe  string `json:"probe"` // as it was asked for
	Passed bool   `json:"passed"`
	Saw    string `json:"saw"` // who answered, or how it failed
	Pod    string `json:"pod,omitempty"`
}

const (
	probesAtOnce = 16
	probeTries   = 10 // of a probe that must be answered: what it asks may be new
	large        = "/bytes?n=300000"
	datagram     = 4000 // bytes: it goes in fragments
)

// probeCommand asks addresses from where it runs: in a pod of `kubectl kuberouter check`.
func probeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "probe EXPECT:PROTOCOL/ADDRESS:PORT...", Short: "Ask pod servers, and say whether that went as expected", Args: cobra.MinimumNArgs(1), Hidden: true,
		Long: "Ask pod servers. EXPECT is ok (answered), big (300,000 bytes come over TCP, a datagram of 4,000 goes over UDP) or no (not answered); PROTOCOL is tcp or udp.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var mu sync.Mutex
			var all sync.WaitGroup
			room, failed := make(chan struct{}, probesAtOnce), false
			for _, text := range args {
				room <- struct{}{}
				all.Go(func() {
					defer func() { <-room }()
					p := probeOf(text)
					mu.Lock()
					defer mu.Unlock()
					failed = failed || !p.Passed
					_ = json.NewEncoder(cmd.OutOrStdout()).Encode(p) // fails only if nobody listens any more
				})
			}
			all.Wait()
			if failed {
				return exitCode(1)
			}
			return nil
		},
	}
}

// probeOf asks until it goes as expected, or for the last time.
func probeOf(text string) probed {
	p := probed{Probe: text}
	expect, rest, _ := strings.Cut(text, ":")
	proto, address, _ := strings.Cut(rest, "/")
	to, err := netip.ParseAddrPort(address)
	if err != nil || proto != "tcp" && proto != "udp" || expect != "ok" && expect != "big" && expect != "no" {
		p.Saw = fmt.Sprintf("%q: want ok, big or no, then :tcp/ or :udp/ and ADDRESS:PORT", text)
		return p
	}
	q := probe.Request{To: to, Proto: proto, Timeout: 2 * time.Second}
	switch {
	case expect == "big" && proto == "udp":
		q.Size = datagram
	case expect == "big":
		q.Path, q.Timeout = large, 5*time.Second
	}
	for try := 1; ; try++ {
		r := probe.Once(q)
		p.Passed, p.Saw, p.Pod = r.OK() == (expect != "no"), r.String(), r.Pod
		if p.Passed || expect == "no" || try == probeTries {
			return p
		}
		time.Sleep(500 * time.Millisecond)
	}
}
