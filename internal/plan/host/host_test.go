package host

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/model"
)

func pfxs(text string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range strings.Fields(text) {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func node(name, v4, v6, cidrs string) *model.Node {
	return &model.Node{
		Name: name, InternalIPs: []netip.Addr{netip.MustParseAddr(v4), netip.MustParseAddr(v6)}, PodCIDRs: pfxs(cidrs),
	}
}

func cluster(change ...func(*model.Settings)) *model.Model {
	s := model.Settings{Node: "a", Router: true, Firewall: true, Proxy: true, IPv4: true, IPv6: true}
	s.CNI = model.CNISettings{Enabled: true, File: "/etc/cni/net.d/10-kuberouter.conflist", AutoMTU: true, Socket: "/run/cni.sock"}
	s.Routes = model.RouteSettings{PodEgress: true, OverlayEncap: "ipip"}
	for _, f := range change {
		f(&s)
	}
	m := model.New(s)
	m.Put(node("a", "10.0.0.1", "fd00::1", "10.244.1.0/24 fd01::/64"))
	m.Put(node("b", "10.0.0.2", "fd00::2", "10.244.2.0/24 fd02::/64"))
	m.Put(&model.Link{Name: "eth0", MTU: 1500, Up: true, Addrs: pfxs("10.0.0.1/24 fd00::1/64")})
	return m
}

func text[T fmt.Stringer](list []T, remarks []model.Remark) string {
	var b strings.Builder
	for _, r := range list {
		fmt.Fprintln(&b, r)
	}
	for _, r := range remarks {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}

func TestPlan(t *testing.T) {
	const head = "forward v4=true v6=true uplinks=[eth0] bridge=true "
	const file = "cni=/etc/cni/net.d/10-kuberouter.conflist "
	for _, c := range []struct {
		name   string
		change func(*model.Model)
		want   string
	}{
		{"plain", func(*model.Model) {},
			head + "mtu=1500 bridged=true proxy=true " + file + "ranges=[10.244.1.0/24 fd01::/64] mtu=1500 socket=/run/cni.sock\n"},
		{"a tunnel may be in the way, and the larger overhead counts", func(m *model.Model) { m.Settings.Routes.Overlay = true },
			head + "mtu=1460 bridged=true proxy=true " + file + "ranges=[10.244.1.0/24 fd01::/64] mtu=1460 socket=/run/cni.sock\n"},
		{"the MTU is the operator's", func(m *model.Model) { m.Settings.CNI.AutoMTU = false },
			head + "mtu=0 bridged=true proxy=true " + file + "ranges=[10.244.1.0/24 fd01::/64] mtu=0 socket=/run/cni.sock\n"},
		{"no pod range yet", func(m *model.Model) { m.Put(node("a", "10.0.0.1", "fd00::1", "")) },
			head + "mtu=1500 bridged=true proxy=true\nNode a: spec.podCIDRs: no pod range yet, so pods can't start here: the controller manager allocates it " +
				"(--allocate-node-cidrs), or the annotation kube-router.io/pod-cidrs names it\n"},
		{"two ranges of a family", func(m *model.Model) { m.Put(node("a", "10.0.0.1", "fd00::1", "10.244.1.0/24 10.244.9.0/24")) },
			head + "mtu=1500 bridged=true proxy=true " + file + "ranges=[10.244.1.0/24] mtu=1500 socket=/run/cni.sock\n" +
				"Node a: spec.podCIDRs: 10.244.9.0/24 gets no pods: only the first range of a family does\n"},
		{"a single plugin can't be chained to", func(m *model.Model) { m.Settings.CNI.File = "/etc/cni/net.d/10-kuberouter.conf" },
			head + "mtu=1500 bridged=true proxy=true cni=/etc/cni/net.d/10-kuberouter.conf ranges=[10.244.1.0/24 fd01::/64] mtu=1500 socket=\n" +
				"Node a: /etc/cni/net.d/10-kuberouter.conf holds a single plugin, so pods don't wait for their firewall, and what they send isn't guarded: use a .conflist\n"},
		{"without firewall the guard of its port is waited for", func(m *model.Model) { m.Settings.Firewall = false },
			head + "mtu=1500 bridged=true proxy=true " + file + "ranges=[10.244.1.0/24 fd01::/64] mtu=1500 socket=/run/cni.sock\n"},
		{"without router pods are somebody else's", func(m *model.Model) { m.Settings.Router = false },
			"forward v4=true v6=true uplinks=[eth0] bridge=false mtu=0 bridged=true proxy=true\n"},
		{"too narrow for IPv6", func(m *model.Model) {
			m.Put(&model.Link{Name: "eth0", MTU: 1200, Up: true, Addrs: pfxs("10.0.0.1/24")})
		}, head + "mtu=1200 bridged=true proxy=true " + file + "ranges=[10.244.1.0/24 fd01::/64] mtu=1200 socket=/run/cni.sock\n" +
			"Node a: pods get an MTU of 1200, and IPv6 needs 1280\n"},
		{"no link has the address", func(m *model.Model) { m.Delete(model.Ref{Kind: model.KindLink, Name: model.Name{Name: "eth0"}}) },
			"forward v4=true v6=true uplinks=[] bridge=true mtu=0 bridged=true proxy=true " + file + "ranges=[10.244.1.0/24 fd01::/64] mtu=0 socket=/run/cni.sock\n" +
				"Node a: status.addresses: the MTU of pods is left to the kernel: no link of this node has its address\n"},
		{"an uplink that is down", func(m *model.Model) {
			m.Put(&model.Link{Name: "eth0", Kind: "device", MTU: 1500, Addrs: pfxs("10.0.0.1/24")})
			m.Settings.IPv6 = false
		}, "forward v4=true v6=false uplinks=[eth0] bridge=true mtu=1500 bridged=true proxy=true " + file + "ranges=[10.244.1.0/24] mtu=1500 socket=/run/cni.sock\n"},
		{"the IPv6 address is to come by router advertisement", func(m *model.Model) {
			m.Settings.IPv4 = false
			m.Put(&model.Link{Name: "eth0", Kind: "device", MTU: 1500, Addrs: pfxs("10.0.0.1/24")})
			m.Put(&model.Link{Name: "bond0", Kind: "bond", MTU: 1500, Up: true})
			m.Put(&model.Link{Name: "docker0", Kind: "bridge", MTU: 1500, Up: true, Addrs: pfxs("172.17.0.1/16")})
			m.Put(&model.Link{Name: "lo", Kind: "device", MTU: 65536, Up: true, Addrs: pfxs("127.0.0.1/8")})
		}, "forward v4=false v6=true uplinks=[bond0 eth0] bridge=true mtu=0 bridged=true proxy=true " + file + "ranges=[fd01::/64] mtu=0 socket=/run/cni.sock\n" +
			"Node a: status.addresses: the MTU of pods is left to the kernel: no link of this node has its address\n"},
		{"no node: the bridge stands for pods that run", func(m *model.Model) { m.Delete(m.Self().Ref()) },
			"forward v4=true v6=true uplinks=[] bridge=true mtu=0 bridged=true proxy=true\n"},
	} {
		m := cluster()
		c.change(m)
		if d := cmp.Diff(c.want, text(Plan(m))); d != "" {
			t.Errorf("%s: want - have +:\n%s", c.name, d)
		}
	}
}

func TestEgress(t *testing.T) {
	const keep = "masquerade [10.244.1.0/24 fd01::/64] except to "
	const a = "a: node at [10.0.0.1 fd00::1], no masquerade to [10.244.1.0/24 fd01::/64], away []\n"
	const b = "b: node at [10.0.0.2 fd00::2], no masquerade to [10.244.2.0/24 fd02::/64], away [10.244.2.0/24 fd02::/64]\n"
	const nodes = "a: node at [10.0.0.1 fd00::1], no masquerade to [], away []\nb: node at [10.0.0.2 fd00::2], no masquerade to [], away [10.244.2.0/24 fd02::/64]\n"
	for _, c := range []struct {
		name   string
		change func(*model.Model)
		want   string
	}{
		{"pods and nodes keep", func(*model.Model) {},
			keep + "[], refuse to []\n" + a + b},
		{"ranges within others are merged", func(m *model.Model) {
			m.Settings.Routes.ClusterCIDRs = pfxs("10.244.0.0/16")
			m.Settings.Routes.EgressExclude = pfxs("10.0.0.0/8 10.1.2.3/16")
		}, keep + "[10.0.0.0/8], refuse to []\n" +
			"a: node at [10.0.0.1 fd00::1], no masquerade to [fd01::/64], away []\nb: node at [10.0.0.2 fd00::2], no masquerade to [fd02::/64], away [10.244.2.0/24 fd02::/64]\n"},
		{"ranges of nodes hold others", func(m *model.Model) {
			m.Settings.Routes.EgressExclude = pfxs("10.244.2.128/25 10.244.1.0/24 10.9.0.0/16")
			m.Put(node("c", "10.0.0.3", "fd00::3", "10.244.0.0/16"))
		}, keep + "[10.9.0.0/16], refuse to []\n" +
			"a: node at [10.0.0.1 fd00::1], no masquerade to [fd01::/64], away []\nb: node at [10.0.0.2 fd00::2], no masquerade to [fd02::/64], away [fd02::/64]\n" +
			"c: node at [10.0.0.3 fd00::3], no masquerade to [10.244.0.0/16], away [10.244.0.0/16]\n"},
		{"a family that is off", func(m *model.Model) { m.Settings.IPv6 = false },
			"masquerade [10.244.1.0/24] except to [], refuse to []\n" +
				"a: node at [10.0.0.1], no masquerade to [10.244.1.0/24], away []\nb: node at [10.0.0.2], no masquerade to [10.244.2.0/24], away [10.244.2.0/24]\n"},
		{"egress off", func(m *model.Model) { m.Settings.Routes.PodEgress = false }, nodes},
		{"advertised service ranges end here", func(m *model.Model) {
			m.Settings.Routes.PodEgress = false
			m.Settings.BGP.AggregateServices, m.Settings.BGP.AdvertiseCluster = true, true
			m.Settings.Services.ClusterRanges, m.Settings.Services.ExternalRanges = pfxs("10.96.0.0/12"), pfxs("192.0.2.0/24")
		}, "masquerade [] except to [], refuse to [10.96.0.0/12]\n" + nodes},
	} {
		m := cluster()
		c.change(m)
		have := text(Egress(m), nil)
		for _, name := range slices.Sorted(maps.Keys(m.Nodes)) {
			for _, p := range Peer(m, name) {
				have += name + ": " + p.String() + "\n"
			}
		}
		if d := cmp.Diff(c.want, have); d != "" {
			t.Errorf("%s: want - have +:\n%s", c.name, d)
		}
	}
}
