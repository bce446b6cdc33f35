//go:build encryption || guest

package encryption

import (
	"testing"
	"time"

	"kube-router/internal/lab"
)

// TestPods is a strict cluster from its first packet on, in which vxlan leaves pods less than WireGuard's MTU.
func TestPods(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 3, Subnets: 2, Hosts: []lab.HostConfig{{Name: "thief"}}}, append([]string{"--overlay-encap=vxlan"}, strict...)...)
	w.tap()
	w.judge("strict", "every route leads into WireGuard", w.within(20*time.Second, func() error { return w.steered(w.Nodes()...) }), "")
	for f, name := range families {
		w.judge("strict", "every pod reaches every pod, TCP, UDP and large datagrams, "+name, w.within(20*time.Second, func() error { return w.everyPair(f) }), "")
	}
	w.judge("strict", "nothing of it is on the wire in clear", w.inClear(), "")
	w.strangers()
	if place == "this kernel" { // what carries WireGuard is no part of where nodes call each other
		w.behindNAT()
		w.underlay()
	}
}
