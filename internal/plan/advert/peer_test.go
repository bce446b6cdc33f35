package advert

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

func router64513(name, addr string, change ...func(*model.BGPPeer)) *model.BGPPeer {
	p := &model.BGPPeer{Name: name, Peer: model.Peer{Addr: addrs(addr)[0], ASN: 64513}, Created: time.Unix(1000, 0)}
	for _, f := range change {
		f(p)
	}
	return p
}

// TestObjectsAreRouters: a BGPPeer makes the same session as a flag would; where both speak of an address the object counts.
func TestObjectsAreRouters(t *testing.T) {
	zero := time.Duration(0)
	for _, c := range []struct {
		name, want string
		put        []model.Object
		flags      []model.Peer
	}{
		{name: "alone", put: []model.Object{router64513("tor1", "10.0.0.200")}, want: "peer 10.0.0.200 AS 64513 from 10.0.0.1 IPv4 IPv6\n"},
		{name: "all that it may say", put: []model.Object{router64513("tor1", "10.0.0.200", func(p *model.BGPPeer) {
			limit := uint32(7)
			p.Peer = model.Peer{Addr: p.Peer.Addr, ASN: 64513, LocalASN: 64999, Port: 1179, Local: addrs("10.0.0.9")[0], Hops: 2, Limit: &limit, Hold: 9 * time.Second,
				Keepalive: time.Second, Restart: &zero, Families: []model.Family{model.IPv4}, BFD: &model.BFD{}}
		})}, want: "peer 10.0.0.200 AS 64513 from 10.0.0.9 IPv4 port 1179 ttl-security 254 prefix-limit 7 hold 9s local-as 64999 keepalive 1s bfd 3784 1s/1s x3\n"},
		{
			name: "the object wins, and the flag's others stay", flags: []model.Peer{{Addr: addrs("10.0.0.200")[0], ASN: 1}, {Addr: addrs("10.0.0.201")[0], ASN: 2}},
			put:  []model.Object{router64513("tor1", "10.0.0.200")},
			want: "peer 10.0.0.200 AS 64513 from 10.0.0.1 IPv4 IPv6\npeer 10.0.0.201 AS 2 from 10.0.0.1 IPv4 IPv6\nNode a: --peer-router-ips: 10.0.0.200 is as BGPPeer tor1 says\n",
		},
		{
			name: "one that is broken has no session, by whomever", flags: []model.Peer{{Addr: addrs("10.0.0.200")[0], ASN: 1}},
			put:  []model.Object{router64513("tor1", "10.0.0.200", func(p *model.BGPPeer) { p.Broken = "spec.asn: odd" })},
			want: "Node a: --peer-router-ips: 10.0.0.200 is as BGPPeer tor1 says\n",
		},
		{name: "other nodes' routers", put: []model.Object{router64513("tor1", "10.0.0.200", func(p *model.BGPPeer) { p.Nodes.Invalid = true })}},
		{name: "no password, no session", put: []model.Object{router64513("tor1", "10.0.0.200", func(p *model.BGPPeer) { p.Key = "tor1" })}},
		{
			name: "its password", want: "peer 10.0.0.200 AS 64513 from 10.0.0.1 IPv4 IPv6 password\n",
			put: []model.Object{router64513("tor1", "10.0.0.200", func(p *model.BGPPeer) { p.Key = "tor1" }),
				&model.Keyring{Name: model.Name{Namespace: "kube-system", Name: model.KeyringName}, Keys: map[string]model.Secret{"tor1": "sesame"}}},
		},
		{
			name: "the older of two", want: "peer 10.0.0.200 AS 64513 from 10.0.0.1 IPv4 IPv6\n",
			put: []model.Object{router64513("a", "10.0.0.200", func(p *model.BGPPeer) { p.Created, p.Peer.ASN = time.Unix(2000, 0), 1 }), router64513("b", "10.0.0.200")},
		},
		{
			name: "a family that isn't enabled", put: []model.Object{router64513("tor1", "10.0.0.200", func(p *model.BGPPeer) { p.Peer.Local = addrs("fd00::1")[0] })},
			want: "Node a: BGPPeer tor1: 10.0.0.200 ignored: its localip fd00::1 is of the other family\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := world(func(s *model.Settings) { s.BGP.Peers = c.flags })
			for _, o := range c.put {
				m.Put(o)
			}
			b, remarks := Speaker(m)
			var out strings.Builder
			for _, n := range b.Neighbors {
				fmt.Fprintln(&out, n)
			}
			for _, r := range remarks {
				fmt.Fprintln(&out, r)
			}
			if out.String() != c.want {
				t.Errorf("have\n%swant\n%s", out.String(), c.want)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", b, b.Neighbors, m.Keyrings), "sesame") {
				t.Error("a password is printed")
			}
		})
	}
}

// TestPeersAreJudged: the status of a BGPPeer is written by one of the nodes, and says why it doesn't count.
func TestPeersAreJudged(t *testing.T) {
	m := world(nil)
	m.Put(node("b", "10.0.0.2", ""))
	told := 0
	for i := range 20 {
		p := router64513(fmt.Sprint("tor", i), "10.0.0.200", func(p *model.BGPPeer) { p.Peer.Addr = addrs(fmt.Sprint("10.9.0.", i))[0] })
		m.Put(p)
		list, _ := Peer(m, p.Name)
		told += len(list)
		for _, v := range list {
			if v.Nodes != 2 || v.Why != "" {
				t.Error(v)
			}
		}
	}
	if told == 0 || told == 20 {
		t.Errorf("this node of two tells of %d of 20", told)
	}
	alone := world(nil)
	for name, c := range map[string]struct {
		change func(*model.BGPPeer)
		reason string
	}{
		"fine":    {func(*model.BGPPeer) {}, ""},
		"broken":  {func(p *model.BGPPeer) { p.Broken = "x" }, "NoSession"},
		"keyless": {func(p *model.BGPPeer) { p.Key = "k" }, "NoSession"},
		"nobody":  {func(p *model.BGPPeer) { p.Nodes.Invalid = true }, "NoNode"},
		"doubled": {func(p *model.BGPPeer) { p.Created = time.Unix(5000, 0); alone.Put(router64513("older", "10.0.0.200")) }, "Doubled"},
	} {
		alone.Put(router64513("tor", "10.0.0.200", c.change))
		list, _ := Peer(alone, "tor")
		if len(list) != 1 || list[0].Reason != c.reason || (list[0].Why == "") != (c.reason == "") {
			t.Errorf("%s: %v", name, list)
		}
		alone.Delete(model.Ref{Kind: model.KindBGPPeer, Name: model.Name{Name: "older"}})
	}
}

// TestFrom: who speaks of a router is told.
func TestFrom(t *testing.T) {
	m := world(func(s *model.Settings) { s.BGP.Peers = []model.Peer{{Addr: addrs("10.0.0.201")[0], ASN: 2}} })
	m.Put(router64513("tor1", "10.0.0.200"))
	for a, want := range map[string]string{"10.0.0.200": "BGPPeer tor1", "10.0.0.201": "--peer-router-ips", "10.0.0.3": ""} {
		if have := From(m, addrs(a)[0]); have != want {
			t.Errorf("%s: %q, want %q", a, have, want)
		}
	}
	_ = intent.Verdict{}.String()
}

// TestShutdown: routers of objects are asked to use other ways while the node is cordoned, excluded or about to go, or as the object says; those of flags never are.
func TestShutdown(t *testing.T) {
	for _, c := range []struct {
		when model.Shutdown
		self func(*model.Node)
		want bool
	}{
		{model.ShutdownDrained, func(*model.Node) {}, false}, {model.ShutdownDrained, func(n *model.Node) { n.Unschedulable = true }, true},
		{model.ShutdownDrained, func(n *model.Node) { n.ExcludeFromLB = true }, true}, {model.ShutdownDrained, func(n *model.Node) { n.Leaving = true }, true},
		{model.ShutdownNever, func(n *model.Node) { n.Leaving = true }, false}, {model.ShutdownAlways, func(*model.Node) {}, true},
	} {
		m := world(func(s *model.Settings) { s.BGP.Peers = []model.Peer{{Addr: addrs("10.0.0.201")[0], ASN: 2}} }, c.self)
		m.Put(router64513("tor1", "10.0.0.200", func(p *model.BGPPeer) { p.Peer.Shutdown = c.when }))
		m.Put(advertisement("all", func(a *model.BGPAdvertisement) { a.LocalPref = 300 }))
		b, _ := Speaker(m)
		if b.Neighbors[0].Shutdown != c.want || b.Neighbors[1].Shutdown {
			t.Errorf("%d: %v", c.when, b.Neighbors)
		}
	}
}
