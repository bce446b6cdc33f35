package route

import (
	"net/netip"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// wired tells whether a learned prefix is reached by a route that follows from a Node object, because it goes through WireGuard:
// which addresses may come from a node is no matter of routes.
func wired(m *model.Model, p *model.Path) bool {
	if holder.WireCarrier(m, p) != nil {
		return true
	}
	all := holder.Claimants(m, p.Prefix)
	return len(all) > 0 && m.IsRange(p.Prefix) && holder.Wire(m, all[0])
}

// unsealed is a path that an earlier life led through WireGuard as one to the node whose prefix it is.
func unsealed(m *model.Model, p *model.Path) *model.Path {
	all := holder.Claimants(m, p.Prefix)
	if !p.Sealed || len(all) == 0 || all[0].Name == m.Settings.Node || !all[0].IP(family(p.Prefix)).IsValid() {
		return p
	}
	now := *p
	now.NextHops = []netip.Addr{all[0].IP(family(p.Prefix))}
	return &now
}

// learned are the prefixes that a node announces for itself and that go through WireGuard with its pods' ranges.
func learned(m *model.Model, n *model.Node) []netip.Prefix {
	if n.Name == m.Settings.Node || !holder.Wire(m, n) {
		return nil
	}
	return holder.WirePaths(m, n)
}

// encrypted is the route to a prefix of a node through WireGuard. Its link has no address, so the node's own packets are told theirs:
// that by which the other node takes them. While encryption isn't strict, the tunnel of a node without a key stands ready:
// the other node may send by it until it has heard of our key, and again once it encrypts no longer.
func encrypted(m *model.Model, n *model.Node, prefix netip.Prefix) *intent.Route {
	remote, f := n.PrimaryIP(), model.FamilyOf(prefix.Addr())
	if e := holder.WireEndpoint(m, n); e.IsValid() && m.NodeAt(e.Addr()) == n {
		remote = e.Addr()
	}
	r := &intent.Route{Prefix: prefix.Masked(), Hops: []intent.Hop{{Via: remote, Tunnel: &intent.Tunnel{
		Encap: intent.WireGuard, Local: m.Self().PrimaryIP(), Remote: remote, Port: uint16(m.Settings.Encryption.Port),
	}}}}
	if a := m.Self().IP(f); a.IsValid() && m.LinkOwning(a) != nil {
		r.Source = a
	}
	if remote := n.IP(f); !m.Settings.Encryption.Strict && remote.IsValid() && !prefix.Contains(remote) {
		if h, why := hop(m, f, remote); why == "" {
			r.Spare = h.Tunnel
		}
	}
	return r
}
