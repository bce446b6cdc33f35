//go:build routes

package routes

import (
	"fmt"
	"net/netip"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/podserver"
	"kube-router/internal/lab/probe"
)

// listening is where hosts that are no pods answer.
const listening = 9999

// egress judges which source address others see of n1's pod.
func (w *world) egress() {
	w.t.Helper()
	outside, n1, n3, newest := w.Outside(), w.Node("n1"), w.Node("n3"), w.Nodes()[len(w.Nodes())-1]
	// A second address of the host outside, which --pod-egress-exclude names; the way back to pods is the network's to know.
	w.sh(outside, "ip addr add 172.31.0.200/32 dev eth0; ip -6 addr add fd00:172:31::c8/128 dev eth0 nodad")
	for _, h := range []*lab.Host{outside, n3.Host, newest.Host} {
		var server *podserver.Server
		w.check(h.Do(func() (err error) {
			server, err = podserver.Listen(podserver.Config{Pod: h.Name, Node: h.Name, TCP: []uint16{listening}, UDP: []uint16{listening}})
			return err
		}))
		defer server.Close()
	}
	w.check(w.wayBack())
	pod := w.pod("n1")
	excluded := []netip.Addr{netip.MustParseAddr("172.31.0.200"), netip.MustParseAddr("fd00:172:31::c8")}
	for f, name := range families {
		for _, proto := range []string{"tcp", "udp"} {
			w.source("egress", "pod → outside hides behind the node, "+name+" "+proto, pod, outside.Addrs()[f], proto, n1.Addrs()[f])
		}
		w.source("egress", "pod → outside, excluded, keeps the pod's address, "+name, pod, excluded[f], "tcp", pod.Addrs()[f])
		w.source("egress", "pod → node in another subnet keeps the pod's address, "+name, pod, n3.Addrs()[f], "tcp", pod.Addrs()[f])
		w.source("egress", "pod → the node that joined keeps the pod's address, "+name, pod, newest.Addrs()[f], "tcp", pod.Addrs()[f])
	}
	w.check(n1.RestartDaemon("--enable-pod-egress=false"))
	for f, name := range families {
		w.source("--enable-pod-egress=false", "pod → outside keeps the pod's address, "+name, pod, outside.Addrs()[f], "tcp", pod.Addrs()[f])
	}
	w.check(n1.RestartDaemon())
	for f, name := range families {
		w.source("--enable-pod-egress=false", "on again: it hides behind the node, "+name, pod, outside.Addrs()[f], "tcp", n1.Addrs()[f])
	}
}

// wayBack tells the fabric's router where n1's pods are.
func (w *world) wayBack() error {
	n1 := w.Node("n1")
	for i, prefix := range []string{"10.244.1.0/24", "fd00:10:244:1::/64"} {
		if err := w.Fabric().Route(netip.MustParsePrefix(prefix), n1.Addrs()[i]); err != nil {
			return err
		}
	}
	return nil
}

// source judges the source address that a server saw.
func (w *world) source(group, what string, from *lab.Host, server netip.Addr, proto string, want netip.Addr) {
	w.t.Helper()
	took, err := w.within(10*time.Second, func() error {
		r := from.Probe(probe.Request{To: netip.AddrPortFrom(server, listening), Proto: proto})
		if !r.OK() || r.Client.Addr() != want {
			return fmt.Errorf("%v, want %s seen", r, want)
		}
		return nil
	})
	w.judge(group, what, err, "%s, after %s", want, took)
}
