//go:build policy

package policy

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
	"kube-router/internal/lab/labtest"
	"kube-router/internal/lab/netpol"
	"kube-router/internal/lab/probe"
)

// foreign is a CNI configuration that is none of ours.
const foreign = `{"cniVersion": "1.0.0", "name": "foreign", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true,
	"ipam": {"type": "host-local", "ranges": [%s], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}]}`

// TestAlone runs the firewall alone on somebody else's pod network, with and without --netpol-default-deny.
func TestAlone(t *testing.T) {
	l, err := lab.Start(shared.ctx, lab.Config{Nodes: 1, NoDaemon: true, Daemon: filepath.Join(shared.dir, "kube-router"),
		DaemonArgs: []string{"--run-router=false", "--run-service-proxy=false"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &the{Lab: l, ctx: shared.ctx, dir: shared.dir}
	n := l.Node("n1")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	if err := l.Client.Get(w.ctx, node); err != nil {
		t.Fatal(err)
	}
	var ranges []string
	for _, c := range node.Spec.PodCIDRs {
		ranges = append(ranges, fmt.Sprintf(`[{"subnet": %q}]`, c))
	}
	if err := os.WriteFile(filepath.Join(n.CNIDir(), "05-foreign.conflist"), fmt.Appendf(nil, foreign, strings.Join(ranges, ",")), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := n.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	if err := w.Client.Create(w.ctx, newNamespace("x")); err != nil {
		t.Fatal(err)
	}
	for _, name := range netpol.Pods() {
		if err := w.Client.Create(w.ctx, newPod("x", name, "n1")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.apply(t, parse(t, `spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}`)...)
	judged := func(t *testing.T) {
		for _, addr := range l.Pod("x/a").Addrs() {
			to := probe.Request{To: netip.AddrPortFrom(addr, 80), Timeout: 300 * time.Millisecond}
			w.until(t, "the policy holds for "+addr.String(), func() bool {
				return l.Pod("x/b").Probe(to).OK() && !l.Pod("x/c").Probe(to).OK() && n.Probe(to).OK()
			})
		}
	}
	shared.one(t, "on a foreign network", judged)
	shared.one(t, "link-local addresses on a foreign bridge", func(t *testing.T) {
		to := probe.Request{To: netip.AddrPortFrom(linkLocal(t, w, l.Pod("x/a")), 80), Timeout: 400 * time.Millisecond}
		w.until(t, "no way around", func() bool { return !l.Pod("x/c").Probe(to).OK() })
	})
	shared.one(t, "behind kube-proxy by nftables", func(t *testing.T) {
		for i, addr := range l.Pod("x/a").Addrs() {
			family, front := [...]string{"ip", "ip6"}[i], kubeProxyFronts()[i]
			w.on(t, n, "nft", fmt.Sprintf("add table %[1]s kube-proxy; add chain %[1]s kube-proxy p { type nat hook prerouting priority -100; };"+
				"add rule %[1]s kube-proxy p %[1]s daddr %[2]s tcp dport 8000 dnat to %[3]s", family, front, netip.AddrPortFrom(addr, 80)))
			w.through(t, netip.AddrPortFrom(front, 8000))
			w.on(t, n, "nft", "delete table "+family+" kube-proxy")
		}
	})
	if labtest.Engine() == "ipvs" { // where this kernel has it
		shared.one(t, "behind kube-proxy by IPVS", func(t *testing.T) {
			w.on(t, n, "ip", "link", "add", "kube-ipvs0", "type", "dummy")
			w.on(t, n, "sysctl", "-qw", "net.ipv4.vs.conntrack=1")
			for i, addr := range l.Pod("x/a").Addrs() {
				front := netip.AddrPortFrom(kubeProxyFronts()[i], 8000)
				w.on(t, n, "ip", "addr", "add", netip.PrefixFrom(front.Addr(), front.Addr().BitLen()).String(), "dev", "kube-ipvs0")
				w.on(t, n, "ipvsadm", "-A", "-t", front.String(), "-s", "rr")
				w.on(t, n, "ipvsadm", "-a", "-t", front.String(), "-r", netip.AddrPortFrom(addr, 80).String(), "-m")
				w.through(t, front)
			}
			w.on(t, n, "ip", "link", "del", "kube-ipvs0")
			w.on(t, n, "ipvsadm", "-C")
		})
	}
	shared.one(t, "with default deny", func(t *testing.T) {
		if err := n.RestartDaemon("--netpol-default-deny"); err != nil {
			t.Fatal(err)
		}
		judged(t)
		// An address of the range that is no pod's says nothing and hears nothing.
		pod := l.Pod("x/c")
		stranger := netip.MustParsePrefix(node.Spec.PodCIDRs[0]).Addr().Next()
		for range 200 {
			stranger = stranger.Next()
		}
		if out, err := pod.Run(w.ctx, "ip", "addr", "add", stranger.String()+"/24", "dev", "eth0"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		to := probe.Request{To: netip.AddrPortFrom(l.Pod("x/b").IPv4(), 80), From: netip.AddrPortFrom(stranger, 0), Timeout: 500 * time.Millisecond}
		w.until(t, "a stranger is refused", func() bool { return !pod.Probe(to).OK() })
		if r := l.Pod("x/b").Probe(probe.Request{To: netip.AddrPortFrom(stranger, 80), Timeout: 500 * time.Millisecond}); r.OK() {
			t.Errorf("a stranger was reached: %s", r)
		}
		to.From = netip.AddrPort{}
		if r := pod.Probe(to); !r.OK() {
			t.Errorf("the pod itself: %s", r)
		}
	})
}

// kubeProxyFronts are addresses of Services in the lab's ranges.
func kubeProxyFronts() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("10.96.7.7"), netip.MustParseAddr("fd00:10:96::7:7")}
}

// on runs a program on a node.
func (w *the) on(t *testing.T, n *lab.Node, args ...string) {
	t.Helper()
	if out, err := n.Run(w.ctx, args[0], args[1:]...); err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
}

// through has the Service of x/a asked by the pod that may and the one that may not.
func (w *the) through(t *testing.T, front netip.AddrPort) {
	t.Helper()
	to := probe.Request{To: front, Timeout: 400 * time.Millisecond}
	w.until(t, "x/b is let in by "+front.String(), func() bool { return w.Pod("x/b").Probe(to).OK() })
	if r := w.Pod("x/c").Probe(to); r.OK() {
		t.Errorf("x/c got through %s: %s", front, r)
	}
}
