//go:build routes

package routes

import (
	"time"
)

// heals has another hand remove or change what is ours on n1; each must be back within a second.
func (w *world) heals() {
	const group = "another hand"
	n1 := w.Node("n1").Host
	for _, c := range []struct{ what, do, look, want string }{
		{"a route, IPv4", "ip route del 10.244.2.0/24 proto 17", "ip route show 10.244.2.0/24", "via"},
		{"a route, IPv6", "ip -6 route del $(ip -6 route show proto 17 | grep ' via .* dev eth0' | head -1 | cut -d' ' -f1) proto 17",
			"ip -6 route show proto 17 dev eth0", "via"},
		{"a route through the tunnel", "ip route del 10.244.3.0/24 proto 17", "ip route show 10.244.3.0/24", "dev kube-vxlan"},
		{"a route in whose place another's was, which is not ours to remove", "ip route replace 10.244.2.0/24 via 172.30.0.1; sleep 0.3; ip route del 10.244.2.0/24 proto boot", "ip route show 10.244.2.0/24", "via 172.30.0.12"},
		{"all of table 77", "ip route flush table 77", "ip route show table 77", "dev kube-vxlan"},
		{"the rule to table 77, IPv4", "ip rule del lookup 77", "ip rule", "lookup 77"},
		{"the rule to table 77, IPv6", "ip -6 rule del lookup 77", "ip -6 rule", "lookup 77"},
		{"the end of our own range", "ip route del unreachable 10.244.1.0/24", "ip route show type unreachable", "10.244.1.0/24"},
		{"the tunnel deleted", "ip link del kube-vxlan", "ip link show kube-vxlan && ip route show 10.244.3.0/24", "dev kube-vxlan"},
		{"the tunnel down", "ip link set kube-vxlan6 down", "ip link show kube-vxlan6 && ip -6 route show dev kube-vxlan6 proto 17", "fe80"},
		{"the tunnel's MTU", "ip link set kube-vxlan mtu 1400", "ip link show kube-vxlan", "mtu 1450"},
		{"the tunnel's neighbour", "ip neigh flush dev kube-vxlan nud permanent", "ip neigh show dev kube-vxlan", "PERMANENT"},
		{"the tunnel's forwarding entry", "bridge fdb del $(bridge fdb show dev kube-vxlan | grep -m1 dst | cut -d' ' -f1) dev kube-vxlan",
			"test $(bridge fdb show dev kube-vxlan | grep -c dst) = 2 && echo two", "two"},
		{"kube-bridge's MTU", "ip link set kube-bridge mtu 1400", "ip link show kube-bridge", "mtu 1430"},
		{"kube-bridge down", "ip link set kube-bridge down", "ip link show kube-bridge", ",UP"},
		{"an address of the bridge, which the kernel takes when it goes down", "ip -6 addr show dev kube-bridge",
			"ip -6 addr show dev kube-bridge scope global", "fd00:10:244:1::1"},
		{"forwarding off", "sysctl -qw net.ipv4.ip_forward=0", "sysctl -n net.ipv4.ip_forward", "1"},
	} {
		w.sh(n1, "%s", c.do)
		took, err := w.within(time.Second, func() error { return w.says(n1, c.look, c.want) })
		w.judge(group, c.what, err, "back after %s", took)
	}
	w.sh(n1, "ip -6 addr replace fd00:10:244:1::1/64 dev kube-bridge nodad") // so that what follows is judged by itself
	for f, name := range families {
		took, err := w.within(10*time.Second, func() error { return w.everyPair(f, "tcp") })
		w.judge(group, "after all that every pod reaches every pod, "+name, err, "after %s", took)
	}
}

// follows changes n1's link under it.
func (w *world) follows() {
	const group = "the node's link"
	n1 := w.Node("n1").Host
	w.sh(n1, "ip link set eth0 mtu 1400")
	for _, c := range []struct{ what, look, want string }{
		{"MTU 1400: the bridge follows", "ip link show kube-bridge", "mtu 1330"},
		{"MTU 1400: the tunnel follows", "ip link show kube-vxlan", "mtu 1350"},
		{"MTU 1400: routes through the tunnel follow", "ip route show 10.244.3.0/24", "mtu 1350"},
		{"MTU 1400: the CNI file follows", "cat /etc/cni/net.d/10-kuberouter.conflist", "1330"},
	} {
		took, err := w.within(2*time.Second, func() error { return w.says(n1, c.look, c.want) })
		w.judge(group, c.what, err, "after %s", took)
	}
	w.sh(n1, "ip link set eth0 mtu 1500")
	took, err := w.within(2*time.Second, func() error { return w.says(n1, "ip link show kube-bridge", "mtu 1430") })
	w.judge(group, "MTU 1500 again", err, "after %s", took)

	// A link that goes down takes all routes through it and the IPv6 addresses with it; the network's default routes and addresses are
	// not ours to restore, so a network manager's part is played here.
	addrs := w.sh(n1, "ip -6 -o addr show dev eth0 scope global | tr -s ' ' | cut -d' ' -f4")
	w.sh(n1, "ip link set eth0 down")
	time.Sleep(500 * time.Millisecond)
	w.sh(n1, "ip link set eth0 up; ip -6 addr replace %s dev eth0 nodad; ip route replace default via 172.30.0.1; ip -6 route replace default via fd00:172:30::1", addrs[:len(addrs)-1])
	begun := time.Now()
	for f, name := range families {
		_, err := w.within(8*time.Second, func() error { return w.everyPair(f, "tcp") })
		w.judge(group, "down and up: every pod reaches every pod, "+name, err, "after %s", round(time.Since(begun)))
	}
}
