package holder

import (
	"net/netip"
	"slices"

	"kube-router/internal/model"
)

// Wired tells why this node and another can't speak through WireGuard; empty: they can.
func Wired(m *model.Model, n *model.Node) string {
	own := m.Identity()
	key := n.Options.Wire.Key
	switch {
	case !m.Settings.Encryption.On:
		return "encryption is off"
	case n.Name == m.Settings.Node:
		return "it is this node"
	case own.Key == (model.WireKey{}):
		return "this node has no key yet"
	case key == (model.WireKey{}):
		return "it has no key of WireGuard"
	case key == own.Key || key == own.Also:
		return "it has the key of this node: one disk was copied from the other; on the copy, remove the key file and start the daemon again"
	case revoked(m, key):
		return "its key is revoked"
	case len(m.NodesWithKey(key)) > 1:
		return "other nodes have the same key: disks were copied; on the copies, remove the key file and start the daemon again"
	case !n.Options.Wire.Behind && !WireEndpoint(m, n).IsValid():
		return "it has no address of a family that this node has an address of"
	}
	return ""
}

// revoked tells whether any Node says that a key is nobody's.
func revoked(m *model.Model, k model.WireKey) bool {
	for _, n := range m.NodesWithKey(k) {
		if slices.Contains(n.Options.Wire.Revoked, k) {
			return true
		}
	}
	return false
}

// WireEndpoint is where a node is called: what its annotation says, else its address of the family of this node's
// primary address, else of the other family, if this node has an address of it. The zero AddrPort: nowhere.
func WireEndpoint(m *model.Model, n *model.Node) netip.AddrPort {
	w, self := &n.Options.Wire, m.Self()
	if w.Behind || self == nil {
		return netip.AddrPort{}
	}
	if w.Endpoint.IsValid() {
		return w.Endpoint
	}
	port := w.Port
	if port == 0 {
		port = m.Settings.Encryption.Port
	}
	families := []model.Family{model.IPv4, model.IPv6}
	if self.PrimaryIP().Is6() {
		slices.Reverse(families)
	}
	for _, f := range families {
		if a := n.IP(f); a.IsValid() && self.IP(f).IsValid() {
			return netip.AddrPortFrom(a, uint16(port))
		}
	}
	return netip.AddrPort{}
}

// WireKeys are the keys by which a node may call, the one that its addresses belong to first. Of a node that Wired refuses
// there are none.
func WireKeys(m *model.Model, n *model.Node) []model.WireKey {
	if Wired(m, n) != "" {
		return nil
	}
	list := []model.WireKey{n.Options.Wire.Key}
	own := m.Identity()
	if k := n.Options.Wire.Also; k != (model.WireKey{}) && k != list[0] && k != own.Key && k != own.Also && len(m.NodesWithKey(k)) == 1 && !revoked(m, k) {
		list = append(list, k)
	}
	return list
}

// Wire tells whether what goes to a node's pods goes through WireGuard. While encryption isn't strict, the other node must
// have answered by one of its keys before: so no packet waits for one that doesn't know us yet. From then on it stays so,
// whatever becomes of the session: who could break it must not bring us to speak in clear.
func Wire(m *model.Model, n *model.Node) bool {
	keys := WireKeys(m, n)
	return len(keys) > 0 && (m.Settings.Encryption.Strict || slices.ContainsFunc(keys, func(k model.WireKey) bool {
		return m.Answers[k.String()] != nil
	}))
}

// WireRanges are the pod ranges that are a node's alone, of enabled families, sorted.
func WireRanges(m *model.Model, n *model.Node) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range n.PodCIDRs {
		if m.Settings.Has(model.FamilyOf(p.Addr())) && Keeper(m, n, p) == nil {
			list = append(list, p.Masked())
		}
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list)
}

// WireAddrs are the addresses of a node that are no other's and in no other's pod range, of both families, sorted: by these its
// host network speaks with pods of other nodes.
func WireAddrs(m *model.Model, n *model.Node) []netip.Addr {
	var list []netip.Addr
	for _, a := range slices.Concat(n.InternalIPs, n.ExternalIPs) {
		_, at := m.PodRange(netip.PrefixFrom(a, a.BitLen()))
		if m.Settings.Has(model.FamilyOf(a)) && m.NodeAt(a) == n && (at == nil || at == n) && m.LinkWith(a) == nil {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// WirePaths are the learned prefixes beyond pod ranges that one node alone teaches and that go through WireGuard with it: what a
// node announces for itself, such as addresses of Services. A router outside is spoken to as ever.
func WirePaths(m *model.Model, n *model.Node) []netip.Prefix {
	var list []netip.Prefix
	for _, a := range slices.Concat(n.InternalIPs, n.ExternalIPs) {
		for prefix, p := range m.PathsVia(a) {
			if len(p.NextHops) == 1 && WireCarrier(m, p) == n && !covers(WireRanges(m, n), prefix) {
				list = append(list, prefix)
			}
		}
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list)
}

// WireCarrier is the node through whose tunnel a learned path leads, or nil: it is routed as without encryption.
func WireCarrier(m *model.Model, p *model.Path) *model.Node {
	if p.External || len(p.NextHops) != 1 || !m.Settings.Has(model.FamilyOf(p.Prefix.Addr())) {
		return nil
	}
	n := m.NodeAt(p.NextHops[0])
	if n == nil || !Wire(m, n) || p.Prefix.Bits() == 0 {
		return nil
	}
	if covers(WireRanges(m, n), p.Prefix) {
		return n
	}
	// What is another's, or ours, doesn't become a node's by a route.
	if len(m.NodesAround(p.Prefix)) > 0 || len(m.NodesWithin(p.Prefix)) > 0 {
		return nil
	}
	for _, l := range m.Links {
		for _, a := range l.Addrs {
			if a.Masked().Overlaps(p.Prefix) {
				return nil
			}
		}
	}
	return n
}

// covers tells whether a prefix is one of the ranges, or a part of one.
func covers(ranges []netip.Prefix, p netip.Prefix) bool {
	return slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Bits() <= p.Bits() && r.Contains(p.Addr()) })
}
