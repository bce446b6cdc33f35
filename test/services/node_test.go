//go:build services

package services

import (
	"fmt"
	"testing"
	"time"
)

const nodeGroup = "nodes' own addresses"

// nodeRanges hold the nodes' own addresses, which a Service may have for external ones too.
var nodeRanges = []string{"172.30.0.0/24", "fd00:172:30::/64"}

// TestNodeAddress gives a Service the addresses of a node for its external ones. Every node serves it there; and whatever else that
// node listens to is reached as before.
func TestNodeAddress(t *testing.T) {
	w, n := shared, 66
	n2 := w.Node("n2")
	s := newService("on-node", n, "web")
	s.Spec.ExternalIPs = texts(n2.Addrs())
	w.create(t, s)
	for _, p := range w.protocols() {
		w.both(t, nodeGroup, "another node's address serves a pod, "+p, func(f int) error {
			return w.only(w.Pod("client-1"), front(n2.Addrs()[f], 80, p), names(w.web())...)
		})
		w.both(t, nodeGroup, "another node's address serves a node, "+p, func(f int) error {
			return w.only(w.Node("n1").Host, front(n2.Addrs()[f], 80, p), names(w.web())...)
		})
		w.both(t, nodeGroup, "a node's own address serves a client outside, "+p, func(f int) error {
			return w.only(w.Outside(), front(n2.Addrs()[f], 80, p), names(w.web())...)
		})
	}
	w.both(t, nodeGroup, "the node's other ports are reached from other nodes", func(f int) error {
		return w.only(w.Node("n1").Host, front(n2.Addrs()[f], 18080, "tcp"), "host-2")
	})
	w.both(t, nodeGroup, "the node's other ports are reached from pods", func(f int) error {
		return w.only(w.Pod("client-1"), front(n2.Addrs()[f], 18080, "tcp"), "host-2")
	})
	w.delete(t, s)
	w.both(t, nodeGroup, "nothing of it is left", func(f int) error {
		return w.eventually(5*time.Second, func() error {
			if r := w.Node("n1").Probe(front(n2.Addrs()[f], 80, "tcp")); !refusal(r, "tcp") {
				return fmt.Errorf("%v, want a refusal", r)
			}
			return nil
		})
	})
}

// TestSecondNetwork has a node whose way to Service addresses leaves by a link of another network: the NAT link of virtual machines, say,
// which is first and has the same address on all of them. What runs on the node reaches every endpoint all the same.
func TestSecondNetwork(t *testing.T) {
	w, n := shared, 67
	w.create(t, newService("second-network", n, "ten"))
	n3 := w.Node("n3")
	script := "ip link add nat0 type veth peer name nat0-peer && ip addr add 10.0.2.15/24 dev nat0 && ip -6 addr add fd00:10:2::15/64 dev nat0 nodad && " +
		"ip link set nat0 up && ip link set nat0-peer up && ip route add 10.96.0.0/12 via 10.0.2.2 dev nat0 && ip -6 route add fd00:10:96::/112 via fd00:10:2::2 dev nat0"
	if out, err := n3.Run(w.ctx, "sh", "-c", script); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, p := range w.protocols() {
		w.both(t, nodeGroup, "a node of two networks reaches all endpoints, "+p, func(f int) error {
			return w.only(n3.Host, front(clusterIPs(n)[f], 80, p), names(w.ten())...)
		})
	}
	if out, err := n3.Run(w.ctx, "ip", "link", "del", "nat0"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	w.delete(t, newService("second-network", n, "ten"))
}
