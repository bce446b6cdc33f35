package encryption

import (
	"fmt"
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Self plans this node's end. While its key is unknown there is none.
//
// The tunnel carries no larger packets than pods' links do (0: unknown). What a pod sends in fragments is one packet again in the node's
// bridge, where its fragments' size is forgotten (br_netfilter); fragments that the tunnel made larger would be too big for the other
// node's bridge, and IPv6 has no other way on.
func Self(m *model.Model, pods int) (*intent.Wire, []model.Remark) {
	s, self := &m.Settings.Encryption, m.Self()
	key := m.Identity().Key
	if !On(m) || self == nil || key == (model.WireKey{}) {
		return nil, nil
	}
	w := &intent.Wire{Key: intent.WireKey(key), Port: uint16(s.Port), MTU: mtu(m), User: s.Where == model.WireUser}
	if pods > 0 && w.MTU > 0 {
		w.MTU = min(w.MTU, pods)
	}
	for _, p := range self.PodCIDRs {
		if m.Settings.Has(model.FamilyOf(p.Addr())) {
			w.Pods = append(w.Pods, p.Masked())
		}
	}
	note := remarks{object: self.Ref()}
	if w.User {
		note.add("", "WireGuard runs in a process of its own, which carries 1 to 2 Gbit/s: this kernel has none (or --wireguard-userspace=always)")
	}
	if least := 1280; w.MTU > 0 && w.MTU < least && m.Settings.IPv6 {
		note.add("", fmt.Sprintf("the MTU inside WireGuard is %d, and IPv6 needs %d", w.MTU, least))
	}
	return w, note.list
}

// On tells whether this node encrypts: it is asked to, and routes.
func On(m *model.Model) bool { return m.Settings.Encryption.On && m.Settings.Router }

// mtu is the least that goes through the tunnel whole: by the families in which nodes are called, and at least by that of
// this node's primary address.
func mtu(m *model.Model) int {
	self := m.Self()
	families := map[model.Family]bool{model.FamilyOf(self.PrimaryIP()): self.PrimaryIP().IsValid()}
	for _, n := range m.Nodes {
		if e := holder.WireEndpoint(m, n); n != self && e.IsValid() && n.Options.Wire.Key != (model.WireKey{}) {
			families[model.FamilyOf(e.Addr())] = true
		}
	}
	least := 0
	for f, used := range families {
		if l := m.LinkOwning(self.IP(f)); used && l != nil {
			if size := l.MTU - intent.WireGuard.Overhead(f == model.IPv6); least == 0 || size < least {
				least = size
			}
		}
	}
	return least
}

// Peer plans another node's end, and tells why there is none.
func Peer(m *model.Model, name string) (*intent.WirePeer, []model.Remark) {
	n := m.Nodes[name]
	if n == nil || !On(m) || name == m.Settings.Node || m.Identity().Key == (model.WireKey{}) {
		return nil, nil
	}
	note := remarks{object: n.Ref()}
	if why := holder.Wired(m, n); why != "" {
		note.add("", "what is sent to its pods is "+clear(m)+": "+why)
		return nil, note.list
	}
	p := &intent.WirePeer{Node: name, Keepalive: max(n.Options.Wire.Keepalive, m.Self().Options.Wire.Keepalive), Steered: holder.Wire(m, n)}
	for _, k := range holder.WireKeys(m, n) {
		p.Keys = append(p.Keys, intent.WireKey(k))
	}
	p.Endpoint = holder.WireEndpoint(m, n)
	p.Hosts = holder.WireAddrs(m, n)
	p.Allowed = slices.Concat(holder.WireRanges(m, n), holder.WirePaths(m, n))
	for _, a := range p.Hosts {
		p.Allowed = append(p.Allowed, netip.PrefixFrom(a, a.BitLen()))
	}
	slices.SortFunc(p.Allowed, netip.Prefix.Compare)
	p.Allowed = slices.Compact(p.Allowed)
	return p, note.list
}

// clear tells what becomes of packets to a node without a tunnel.
func clear(m *model.Model) string {
	if m.Settings.Encryption.Strict {
		return "dropped (--encryption-strict)"
	}
	return "not encrypted"
}

// Guard plans what must not be on the wire in clear.
func Guard(m *model.Model) *intent.WireGuardian {
	self, s := m.Self(), &m.Settings
	if !On(m) || self == nil {
		return nil
	}
	all := slices.Clone(s.Routes.ClusterCIDRs)
	for _, n := range m.Nodes {
		all = append(all, n.PodCIDRs...)
	}
	return &intent.WireGuardian{V4: s.IPv4, V6: s.IPv6, Pods: apart(s, all), Own: apart(s, slices.Clone(self.PodCIDRs)), Drop: s.Encryption.Strict}
}

// Unrouted are the ranges that are refused where no node's route is: a pod's packet must not leave by the default route.
func Unrouted(m *model.Model) []*intent.Route {
	if !On(m) || !m.Settings.Encryption.Strict {
		return nil
	}
	var list []*intent.Route
	for _, p := range apart(&m.Settings, slices.Clone(m.Settings.Routes.ClusterCIDRs)) {
		list = append(list, &intent.Route{Prefix: p, Refuse: true})
	}
	return list
}

// apart are the ranges of enabled families, sorted, without those that lie within another.
func apart(s *model.Settings, list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, netip.Prefix.Compare)
	var out []netip.Prefix
	for _, p := range list {
		p = p.Masked()
		if s.Has(model.FamilyOf(p.Addr())) && (len(out) == 0 || !out[len(out)-1].Overlaps(p)) {
			out = append(out, p)
		}
	}
	return out
}

// remarks collects remarks about one object.
type remarks struct {
	object model.Ref
	list   []model.Remark
}

func (r *remarks) add(field, message string) {
	r.list = append(r.list, model.Remark{Object: r.object, Field: field, Message: message})
}
