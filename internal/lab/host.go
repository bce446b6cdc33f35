package lab

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"kube-router/internal/lab/kubelet"
	"kube-router/internal/lab/netns"
	"kube-router/internal/lab/probe"
)

// Host is a place in the lab to do things from: a node, a pod, or a host beside the cluster.
type Host struct {
	Name    string // of a pod "namespace/name"
	space   *netns.Space
	machine *netns.Machine
	addrs   []netip.Addr
	node    string
	holder  int // process id of another's machine, for a visitor
}

func podHost(p *kubelet.Pod) *Host {
	return &Host{Name: p.Name(), space: p.Space(), machine: p.Machine(), addrs: p.IPs(), node: p.Node()}
}

// Addrs are the host's addresses, IPv4 first in a dual-stack lab.
func (h *Host) Addrs() []netip.Addr { return slices.Clone(h.addrs) }

// IPv4 is the host's first IPv4 address; the zero Addr when it has none.
func (h *Host) IPv4() netip.Addr { return h.first(netip.Addr.Is4) }

// IPv6 is the host's first IPv6 address; the zero Addr when it has none.
func (h *Host) IPv6() netip.Addr { return h.first(netip.Addr.Is6) }

func (h *Host) first(is func(netip.Addr) bool) netip.Addr {
	if i := slices.IndexFunc(h.addrs, is); i >= 0 {
		return h.addrs[i]
	}
	return netip.Addr{}
}

// NodeName is the node that a pod runs on; "" for other hosts.
func (h *Host) NodeName() string { return h.node }

// Space is the host's network namespace.
func (h *Host) Space() *netns.Space { return h.space }

// Do runs f in the host's network namespace; see netns.Space.Do.
func (h *Host) Do(f func() error) error { return h.space.Do(f) }

// Command prepares a program to run on the host: in its network namespace, among its processes and with its files; of a pod these are
// its node's. It ends with the lab.
func (h *Host) Command(ctx context.Context, name string, args ...string) *netns.Cmd {
	return h.machine.Command(ctx, h.space, name, args...)
}

// Run runs a program on the host and returns what it wrote.
func (h *Host) Run(ctx context.Context, name string, args ...string) (string, error) {
	out, err := h.Command(ctx, name, args...).CombinedOutput()
	return string(out), err
}

// Probe asks once from the host.
func (h *Host) Probe(q probe.Request) probe.Result {
	var r probe.Result
	if err := h.Do(func() error { r = probe.Once(q); return nil }); err != nil {
		return probe.Result{Class: probe.Failed, Err: err.Error()}
	}
	return r
}

// Many asks n times from the host, that many at once.
func (h *Host) Many(q probe.Request, n, parallel int) (*probe.Tally, error) {
	return probe.Many(h.Do, q, n, parallel)
}

// Load asks rate times a second from the host until the context ends.
func (h *Host) Load(ctx context.Context, q probe.Request, rate, parallel int) (*probe.Tally, error) {
	return probe.Load(ctx, h.Do, q, rate, parallel)
}

// Storm opens rate new connections a second from the host to a port that greets.
func (h *Host) Storm(ctx context.Context, to netip.AddrPort, rate int, limit time.Duration) (*probe.Tally, error) {
	return probe.Storm(ctx, h.Do, to, rate, limit)
}

// Open opens a long-lived connection from the host.
func (h *Host) Open(q probe.Request) (*probe.Line, error) { return probe.Open(h.Do, q) }
