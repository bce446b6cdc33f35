// Package l2 plans which load balancer addresses this node answers for on its links, between the model and intent.Answer. Every node plans
// for itself, from what all of them know; who answers follows from that, so nobody has to be asked: no lease, no leader.
package l2

import (
	"cmp"
	"hash/fnv"
	"maps"
	"net/netip"
	"path"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// successors are how many nodes watch the one that answers, so that one of them takes over although the others die with it.
const successors = 2

// Plan is what this node answers for, and whom it watches.
func Plan(m *model.Model) ([]intent.Answer, []intent.Watch, []model.Remark) {
	self := m.Self()
	if self == nil || len(m.L2) == 0 {
		return nil, nil, nil
	}
	p := &plan{m: m, self: self, pools: m.PoolsByAge(), answers: map[intent.Answer]bool{}, watched: map[intent.Watch]bool{}}
	adverts := slices.SortedFunc(maps.Values(m.L2), func(a, b *model.L2Advertisement) int { return cmp.Compare(a.Name, b.Name) })
	for a, services := range addresses(m) {
		for _, ad := range adverts {
			p.advertise(ad, a, services)
		}
	}
	answers := slices.SortedFunc(maps.Keys(p.answers), func(a, b intent.Answer) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Link, b.Link))
	})
	watched := slices.SortedFunc(maps.Keys(p.watched), func(a, b intent.Watch) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Link, b.Link), a.Addr.Compare(b.Addr))
	})
	slices.SortFunc(p.remarks, model.Remark.Compare)
	return answers, watched, p.remarks
}

type plan struct {
	m       *model.Model
	self    *model.Node
	pools   []*model.Pool
	answers map[intent.Answer]bool
	watched map[intent.Watch]bool
	remarks []model.Remark
}

// addresses are the load balancer addresses that somebody serves, with their Services.
func addresses(m *model.Model) map[netip.Addr][]*model.Service {
	all := map[netip.Addr][]*model.Service{}
	for _, s := range m.Services {
		if s.Type != model.LoadBalancer || !holder.Ours(s) || s.Options.SkipLBIPs {
			continue
		}
		for _, in := range s.Ingress {
			if in.Addr.IsValid() && !in.Proxy && len(holder.Has(m, s, in.Addr)) > 0 {
				all[in.Addr] = append(all[in.Addr], s)
			}
		}
	}
	return all
}

// advertise decides about one address for one advertisement, on each link of ours that it names.
func (p *plan) advertise(ad *model.L2Advertisement, a netip.Addr, services []*model.Service) {
	pool := p.poolOf(a)
	if len(ad.Pools) > 0 && (pool == nil || !slices.Contains(ad.Pools, pool.Name)) ||
		!slices.ContainsFunc(services, func(s *model.Service) bool { return ad.Services.Matches(s.Labels) }) {
		return
	}
	only, served := holder.Where(p.m, a)
	if !served {
		return
	}
	for _, l := range p.m.Links {
		subnet, ok := within(ad, l, a)
		if !ok {
			continue
		}
		order := p.candidates(ad, pool, a, l, subnet, only)
		if len(order) == 0 {
			p.remarks = append(p.remarks, model.Remark{Object: services[0].Ref(), Field: "status.loadBalancer.ingress",
				Message: "no node answers for " + a.String() + " on " + l.Name + ": none that L2Advertisement " + ad.Name + " selects is there, ready, not excluded, and has a ready endpoint where traffic is local"})
			continue
		}
		p.choose(order, a, l, subnet)
	}
}

// choose lets the first of the order answer that hasn't fallen silent. Those who come next watch all before them.
func (p *plan) choose(order []*model.Node, a netip.Addr, l *model.Link, subnet netip.Prefix) {
	for _, n := range order {
		if n == p.self {
			p.answers[intent.Answer{Addr: a, Link: l.Name}] = true
		} else if p.m.Silent(n.Name, watchOf(n, l, subnet, a).Link) {
			continue
		}
		break
	}
	own := slices.Index(order, p.self)
	if own < 0 || own > successors {
		return
	}
	for _, n := range order[:own] {
		if w := watchOf(n, l, subnet, a); w.Addr.IsValid() {
			p.watched[w] = true
		}
	}
}

// watchOf is how a node is watched: on the link where it is to answer, if it has an address there.
func watchOf(n *model.Node, l *model.Link, subnet netip.Prefix, a netip.Addr) intent.Watch {
	if at := addressIn(n, subnet, model.FamilyOf(a)); at.IsValid() {
		return intent.Watch{Node: n.Name, Addr: at, Link: l.Name}
	}
	return intent.Watch{Node: n.Name, Addr: n.PrimaryIP()}
}

// candidates are the nodes that may answer for an address on a link, in an order that is each address' own: rendezvous hashing, so that a node that
// goes moves none but its own addresses. Each address has its order, whatever Services share it.
func (p *plan) candidates(ad *model.L2Advertisement, pool *model.Pool, a netip.Addr, l *model.Link, subnet netip.Prefix, only map[string]bool) []*model.Node {
	var list []*model.Node
	for _, n := range p.m.Nodes {
		switch {
		case n.NotReady && n != p.self, n.Leaving, holder.Drained(p.m, n), !ad.Nodes.Matches(n.Labels):
		case pool != nil && !pool.Nodes.Matches(n.Labels), only != nil && !only[n.Name]:
		case n != p.self && len(ad.Links) == 0 && !addressIn(n, subnet, 0).IsValid():
		default:
			list = append(list, n)
		}
	}
	weight := make(map[*model.Node]uint64, len(list))
	for _, n := range list {
		h := fnv.New64a()
		_, _ = h.Write([]byte(n.Name))
		_, _ = h.Write(a.AsSlice())
		weight[n] = mix(h.Sum64())
	}
	slices.SortFunc(list, func(x, y *model.Node) int {
		return cmp.Or(cmp.Compare(weight[y], weight[x]), cmp.Compare(x.Name, y.Name))
	})
	return list
}

// mix spreads what FNV leaves close together (the finalizer of MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// within tells whether an advertisement is about an address on a link, and the link's subnet that counts.
func within(ad *model.L2Advertisement, l *model.Link, a netip.Addr) (netip.Prefix, bool) {
	if !l.Up || !speaks(l) {
		return netip.Prefix{}, false
	}
	var any netip.Prefix
	for _, p := range l.Addrs {
		if p.IsSingleIP() || p.Addr().IsLinkLocalUnicast() {
			continue
		}
		if p.Contains(a) {
			any = p.Masked()
			break
		}
		if len(ad.Links) > 0 && (!any.IsValid() || p.Addr().Is4() == a.Is4()) {
			any = p.Masked()
		}
	}
	if len(ad.Links) == 0 {
		return any, any.IsValid()
	}
	return any, slices.ContainsFunc(ad.Links, func(pattern string) bool {
		ok, err := path.Match(pattern, l.Name)
		return ok && err == nil
	})
}

// speaks tells whether neighbours are asked for on a link.
func speaks(l *model.Link) bool {
	switch l.Kind {
	case "ipip", "sit", "ip6tnl", "gre", "wireguard", "dummy", "tun", "nlmon", "vti":
		return false
	}
	return l.Name != "lo"
}

// addressIn is a node's address in a subnet: of the family, or of any where that is 0.
func addressIn(n *model.Node, subnet netip.Prefix, f model.Family) netip.Addr {
	var other netip.Addr
	for _, a := range slices.Concat(n.InternalIPs, n.ExternalIPs) {
		if !subnet.IsValid() || !subnet.Contains(a) {
			continue
		}
		if f == 0 || model.FamilyOf(a) == f {
			return a
		}
		other = a
	}
	return other
}

// poolOf is the pool that an address belongs to, or nil.
func (p *plan) poolOf(a netip.Addr) *model.Pool {
	for _, o := range p.pools {
		if o.Holds(a) {
			return o
		}
	}
	return nil
}
