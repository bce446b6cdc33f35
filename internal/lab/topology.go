package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"kube-router/internal/lab/netns"
)

// A lab's addresses. Each lab is a world of its own, so all may use the same.
//
//	node n3 in subnet 0    172.30.0.13    fd00:172:30:0::13    its pods 10.244.3.0/24, fd00:10:244:3::/64
//	outside                172.31.0.10    fd00:172:31:0::10
//	another host           172.3x.y.200   fd00:172:3x:y::200, .201, ... in the order of Config.Hosts
//	the router             .1 and ::1 of each subnet
func subnet(segment, number int) []netip.Prefix {
	second, third := 30, segment
	if segment == Outside {
		second, third = 31, 0
	}
	return []netip.Prefix{
		netip.MustParsePrefix(fmt.Sprintf("172.%d.%d.%d/24", second, third, number)),
		netip.MustParsePrefix(fmt.Sprintf("fd00:172:%d:%d::%d/64", second, third, number)),
	}
}

// podCIDRs are the ranges of the pods of the node of that number, which counts from 1.
func podCIDRs(f Families, number int) []netip.Prefix {
	return f.keep(
		netip.MustParsePrefix(fmt.Sprintf("10.244.%d.0/24", number)),
		netip.MustParsePrefix(fmt.Sprintf("fd00:10:244:%x::/64", number)))
}

func bridgeOf(segment int) string {
	if segment == Outside {
		return "br-outside"
	}
	return fmt.Sprintf("br-net%d", segment)
}

// spaceName is the name that "ip netns" shows.
func spaceName(lab, host string) string { return prefixOf(lab) + host }

// spacePrefix begins the name of every lab's network namespaces.
const spacePrefix = "krlab-"

func prefixOf(lab string) string { return spacePrefix + lab + "-" }

// build makes the fabric, the nodes and the other hosts.
func (l *Lab) build() error {
	if err := l.buildFabric(); err != nil {
		return err
	}
	for i := range l.config.Nodes {
		if _, err := l.node(i+1, i*l.config.Subnets/l.config.Nodes); err != nil {
			return err
		}
	}
	if _, err := l.host(OutsideName, Outside, 10); err != nil {
		return err
	}
	for i, h := range l.config.Hosts {
		if _, err := l.host(h.Name, h.Segment, 200+i, h.Addrs...); err != nil {
			return err
		}
	}
	return nil
}

// node makes the node of that number, without anything of a cluster yet.
func (l *Lab) node(number, segment int) (*Node, error) {
	h, err := l.host(fmt.Sprintf("n%d", number), segment, 10+number)
	if err != nil {
		return nil, err
	}
	n := &Node{Host: h, lab: l, dir: filepath.Join(l.dir, h.Name), number: number, segment: segment}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes = append(l.nodes, n)
	return n, nil
}

// AddNode has one more node join the cluster, in that subnet, and returns when it has its network, or at once without daemons.
func (l *Lab) AddNode(ctx context.Context, segment int) (*Node, error) {
	n, err := l.node(len(l.Nodes())+1, segment)
	if err != nil {
		return nil, err
	}
	l.startKubelet(n)
	if err := l.join(ctx, n); err != nil {
		return nil, err
	}
	if l.config.NoDaemon {
		return n, nil
	}
	if err := n.StartDaemon(); err != nil {
		return nil, err
	}
	return n, l.waitNodes(ctx)
}

// buildFabric makes the namespace that is switch and router at once: a bridge for each subnet, with the router's address on it.
func (l *Lab) buildFabric() error {
	var err error
	if l.fabric, err = netns.New(); err != nil {
		return err
	}
	if err = errors.Join(l.fabric.Name(spaceName(l.config.Name, "fabric")), l.fabric.Prepare()); err != nil {
		return err
	}
	err = l.fabric.Sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
		"net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
	if err != nil {
		return err
	}
	for segment := Outside; segment < l.config.Subnets; segment++ {
		end := netns.End{Space: l.fabric, Name: bridgeOf(segment), Addrs: l.config.Families.keep(subnet(segment, 1)...)}
		if err := netns.Bridge(l.config.MTU, end); err != nil {
			return err
		}
	}
	return nil
}

// host makes a machine, plugs it into its segment's bridge and gives it a default route.
func (l *Lab) host(name string, segment, number int, more ...netip.Prefix) (*Host, error) {
	dir := filepath.Join(l.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	m, err := netns.StartMachine(name, dir)
	if err != nil {
		return nil, err
	}
	addrs := append(l.config.Families.keep(subnet(segment, number)...), more...)
	h := &Host{Name: name, space: m.Space, machine: m}
	for _, p := range addrs {
		h.addrs = append(h.addrs, p.Addr())
	}
	l.mu.Lock()
	l.hosts[name] = h
	l.mu.Unlock()
	if err = errors.Join(m.Name(spaceName(l.config.Name, name)), l.note(h)); err != nil {
		return nil, err
	}
	err = netns.Cable(l.config.MTU, netns.End{Space: l.fabric, Name: name}, netns.End{Space: m.Space, Name: "eth0", Addrs: addrs})
	if err == nil {
		err = l.fabric.Enslave(name, bridgeOf(segment))
	}
	if err != nil {
		return nil, err
	}
	for _, gw := range l.config.Families.keep(subnet(segment, 1)...) {
		if err := m.Route(netip.PrefixFrom(unspecified(gw.Addr()), 0), gw.Addr()); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
