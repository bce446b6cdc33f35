//go:build encryption || guest

package encryption

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ti-mo/conntrack"

	"kube-router/internal/lab"
)

// underlay has nodes know each other by one family alone, and pods speak in both.
func (w *world) underlay() {
	for f, name := range families {
		group := "nodes know each other by " + name + " alone"
		for _, n := range w.Nodes() {
			w.known(n, n.Addrs()[f:f+1])
		}
		w.judge(group, "WireGuard calls by it", w.within(time.Minute, func() error { return w.called(w.Nodes()[f].Addrs()[f].Is6()) }), "")
		for inner, pods := range families {
			w.judge(group, "every pod reaches every pod, "+pods, w.within(time.Minute, func() error { return w.everyPair(inner) }), "")
		}
		w.judge(group, "nothing of it is on the wire in clear", w.inClear(), "")
	}
	for _, n := range w.Nodes() {
		w.known(n, n.Addrs())
	}
	w.check(w.within(time.Minute, func() error { return w.called(false) }))
}

// known gives a Node addresses.
func (w *world) known(n *lab.Node, addrs []netip.Addr) {
	w.t.Helper()
	list := []map[string]string{{"type": "Hostname", "address": n.Name}}
	for _, a := range addrs {
		list = append(list, map[string]string{"type": "InternalIP", "address": a.String()})
	}
	w.check(w.Client.Merge(w.ctx, w.node(n.Name), "status", map[string]any{"status": map[string]any{"addresses": list}}))
}

// called is an error unless every node calls every other by one family.
func (w *world) called(v6 bool) error {
	for _, n := range w.Nodes() {
		list, err := w.endpoints(n.Name)
		if err != nil {
			return err
		}
		for node, e := range list {
			if e.Addr().Is6() != v6 {
				return fmt.Errorf("%s calls %s at %s", n.Name, node, e)
			}
		}
	}
	return nil
}

// endpoints are where a node's device has the others.
func (w *world) endpoints(node string) (map[string]netip.AddrPort, error) {
	out, err := w.show(node, "show", "encryption")
	if err != nil {
		return nil, err
	}
	list := map[string]netip.AddrPort{}
	for line := range strings.Lines(out) {
		for _, word := range strings.Fields(line) {
			if e, err := netip.ParseAddrPort(word); err == nil {
				list[strings.Fields(line)[0]] = e
			}
		}
	}
	if len(list) != len(w.Nodes())-1 {
		err = fmt.Errorf("%s has %d endpoints:\n%s", node, len(list), out)
	}
	return list, err
}

// behindNAT puts the last node, alone in its subnet, behind a router that translates its port and lets nobody in who was not called.
func (w *world) behindNAT() {
	const group = "a node behind a NAT"
	last := w.Nodes()[2]
	router := netip.MustParseAddr("172.30.0.1")
	translate := func(ports string) {
		rules := fmt.Sprintf(`table ip nat0
delete table ip nat0
table ip nat0 {
	chain out { type nat hook postrouting priority 100; ip saddr %[1]s udp sport %[2]d masquerade to %[3]s; }
	chain in { type filter hook forward priority 0; ip daddr %[1]s udp dport %[2]d ct direction original drop; }
}`, last.IPv4(), wirePort, ports)
		cmd := w.Fabric().Command(w.ctx, "nft", "-f", "-")
		cmd.Stdin = strings.NewReader(rules)
		if out, err := cmd.CombinedOutput(); err != nil {
			w.t.Fatalf("%v: %s", err, out)
		}
		w.check(w.Fabric().Do(func() error {
			c, err := conntrack.Dial(nil)
			if err != nil {
				return err
			}
			return errors.Join(c.Flush(), c.Close())
		}))
	}
	annotate := func(value, keepalive any) {
		w.check(w.Client.Merge(w.ctx, w.node(last.Name), "", map[string]any{"metadata": map[string]any{"annotations": map[string]any{
			"kube-router.io/node.wireguard.endpoint": value, "kube-router.io/node.wireguard.keepalive": keepalive}}}))
	}
	annotate("none", "2")
	for i, ports := range []string{":40000-40099", ":41000-41099"} {
		translate(ports)
		name := []string{"is reached where it called from", "is followed to another port, which nobody else speaks from"}[i]
		w.judge(group, name, w.within(time.Minute, func() error {
			for _, n := range w.Nodes()[:2] {
				list, err := w.endpoints(n.Name)
				if err != nil {
					return err
				}
				if e := list[last.Name]; e.Addr() != router || e.Port() < uint16(40000+1000*i) || e.Port() > uint16(40099+1000*i) {
					return fmt.Errorf("%s has it at %s", n.Name, e)
				}
			}
			return errors.Join(w.everyPair(0), w.everyPair(1))
		}), "with a keepalive of 2 s, both families inside")
	}
	w.judge(group, "nothing of it is on the wire in clear", w.inClear(), "")
	if out, err := w.Fabric().Command(w.ctx, "nft", "delete", "table", "ip", "nat0").CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	annotate(nil, nil)
}
