package lab_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// TestWhatOthersRemoveComesBack deletes a rule, a map element and a route of ours and sets the bridge down; each
// must be back within a second, told by the kernel, not by a timer.
func TestWhatOthersRemoveComesBack(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 2})
	node := l.Node("n1")
	run := func(command string) string {
		t.Helper()
		out, err := node.Run(ctx, "sh", "-c", command)
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		return out
	}
	serves(t, ctx, l, l.Pod("client"), web("10.96.0.80"))
	for _, c := range []struct{ what, remove, look string }{
		{"a map element",
			"nft delete element inet kube-router services-heads4 '{ 10.96.0.80 . tcp . 80 }'",
			"nft get element inet kube-router services-heads4 '{ 10.96.0.80 . tcp . 80 }'"},
		{"all rules of a chain",
			"nft flush chain inet kube-router services-prerouting",
			"nft list chain inet kube-router services-prerouting | grep services-heads4"},
		{"the whole table",
			"nft delete table inet kube-router",
			"nft get element inet kube-router services-heads4 '{ 10.96.0.80 . tcp . 80 }'"},
		{"a learned route",
			"ip route del 10.244.2.0/24 proto 17",
			"ip route show 10.244.2.0/24 proto 17 | grep via"},
		{"the bridge, set down, with both its addresses",
			"ip link set kube-bridge down",
			"ip link show kube-bridge up | grep -q kube-bridge && ip addr show kube-bridge | grep 10.244.1.1/24 && ip addr show kube-bridge | grep fd00:10:244:1::1/64"},
	} {
		run(c.look)
		if out, err := node.Run(ctx, "sh", "-c", c.remove); strings.Contains(out, "Operation not permitted") {
			t.Logf("%s can't be removed", c.what) // the daemon owns its tables (Linux 6.9)
		} else if err != nil {
			t.Fatalf("%s: %v\n%s", c.remove, err, out)
		}
		begun := time.Now()
		eventually(t, ctx, l, c.what+" to come back", time.Second, func() error {
			if out, err := node.Run(ctx, "sh", "-c", c.look); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		t.Logf("%s was back after %s", c.what, time.Since(begun).Round(time.Millisecond))
	}
	serves(t, ctx, l, l.Pod("client"), web("10.96.0.80"))
}

// TestStrangersSurvive makes a table, a route and an iptables rule that are not ours and looks at them after
// a restart and after cleanup, which must leave nothing of ours.
func TestStrangersSurvive(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 2})
	node := l.Node("n1")
	for _, c := range []string{
		"nft add table inet stranger", "nft add chain inet stranger forward '{ type filter hook forward priority 0; }'",
		"nft add rule inet stranger forward counter", "ip route add 192.0.2.0/24 dev eth0 proto static",
		"iptables -A FORWARD -s 192.0.2.1 -j DROP",
	} {
		if out, err := node.Run(ctx, "sh", "-c", c); err != nil {
			t.Fatalf("%s: %v\n%s", c, err, out)
		}
	}
	look := func(when string) {
		t.Helper()
		out, _ := node.Run(ctx, "sh", "-c", "nft list table inet stranger; ip route; iptables -S FORWARD")
		for _, want := range []string{"hook forward", "counter", "192.0.2.0/24 dev eth0 proto static", "-s 192.0.2.1/32 -j DROP"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s, %q is missing:\n%s", when, want, out)
			}
		}
	}
	look("while we run")
	if err := node.RestartDaemon(); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, l, "the daemon to answer", 10*time.Second, func() error {
		out, err := node.Run(ctx, programs+"/kube-router", "show", "tables")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	serves(t, ctx, l, l.Pod("client"), web("10.96.0.80"))
	look("after a restart")
	if err := node.StopDaemon(); err != nil {
		t.Fatal(err)
	}
	out, err := node.Run(ctx, "env", "NODE_NAME=n1", "KUBE_ROUTER_CNI_CONF_FILE=/etc/cni/net.d/10-kuberouter.conflist",
		programs+"/kube-router", "cleanup")
	if err != nil {
		t.Fatalf("cleanup: %v\n%s", err, out)
	}
	look("after cleanup")
	left, _ := node.Run(ctx, "sh", "-c", "nft list tables; ip route show proto 17; ip -o link show type bridge; ls /etc/cni/net.d")
	for _, ours := range []string{"kube-router", "proto 17", "kube-bridge", "conflist"} {
		if strings.Contains(left, ours) {
			t.Errorf("cleanup left %q:\n%s", ours, left)
		}
	}
}
