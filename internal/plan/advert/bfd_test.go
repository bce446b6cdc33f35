package advert

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/model"
)

// TestBFD tells whose BFD packets count, and with which TTL.
func TestBFD(t *testing.T) {
	on := &model.BFD{Port: 3784, MinTx: time.Second}
	peer := func(a string, as model.ASN, change func(*model.Peer)) model.Peer {
		p := model.Peer{Addr: netip.MustParseAddr(a), ASN: as, BFD: on}
		if change != nil {
			change(&p)
		}
		return p
	}
	all := []model.Peer{
		peer("10.0.0.200", 65001, nil), peer("fd00::200", 65001, nil), peer("10.9.0.1", 65001, nil),
		peer("10.9.0.2", 65001, func(p *model.Peer) { p.Multihop = 3 }), peer("10.9.0.3", 65001, func(p *model.Peer) { p.Hops = 3 }),
		peer("10.0.0.201", 64512, nil), peer("10.9.0.4", 64512, nil), // in our AS, and a subnet doesn't tell how far it is
		peer("10.0.0.202", 65001, func(p *model.Peer) { p.BFD = nil }),
	}
	const routers = " 10.0.0.200 with TTL 255; 10.0.0.201 with TTL 255; 10.9.0.1 with TTL 255; fd00::200 with TTL 255;" +
		" 10.9.0.3 with TTL 253; 10.9.0.2 with TTL 0; 10.9.0.4 with TTL 0;]"
	const nodes = " nodes, those in [10.0.0.0/16 fd00::/64] with TTL 255;"
	for _, c := range []struct {
		name   string
		change func(*model.Settings)
		self   []func(*model.Node)
		want   string
	}{
		{"off", nil, nil, "[]"},
		{"between nodes", func(s *model.Settings) { s.BGP.BFD = on }, nil, "[BFD from" + nodes + "]"},
		{"with routers", func(s *model.Settings) { s.BGP.BFD, s.BGP.Peers = on, all }, nil, "[BFD from" + nodes + routers},
		{"with routers of the annotation alone", nil, []func(*model.Node){with(func(o *model.NodeOptions) { o.Peers = all })}, "[BFD from" + routers},
		{"nodes without sessions", func(s *model.Settings) { s.BGP.BFD, s.BGP.IBGP, s.BGP.Peers = on, false, all }, nil, "[BFD from" + routers},
		{"routes from the API", func(s *model.Settings) { s.BGP.BFD, s.Routes.Source = on, "api" }, nil, "[]"},
		{"no router", func(s *model.Settings) { s.BGP.BFD, s.Router = on, false }, nil, "[]"},
	} {
		m := world(c.change, c.self...)
		m.Put(&model.Link{Name: "eth0", Up: true, Addrs: prefixes("10.0.0.1/24 fd00::1/64 10.0.0.9/32")})
		m.Put(&model.Link{Name: "eth1", Up: true, Addrs: prefixes("10.0.1.1/16")})
		m.Put(&model.Link{Name: "eth2", Addrs: prefixes("10.9.0.9/24")})
		if d := cmp.Diff(c.want, fmt.Sprint(BFD(m))); d != "" {
			t.Errorf("%s: want - have +:\n%s", c.name, d)
		}
	}
}
