package encryption

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/holder"
	"kube-router/internal/model"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func key(n byte) model.WireKey { return model.WireKey{n, 1} }

func node(name, ips, cidrs string, k byte) *model.Node {
	n := &model.Node{Name: name}
	for _, s := range strings.Fields(ips) {
		n.InternalIPs = append(n.InternalIPs, netip.MustParseAddr(s))
	}
	for _, s := range strings.Fields(cidrs) {
		n.PodCIDRs = append(n.PodCIDRs, pfx(s))
	}
	if k > 0 {
		n.Options.Wire.Key = key(k)
	}
	return n
}

// cluster has our node a, and b with a key.
func cluster(strict bool, change ...func(*model.Model)) *model.Model {
	m := model.New(model.Settings{Node: "a", Router: true, IPv4: true, IPv6: true, Routes: model.RouteSettings{Source: "bgp"},
		Encryption: model.EncryptionSettings{On: true, Strict: strict, Port: 51890}})
	m.Put(&model.WireIdentity{Key: key(1)})
	m.Put(node("a", "10.0.0.1 fd00::1", "10.244.1.0/24 fd01::/64", 1))
	m.Put(node("b", "10.0.0.2 fd00::2", "10.244.2.0/24 fd02::/64", 2))
	m.Put(&model.Link{Name: "eth0", MTU: 1500, Up: true, Addrs: []netip.Prefix{pfx("10.0.0.1/24"), pfx("fd00::1/64")}})
	for _, f := range change {
		f(m)
	}
	return m
}

// TestPeer are the ways in which another node is a peer, or none.
func TestPeer(t *testing.T) {
	put := func(o model.Object) func(*model.Model) { return func(m *model.Model) { m.Put(o) } }
	with := func(f func(*model.NodeWire)) func(*model.Model) {
		n := node("b", "10.0.0.2 fd00::2", "10.244.2.0/24 fd02::/64", 2)
		f(&n.Options.Wire)
		return put(n)
	}
	const all = " allowed [10.0.0.2/32 10.244.2.0/24 fd00::2/128 fd02::/64]"
	const one = "at 10.0.0.2:51890 keepalive 0" + all
	for _, c := range []struct {
		name   string
		change func(*model.Model)
		strict bool
		want   string
	}{
		{name: "a node with a key", change: func(*model.Model) {}, want: "1 key " + one},
		{name: "it is steered to once it has answered", change: put(&model.WireAnswer{Key: key(2)}), want: "1 key " + one + " steered"},
		{name: "or at once when strict", change: func(*model.Model) {}, strict: true, want: "1 key " + one + " steered"},
		{name: "no key", change: put(node("b", "10.0.0.2", "10.244.2.0/24", 0)), want: "what is sent to its pods is not encrypted: it has no key of WireGuard"},
		{name: "no key when strict", change: put(node("b", "10.0.0.2", "10.244.2.0/24", 0)), strict: true, want: "what is sent to its pods is dropped (--encryption-strict): it has no key of WireGuard"},
		{name: "our own key", change: put(node("b", "10.0.0.2", "10.244.2.0/24", 1)), want: "it has the key of this node"},
		{name: "a key that two have", change: put(node("c", "10.0.0.3", "10.244.3.0/24", 2)), want: "other nodes have the same key"},
		{name: "a revoked key", change: with(func(w *model.NodeWire) { w.Revoked = []model.WireKey{key(2)} }), want: "its key is revoked"},
		{name: "a next key", change: with(func(w *model.NodeWire) { w.Also = key(9) }), want: "2 keys " + one},
		{name: "the answer of the key before counts", change: func(m *model.Model) {
			with(func(w *model.NodeWire) { w.Also = key(9) })(m)
			m.Put(&model.WireAnswer{Key: key(9)})
		}, want: "2 keys " + one + " steered"},
		{name: "behind a NAT", change: with(func(w *model.NodeWire) { w.Behind, w.Keepalive = true, 25 }), want: "1 key at invalid AddrPort keepalive 25" + all},
		{name: "at another port", change: with(func(w *model.NodeWire) { w.Port = 7 }), want: "1 key at 10.0.0.2:7 keepalive 0" + all},
		{name: "IPv4 alone between nodes, pods of both families", change: put(node("b", "10.0.0.2", "10.244.2.0/24 fd02::/64", 2)), want: "1 key at 10.0.0.2:51890 keepalive 0 allowed [10.0.0.2/32 10.244.2.0/24 fd02::/64]"},
		{name: "IPv6 alone between nodes, pods of both families", change: put(node("b", "fd00::2", "10.244.2.0/24 fd02::/64", 2)), want: "1 key at [fd00::2]:51890 keepalive 0 allowed [10.244.2.0/24 fd00::2/128 fd02::/64]"},
		{name: "no address of a family that we have", change: func(m *model.Model) {
			m.Put(node("a", "10.0.0.1", "10.244.1.0/24", 1))
			m.Put(node("b", "fd00::2", "10.244.2.0/24", 2))
		}, want: "it has no address of a family"},
		{name: "an older node's range stays that node's", change: put(node("a0", "10.0.0.9", "10.244.2.0/24", 7)), want: "1 key at 10.0.0.2:51890 keepalive 0 allowed [10.0.0.2/32 fd00::2/128 fd02::/64]"},
		{name: "an address in another's range isn't its own", change: put(node("b", "10.0.0.2 10.244.1.7", "10.244.2.0/24", 2)), want: "1 key at 10.0.0.2:51890 keepalive 0 allowed [10.0.0.2/32 10.244.2.0/24]"},
		{name: "our own address isn't its own", change: put(node("b", "10.0.0.2 10.0.0.1", "10.244.2.0/24", 2)), want: "1 key at 10.0.0.2:51890 keepalive 0 allowed [10.0.0.2/32 10.244.2.0/24]"},
		{name: "what it alone teaches goes with it", strict: true, change: put(&model.Path{Prefix: pfx("10.96.0.10/32"), NextHops: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}),
			want: "1 key at 10.0.0.2:51890 keepalive 0 allowed [10.0.0.2/32 10.96.0.10/32 10.244.2.0/24 fd00::2/128 fd02::/64] steered"},
		{name: "what a router teaches does not", strict: true, change: put(&model.Path{Prefix: pfx("192.0.2.0/24"), External: true, NextHops: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}), want: "1 key " + one + " steered"},
		{name: "nor our own pods, whoever teaches them", strict: true, change: put(&model.Path{Prefix: pfx("10.244.1.128/25"), NextHops: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}), want: "1 key " + one + " steered"},
		{name: "nor our own subnet", strict: true, change: put(&model.Path{Prefix: pfx("10.0.0.128/25"), NextHops: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}), want: "1 key " + one + " steered"},
		{name: "nor everything", strict: true, change: put(&model.Path{Prefix: pfx("0.0.0.0/0"), NextHops: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}), want: "1 key " + one + " steered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, remarks := Peer(cluster(c.strict, c.change), "b")
			var text string
			if p != nil {
				text = fmt.Sprintf("%d key", len(p.Keys)) + strings.Repeat("s", min(1, len(p.Keys)-1)) + fmt.Sprintf(" at %s keepalive %d allowed %v", p.Endpoint, p.Keepalive, p.Allowed)
				if p.Steered {
					text += " steered"
				}
			}
			for _, r := range remarks {
				text += r.Message
			}
			if text != c.want && !(p == nil && strings.Contains(text, c.want)) {
				t.Error(cmp.Diff(c.want, text))
			}
		})
	}
}

// TestMTU is what is left of an uplink's, by the families in which nodes are called.
func TestMTU(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*model.Model)
		pods   int
		want   int
	}{
		{"IPv4 outside", func(*model.Model) {}, 0, 1440},
		{"pods' links carry less", func(*model.Model) {}, 1430, 1430},
		{"pods' links carry more", func(*model.Model) {}, 1460, 1440},
		{"IPv6 outside", func(m *model.Model) {
			m.Put(node("a", "fd00::1 10.0.0.1", "10.244.1.0/24", 1))
		}, 0, 1420},
		{"one node by IPv6", func(m *model.Model) { m.Put(node("c", "fd00::3", "10.244.3.0/24", 3)) }, 0, 1420},
		{"a node by IPv6 without a key doesn't count", func(m *model.Model) { m.Put(node("c", "fd00::3", "10.244.3.0/24", 0)) }, 0, 1440},
		{"a large uplink", func(m *model.Model) {
			m.Put(&model.Link{Name: "eth0", MTU: 9001, Up: true, Addrs: []netip.Prefix{pfx("10.0.0.1/24")}})
		}, 0, 8941},
	} {
		w, _ := Self(cluster(false, c.change), c.pods)
		if w == nil || w.MTU != c.want {
			t.Errorf("%s: %v, want MTU %d", c.name, w, c.want)
		}
	}
}

// TestNothingWithout tells when there is nothing to plan.
func TestNothingWithout(t *testing.T) {
	for name, m := range map[string]*model.Model{
		"encryption": func() *model.Model { m := cluster(true); m.Settings.Encryption.On = false; return m }(),
		"a router":   func() *model.Model { m := cluster(true); m.Settings.Router = false; return m }(),
	} {
		w, _ := Self(m, 0)
		p, remarks := Peer(m, "b")
		if w != nil || p != nil || len(remarks) > 0 || Guard(m) != nil || Unrouted(m) != nil {
			t.Errorf("without %s: %v %v %v %v", name, w, p, remarks, Guard(m))
		}
	}
	// The guard stands before there is a key.
	m := cluster(true)
	m.Delete((&model.WireIdentity{}).Ref())
	if w, _ := Self(m, 0); w != nil || Guard(m) == nil || !Guard(m).Drop {
		t.Errorf("without a key: %v %v", w, Guard(m))
	}
}

// BenchmarkOneOfAThousand is the planning of one peer among a thousand.
func BenchmarkOneOfAThousand(b *testing.B) {
	m := cluster(true)
	for i := range 1000 {
		n := node(fmt.Sprintf("n%d", i), fmt.Sprintf("10.1.%d.%d", i/250, i%250), fmt.Sprintf("10.%d.%d.0/24", 128+i/250, i%250), 0)
		n.Options.Wire.Key = model.WireKey{7, byte(i), byte(i >> 8)}
		m.Put(n)
	}
	for b.Loop() {
		if p, _ := Peer(m, "n500"); p == nil || len(holder.WireKeys(m, m.Nodes["n500"])) != 1 {
			b.Fatal("no peer")
		}
	}
}
