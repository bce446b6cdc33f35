package egress

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }
func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func is(pairs ...string) model.Selector {
	var s model.Selector
	for i := 0; i < len(pairs); i += 2 {
		s.Requirements = append(s.Requirements, model.Requirement{Key: pairs[i], Values: []string{pairs[i+1]}})
	}
	return s
}

func one(a string) model.AddrRange { return model.AddrRange{First: ip(a), Last: ip(a)} }

// cluster has our node a and b, which may be gateways, and c, which may not; a pod of team pay on b and c, and one of nobody's on b.
func cluster(change ...func(*model.Model)) *model.Model {
	m := model.New(model.Settings{Node: "a", Router: true, Firewall: true, Gateways: true, IPv4: true, IPv6: true, Routes: model.RouteSettings{PodEgress: true}})
	for i, name := range []string{"a", "b", "c"} {
		m.Put(&model.Node{
			Name: name, InternalIPs: []netip.Addr{ip(fmt.Sprintf("10.0.0.%d", i+1)), ip(fmt.Sprintf("fd00::%d", i+1))},
			PodCIDRs: []netip.Prefix{pfx(fmt.Sprintf("10.244.%d.0/24", i+1)), pfx(fmt.Sprintf("fd01:%d::/64", i+1))},
			Labels:   map[string]string{"egress": map[bool]string{true: "no", false: "yes"}[name == "c"]},
		})
	}
	m.Put(&model.Namespace{Name: "pay", Labels: map[string]string{"team": "pay"}})
	m.Put(&model.Namespace{Name: "web"})
	for _, p := range []struct{ ns, name, node, addrs string }{
		{"pay", "p1", "b", "10.244.2.5 fd01:2::5"}, {"pay", "p2", "c", "10.244.3.5"}, {"pay", "p3", "a", "10.244.1.5"}, {"web", "w", "a", "10.244.1.6"},
	} {
		o := &model.Pod{Name: model.Name{Namespace: p.ns, Name: p.name}, Node: p.node, Labels: map[string]string{"app": p.name}}
		for _, a := range strings.Fields(p.addrs) {
			o.Addrs = append(o.Addrs, ip(a))
		}
		m.Put(o)
	}
	m.Put(&model.EgressGateway{Name: "g", Namespaces: is("team", "pay"), Nodes: is("egress", "yes"), Addresses: []model.AddrRange{one("203.0.113.7"), one("2001:db8::7")}})
	for _, f := range change {
		f(m)
	}
	return m
}

// direct says that every node is in our subnet.
func direct(n *model.Node, f model.Family) (intent.Hop, string) {
	return intent.Hop{Via: n.IP(f), Dev: "eth0"}, ""
}

func edit[T any](o *T, f func(*T)) *T {
	c := *o
	f(&c)
	return &c
}

func pod(m *model.Model, name string) string {
	ns, n, _ := strings.Cut(name, "/")
	var t Tables
	return fmt.Sprint(t.Pod(m, model.Name{Namespace: ns, Name: n}))
}

// TestWhoLeaves is the table of which pod leaves with which address, as this node has it.
func TestWhoLeaves(t *testing.T) {
	gateway := func(m *model.Model) *model.EgressGateway { return m.Gateways["g"] }
	younger := &model.EgressGateway{Name: "h", Created: time.Unix(9, 0), Namespaces: model.Selector{}, Nodes: is("egress", "yes"), Addresses: []model.AddrRange{one("203.0.113.9")}}
	for _, c := range []struct {
		name, pod string
		change    func(*model.Model)
		want      string
	}{
		{"a pod of another node, whose gateway this node may be", "pay/p1", nil, "[10.244.2.5 leaves as 203.0.113.7 fd01:2::5 leaves as 2001:db8::7]"},
		{"a pod of this node", "pay/p3", nil, "[10.244.1.5 leaves as 203.0.113.7]"},
		{"of another namespace", "web/w", nil, "[]"},
		{"a pod of another node, where this one may be no gateway", "pay/p1", func(m *model.Model) {
			m.Put(edit(m.Nodes["a"], func(n *model.Node) { n.Labels = nil }))
		}, "[]"},
		{"a pod of this node all the same", "pay/p3", func(m *model.Model) {
			m.Put(edit(m.Nodes["a"], func(n *model.Node) { n.Labels = nil }))
		}, "[10.244.1.5 leaves as 203.0.113.7]"},
		{"on the host's network", "pay/p3", func(m *model.Model) {
			m.Put(edit(m.Pods[model.Name{Namespace: "pay", Name: "p3"}], func(p *model.Pod) { p.HostNetwork = true }))
		}, "[]"},
		{"finished", "pay/p3", func(m *model.Model) {
			m.Put(edit(m.Pods[model.Name{Namespace: "pay", Name: "p3"}], func(p *model.Pod) { p.Finished = true }))
		}, "[]"},
		{"by its labels", "pay/p3", func(m *model.Model) {
			m.Put(edit(gateway(m), func(g *model.EgressGateway) { g.Pods = is("app", "p1") }))
		}, "[]"},
		{"the namespace is not known yet", "pay/p3", func(m *model.Model) { m.Delete(model.Ref{Kind: model.KindNamespace, Name: model.Name{Name: "pay"}}) }, "[]"},
		{"a selector that can't be read selects nobody", "pay/p3", func(m *model.Model) {
			m.Put(edit(gateway(m), func(g *model.EgressGateway) { g.Namespaces = model.Selector{Invalid: true} }))
		}, "[]"},
		{"off", "pay/p3", func(m *model.Model) { m.Settings.Gateways = false }, "[]"},
		{"the older of two gateways has the pod", "pay/p3", func(m *model.Model) { m.Put(younger) }, "[10.244.1.5 leaves as 203.0.113.7]"},
		{"the younger has the others", "web/w", func(m *model.Model) { m.Put(younger) }, "[10.244.1.6 leaves as 203.0.113.9]"},
		{"CNI tells before the API does", "pay/new", func(m *model.Model) {
			m.Put(&model.Pod{Name: model.Name{Namespace: "pay", Name: "new"}, Node: "a"})
			m.Put(&model.Attachment{Container: "c", Ifname: "eth0", Pod: model.Name{Namespace: "pay", Name: "new"}, Addrs: []netip.Addr{ip("10.244.1.9")}})
		}, "[10.244.1.9 leaves as 203.0.113.7]"},
		{"an address that CNI gave to another pod", "pay/p3", func(m *model.Model) {
			m.Put(&model.Attachment{Container: "c", Ifname: "eth0", Pod: model.Name{Namespace: "web", Name: "w2"}, Addrs: []netip.Addr{ip("10.244.1.5")}})
		}, "[]"},
		{"another node's pods, of which two say to have an address", "pay/p1", func(m *model.Model) {
			m.Put(&model.Pod{Name: model.Name{Namespace: "web", Name: "w3"}, Node: "b", Addrs: []netip.Addr{ip("10.244.2.5")}})
		}, "[fd01:2::5 leaves as 2001:db8::7]"},
		{"a pool", "pay/p3", func(m *model.Model) {
			m.Put(&model.Pool{Name: "out", Egress: true, Ranges: []model.AddrRange{one("198.51.100.4")}})
			m.Put(edit(gateway(m), func(g *model.EgressGateway) { g.Addresses, g.Pool = nil, "out" }))
		}, "[10.244.1.5 leaves as 198.51.100.4]"},
	} {
		m := cluster()
		if c.change != nil {
			c.change(m)
		}
		if have := pod(m, c.pod); have != c.want {
			t.Errorf("%s: %s: have %s, want %s", c.name, c.pod, have, c.want)
		}
	}
}

// TestAddresses is the table of where addresses are, and of what is odd about them.
func TestAddresses(t *testing.T) {
	b := func(f func(*model.Node)) func(*model.Model) {
		return func(m *model.Model) { m.Put(edit(m.Nodes["b"], f)) }
	}
	only := func(f func(*model.Node)) func(*model.Model) { // of a and b, b alone may be the gateway
		return func(m *model.Model) {
			m.Put(edit(m.Nodes["a"], func(n *model.Node) { n.Labels = nil }))
			b(f)(m)
		}
	}
	four := func(m *model.Model) {
		m.Put(edit(m.Gateways["g"], func(g *model.EgressGateway) { g.Addresses = g.Addresses[:1] }))
	}
	const hop, none = "203.0.113.7 slot 9 via 10.0.0.2 dev eth0\n", "203.0.113.7 slot 9 from nowhere\n"
	nobody := "EgressGateway g: spec.nodeSelector: nothing leaves from 203.0.113.7: no node is selected that is ready and has an IPv4 address\n"
	for _, c := range []struct {
		name   string
		change func(*model.Model)
		want   string
	}{
		{"the node that is selected", only(func(*model.Node) {}), hop},
		{"not ready", only(func(n *model.Node) { n.NotReady = true }), none + nobody},
		{"silent", func(m *model.Model) { only(func(*model.Node) {})(m); m.Put(&model.Silence{Node: "b"}) }, none + nobody},
		{"silent on one link alone", func(m *model.Model) { only(func(*model.Node) {})(m); m.Put(&model.Silence{Node: "b", Link: "eth7"}) }, hop},
		{"going", only(func(n *model.Node) { n.Leaving = true }), none + nobody},
		{"excluded, and yet the only one", only(func(n *model.Node) { n.ExcludeFromLB = true }), hop},
		{"excluded, where another is", b(func(n *model.Node) { n.ExcludeFromLB = true }), "203.0.113.7 slot 9 from here\n"},
		{"no address of the family", only(func(n *model.Node) { n.InternalIPs = n.InternalIPs[1:] }), none + nobody},
		{"a node's own address", func(m *model.Model) {
			m.Put(edit(m.Gateways["g"], func(g *model.EgressGateway) { g.Addresses = []model.AddrRange{one("10.0.0.2")} }))
		}, "EgressGateway g: spec.addresses: 10.0.0.2 not used: it is node b's own\n"},
		{"a pod's", func(m *model.Model) {
			m.Put(edit(m.Gateways["g"], func(g *model.EgressGateway) { g.Addresses = []model.AddrRange{one("10.244.2.77")} }))
		}, "EgressGateway g: spec.addresses: 10.244.2.77 not used: it lies in the pod range of node b\n"},
		{"a Service's", func(m *model.Model) {
			m.Put(&model.Service{Name: model.Name{Namespace: "x", Name: "lb"}, ExternalIPs: []netip.Addr{ip("203.0.113.7")}})
		}, "EgressGateway g: spec.addresses: 203.0.113.7 not used: it is Service x/lb's, where packets end that come back\n"},
		{"an older gateway's", func(m *model.Model) {
			only(func(*model.Node) {})(m)
			m.Put(edit(m.Gateways["g"], func(g *model.EgressGateway) { g.Name, g.Created = "y", time.Unix(5, 0) }))
		}, hop + "EgressGateway y: spec.addresses: 203.0.113.7 not used: EgressGateway g, which is older, has it\n"},
		{"no pool", func(m *model.Model) { m.Put(edit(m.Gateways["g"], func(g *model.EgressGateway) { g.Pool = "out" })) },
			"EgressGateway g: spec.pool: there is no AddressPool out, so selected pods don't leave\n"},
		{"a pool for Services too", func(m *model.Model) {
			m.Put(&model.Pool{Name: "out", Egress: true, Balancer: true})
			m.Put(edit(m.Gateways["g"], func(g *model.EgressGateway) { g.Pool = "out" }))
		}, "EgressGateway g: spec.pool: AddressPool out gives addresses to Services too: give the gateway a pool of its own, so selected pods don't leave\n"},
		{"exceptions of the family", func(m *model.Model) {
			only(func(*model.Node) {})(m)
			m.Put(edit(m.Gateways["g"], func(g *model.EgressGateway) { g.Except = []netip.Prefix{pfx("192.0.2.0/24"), pfx("2001:db8:2::/48")} }))
		}, strings.TrimSpace(hop) + " except to [192.0.2.0/24]\n"},
	} {
		m := cluster(four, c.change)
		list, remarks := Addresses(m, direct)
		have := ""
		for _, l := range list {
			have += l.String() + "\n"
		}
		for _, r := range remarks {
			have += r.String() + "\n"
		}
		if d := cmp.Diff(c.want, have); d != "" {
			t.Errorf("%s: want - have +:\n%s", c.name, d)
		}
	}
}

// TestBase: what isn't outside, and the pods of other nodes, which must not leave here as they are.
func TestBase(t *testing.T) {
	m := cluster(func(m *model.Model) {
		m.Settings.IPv6 = false
		m.Settings.Routes.EgressExclude = []netip.Prefix{pfx("192.0.2.0/24")}
		m.Settings.Services.ClusterRanges = []netip.Prefix{pfx("10.96.0.0/16"), pfx("fd96::/112")}
		m.Put(&model.Link{Name: "eth0", Addrs: []netip.Prefix{pfx("10.0.0.1/24")}})
	})
	b := Base(m)
	want := &intent.GatewayBase{
		V4: true, Hidden: true, Here: []netip.Prefix{pfx("10.244.1.0/24")}, Pods: []netip.Prefix{pfx("10.244.1.0/24"), pfx("10.244.2.0/24"), pfx("10.244.3.0/24")},
		Keep: []netip.Prefix{
			pfx("10.0.0.1/32"), pfx("10.96.0.0/16"), pfx("10.244.1.0/24"), pfx("10.244.2.0/24"), pfx("10.244.3.0/24"), pfx("127.0.0.0/8"),
			pfx("169.254.0.0/16"), pfx("192.0.2.0/24"), pfx("224.0.0.0/4"), pfx("255.255.255.255/32"),
		},
	}
	if d := cmp.Diff(want, b, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("want - have +:\n%s", d)
	}
	for to, inside := range map[string]bool{"10.244.3.9": true, "10.0.0.3": true, "10.96.0.1": true, "203.0.113.1": false} {
		if have := Inside(m, b, ip(to)); have != inside {
			t.Errorf("%s is inside: %v, want %v", to, have, inside)
		}
	}
}

// naive chooses as the guide says: the older gateway, an address by the pod's address, a node by the address.
func naive(m *model.Model, o *model.Pod, a netip.Addr) (as netip.Addr, node string) {
	var g *model.EgressGateway
	for _, x := range m.Gateways {
		if ns := m.Namespaces[o.Name.Namespace]; ns == nil || ns.Labels["team"] != x.Namespaces.Requirements[0].Values[0] {
			continue
		}
		if g == nil || x.Created.Before(g.Created) {
			g = x
		}
	}
	if g == nil {
		return netip.Addr{}, ""
	}
	most := uint64(0)
	for _, r := range g.Addresses {
		if w := mix(a.AsSlice(), r.First.AsSlice()); r.First.Is4() == a.Is4() && w > most {
			as, most = r.First, w
		}
	}
	most = 0
	for _, n := range m.Nodes {
		if w := mix([]byte(n.Name), as.AsSlice()); as.IsValid() && !n.NotReady && n.Labels["egress"] == "yes" && w > most {
			node, most = n.Name, w
		}
	}
	return as, node
}

func mix(parts ...[]byte) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		h.Write(append(slices.Clone(p), byte(len(p))))
	}
	x := h.Sum64()
	for _, by := range []uint64{0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53} {
		x = (x ^ x>>33) * by
	}
	return x ^ x>>33
}

// TestOracle: random clusters, and every node's own view: each pod's address and node is what the naive choice says, its own node and the gateway
// agree, and no two addresses have one slot.
func TestOracle(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		build := func(self string) *model.Model {
			r := rand.New(rand.NewPCG(seed, 2))
			m := model.New(model.Settings{Node: self, Gateways: true, IPv4: true, IPv6: true})
			for i := range 5 {
				m.Put(&model.Node{
					Name: fmt.Sprintf("n%d", i), InternalIPs: []netip.Addr{ip(fmt.Sprintf("10.0.0.%d", i+1)), ip(fmt.Sprintf("fd00::%d", i+1))},
					NotReady: r.IntN(4) == 0, Labels: map[string]string{"egress": []string{"yes", "no"}[r.IntN(2)]},
				})
			}
			for i := range 3 {
				g := &model.EgressGateway{Name: fmt.Sprintf("g%d", i), Created: time.Unix(int64(10-i), 0), Namespaces: is("team", fmt.Sprint(r.IntN(2))), Nodes: is("egress", "yes")}
				for j := range 1 + r.IntN(4) {
					g.Addresses = append(g.Addresses, one(fmt.Sprintf("203.0.%d.%d", i, j+1)), one(fmt.Sprintf("2001:db8:%d::%d", i, j+1)))
				}
				m.Put(g)
				m.Put(&model.Namespace{Name: fmt.Sprint("ns", i), Labels: map[string]string{"team": fmt.Sprint(i)}})
			}
			for i := range 12 {
				n := r.IntN(5)
				m.Put(&model.Pod{Name: model.Name{Namespace: fmt.Sprint("ns", r.IntN(3)), Name: fmt.Sprint("p", i)}, Node: fmt.Sprintf("n%d", n),
					Addrs: []netip.Addr{ip(fmt.Sprintf("10.244.%d.%d", n, i+2)), ip(fmt.Sprintf("fd01:%d::%d", n, i+2))}})
			}
			return m
		}
		_ = r
		for i := range 5 {
			self := fmt.Sprintf("n%d", i)
			m := build(self)
			claims, _ := holder.Egresses(m)
			slots, node := map[uint32]bool{}, map[netip.Addr]string{}
			for _, c := range claims {
				if slots[c.Slot] || c.Slot == 0 || c.Slot > holder.EgressSlots {
					t.Fatalf("seed %d: slot %d of %s", seed, c.Slot, c.Addr)
				}
				slots[c.Slot] = true
				if c.Node != nil {
					node[c.Addr] = c.Node.Name
				}
			}
			var tables Tables
			for name, o := range m.Pods {
				have := tables.Pod(m, name)
				for _, a := range o.Addrs {
					as, by := naive(m, o, a)
					concerns := o.Node == self || m.Nodes[self].Labels["egress"] == "yes"
					at := slices.IndexFunc(have, func(l intent.Leaver) bool { return l.Addr == a })
					switch {
					case !as.IsValid() || !concerns:
						if at >= 0 {
							t.Fatalf("seed %d on %s: %s leaves as %s, want not", seed, self, a, have[at].As)
						}
					case at < 0 || have[at].As != as || node[as] != by:
						t.Fatalf("seed %d on %s: %s: have %v by %q, want %s by %q", seed, self, a, have, node[as], as, by)
					}
				}
			}
		}
	}
}

// TestOneAddressMoves: an address that comes takes pods, and none of them goes elsewhere; a node that goes moves its own addresses alone.
func TestOneAddressMoves(t *testing.T) {
	var list []netip.Addr
	for i := range 8 {
		list = append(list, ip(fmt.Sprintf("203.0.113.%d", i+1)))
	}
	moved := 0
	for i := range 2000 {
		a := netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)})
		before, after := holder.EgressAddress(list[:7], a), holder.EgressAddress(list, a)
		if before != after {
			moved++
			if after != list[7] {
				t.Fatalf("%s went from %s to %s", a, before, after)
			}
		}
	}
	if moved < 150 || moved > 350 {
		t.Errorf("%d of 2000 pods took the eighth address, want about 250", moved)
	}
}
