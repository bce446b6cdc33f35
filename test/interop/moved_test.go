//go:build interop

package interop

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// movedPod is a pod on a node.
const movedPod = `{apiVersion: v1, kind: Pod, metadata: {name: NAME}, spec: {nodeName: NODE, terminationGracePeriodSeconds: 0, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}}`

// TestMovedAddress: an address goes with its range from one node to another, and the pod that has it there is reached at once: by the node
// that had it, which has run pods of it and, first, has none of its new range; by that node's pods; by others; and from the fabric.
func TestMovedAddress(t *testing.T) {
	for _, source := range []string{"bgp", "api"} {
		for _, way := range []string{"plain", "vxlan"} {
			t.Run(source+", "+way, func(t *testing.T) {
				args := append(peering(first), "--node-routes="+source, "--enable-overlay="+fmt.Sprint(way == "vxlan"), "--overlay-encap=vxlan", "--overlay-type=full")
				w := begin(t, lab.Config{Nodes: 3}, args...)
				w.bird("r1", birdPeers(first, first6, "65001", "", "172.30.0.11", "172.30.0.12", "172.30.0.13"))
				w.moves(t)
			})
		}
	}
}

func (w *world) moves(t *testing.T) {
	old := w.begins("first", "n1")
	w.begins("before", "n2") // the bridge of n2 has its range's gateway
	addrs, mac := old.Addrs(), w.macOf(old)
	askers := []*lab.Host{w.node("n1").Host, w.node("n2").Host, w.node("n3").Host, w.begins("far", "n3"), w.Host("r1")}
	for _, from := range askers {
		for _, a := range addrs {
			if _, err := w.reached(from, a, "first", 20*time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"first", "before"} {
		w.remove(named(name, ""))
	}
	for _, name := range []string{"first", "before"} {
		if err := w.WaitGone(w.ctx, "default", name); err != nil {
			t.Fatal(err)
		}
	}
	w.annotate("n1", "pod-cidrs", "10.244.9.0/24,fd00:10:244:9::/64")
	w.annotate("n2", "pod-cidrs", "10.244.1.0/24,fd00:10:244:1::/64")
	for node, part := range map[string]string{"n1": "244.9.0/24", "n2": "244.1.0/24"} {
		w.until(node+" gives addresses of its new range", 20*time.Second, func() error {
			text, err := w.node(node).Run(w.ctx, "sh", "-c", "cat /etc/cni/net.d/*")
			if err != nil {
				return err
			}
			return contains(text, part)
		})
	}
	now := w.begins("second", "n2")
	if !slices.Equal(now.Addrs(), addrs) || w.macOf(now) == mac {
		t.Fatalf("the second pod has %v at %s; the first had %v at %s", now.Addrs(), w.macOf(now), addrs, mac)
	}
	atOnce := func(all []*lab.Host) {
		t.Helper()
		for _, from := range all {
			for _, a := range addrs {
				if took, err := w.reached(from, a, "second", 20*time.Second); err != nil || took > 2*time.Second {
					t.Errorf("%s to %s after %s: %v", from.Name, a, took.Round(10*time.Millisecond), err)
				}
			}
		}
	}
	atOnce(askers)
	atOnce([]*lab.Host{w.begins("neighbour", "n2"), w.begins("left", "n1")})
	atOnce(askers) // the plugin has set up the bridge of n1 for its new range
}

func named(name, node string) string {
	return strings.NewReplacer("NAME", name, "NODE", node).Replace(movedPod)
}

// begins runs a pod on a node.
func (w *world) begins(name, node string) *lab.Host {
	w.t.Helper()
	w.apply(named(name, node))
	if err := w.WaitReady(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	return w.Pod(name)
}

func (w *world) macOf(h *lab.Host) string {
	w.t.Helper()
	text, err := h.Run(w.ctx, "cat", "/sys/class/net/eth0/address")
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// reached asks until the pod of that name answers at an address.
func (w *world) reached(from *lab.Host, a netip.Addr, pod string, limit time.Duration) (time.Duration, error) {
	for began := time.Now(); ; {
		r := from.Probe(probe.Request{To: netip.AddrPortFrom(a, 8080), Timeout: 500 * time.Millisecond})
		took := time.Since(began)
		switch {
		case r.OK() && r.Pod == "default/"+pod:
			return took, nil
		case took > limit:
			return took, fmt.Errorf("%s asks %s of %s: %s (answered by %q)", from.Name, a, pod, r, r.Pod)
		}
	}
}
