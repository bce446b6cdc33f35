package egress

import (
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Base plans what stands whatever gateways there are; nil: --run-egress is off, or our Node is unknown.
func Base(m *model.Model) *intent.GatewayBase {
	s, self := &m.Settings, m.Self()
	if !s.Gateways || self == nil {
		return nil
	}
	keep := slices.Concat(s.Routes.ClusterCIDRs, s.Routes.EgressExclude, s.Services.ClusterRanges, nearby())
	var pods []netip.Prefix
	for _, n := range m.Nodes {
		pods = append(pods, n.PodCIDRs...)
	}
	keep = append(keep, pods...)
	for _, l := range m.Links { // an address of this node is no place outside
		for _, a := range l.Addrs {
			keep = append(keep, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
		}
	}
	return &intent.GatewayBase{
		V4: s.IPv4, V6: s.IPv6, Here: apart(s, self.PodCIDRs), Pods: apart(s, pods), Keep: apart(s, keep), Hidden: s.Routes.PodEgress && len(self.PodCIDRs) > 0,
	}
}

// Inside tells whether a destination is no place outside: pods reach it as without a gateway.
func Inside(m *model.Model, b *intent.GatewayBase, to netip.Addr) bool {
	return m.NodeAt(to) != nil || slices.ContainsFunc(b.Keep, func(p netip.Prefix) bool { return p.Contains(to) })
}

// nearby are the addresses that no router forwards (RFC 3927, RFC 4291, RFC 5771, RFC 919).
func nearby() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range []string{"127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "::1/128", "fe80::/10", "ff00::/8"} {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// apart sorts the ranges of enabled families and drops those within another.
func apart(s *model.Settings, list []netip.Prefix) []netip.Prefix {
	var good []netip.Prefix
	for _, p := range list {
		if p.IsValid() && s.Has(model.FamilyOf(p.Addr())) {
			good = append(good, p.Masked())
		}
	}
	slices.SortFunc(good, netip.Prefix.Compare)
	var out []netip.Prefix
	for _, p := range good {
		if len(out) == 0 || !out[len(out)-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}

// Way tells how packets get to another node in a family, or why they can't.
type Way func(n *model.Node, f model.Family) (intent.Hop, string)

// Addresses plans every address that pods leave from, and remarks on their gateways.
func Addresses(m *model.Model, way Way) ([]*intent.Leaving, []model.Remark) {
	claims, remarks := holder.Egresses(m)
	var list []*intent.Leaving
	for _, c := range claims {
		l := &intent.Leaving{Addr: c.Addr, Slot: c.Slot}
		for _, p := range apart(&m.Settings, c.Gateway.Except) {
			if p.Addr().Is6() == c.Addr.Is6() {
				l.Except = append(l.Except, p)
			}
		}
		note := func(text string) {
			remarks = append(remarks, model.Remark{Object: c.Gateway.Ref(), Field: "spec.nodeSelector", Message: text})
		}
		switch {
		case c.Node == nil:
			note("nothing leaves from " + c.Addr.String() + ": no node is selected that is ready and has an " + model.FamilyOf(c.Addr).String() + " address")
		case c.Node.Name == m.Settings.Node:
			l.Here = true
		default:
			hop, why := way(c.Node, model.FamilyOf(c.Addr))
			if why == "" {
				l.Hop = &hop
				break
			}
			note("nothing leaves from " + c.Addr.String() + " from here: there is no way to node " + c.Node.Name + ": " + why)
		}
		list = append(list, l)
	}
	return list, remarks
}

// Tables keep what planning one pod needs of all gateways, until the model changes.
type Tables struct {
	changes  uint64
	gateways []*model.EgressGateway
	byName   map[string][]netip.Addr
}

// Pod plans the addresses of one pod that leave from a gateway's: those of pods of this node and, where this node may be their gateway, of
// others.
func (t *Tables) Pod(m *model.Model, name model.Name) []intent.Leaver {
	o := m.Pods[name]
	if o == nil || !m.Settings.Gateways {
		return nil
	}
	t.fill(m)
	g := holder.GatewayOf(m, t.gateways, o)
	if g == nil || o.Node != m.Settings.Node && !candidate(m, g) {
		return nil
	}
	var list []intent.Leaver
	for _, a := range Addrs(m, o) {
		if as := holder.EgressAddress(t.byName[g.Name], a); as.IsValid() && !t.disputed(m, o, g, a) {
			list = append(list, intent.Leaver{Addr: a, As: as})
		}
	}
	return list
}

func (t *Tables) fill(m *model.Model) {
	if t.byName != nil && t.changes == m.Changes() {
		return
	}
	t.changes, t.gateways, t.byName = m.Changes(), holder.Gateways(m), map[string][]netip.Addr{}
	if len(t.gateways) == 0 {
		return
	}
	claims, _ := holder.Egresses(m)
	for _, c := range claims {
		t.byName[c.Gateway.Name] = append(t.byName[c.Gateway.Name], c.Addr)
	}
}

// candidate tells whether this node may be the gateway, be it ready now or not: it knows the pods before it is needed.
func candidate(m *model.Model, g *model.EgressGateway) bool {
	self := m.Self()
	return self != nil && g.Nodes.Matches(self.Labels)
}

// disputed tells whether another pod says to have an address too and would leave otherwise. The node of the pods knows whose it is; on
// others such an address leaves from nowhere until the API tells.
func (t *Tables) disputed(m *model.Model, o *model.Pod, g *model.EgressGateway, a netip.Addr) bool {
	if o.Node == m.Settings.Node {
		return false
	}
	for _, other := range m.PodsAt(a) {
		if other.Name != o.Name && !other.Finished && !other.HostNetwork && holder.GatewayOf(m, t.gateways, other) != g {
			return true
		}
	}
	return false
}

// Addrs are a pod's addresses: those that CNI told for this life of it, else those of its status that CNI gave to no other pod.
func Addrs(m *model.Model, o *model.Pod) []netip.Addr {
	var list []netip.Addr
	for _, at := range m.AttachmentsOf(o.Name) {
		if lives(at, o) {
			list = append(list, at.Addrs...)
		}
	}
	if len(list) == 0 {
		for _, a := range o.Addrs {
			if !taken(m, o, a) {
				list = append(list, a)
			}
		}
	}
	list = slices.DeleteFunc(list, func(a netip.Addr) bool { return !m.Settings.Has(model.FamilyOf(a)) })
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

func lives(at *model.Attachment, o *model.Pod) bool {
	return at.UID == "" || o.UID == "" || at.UID == o.UID
}

// taken tells whether CNI gave an address of a pod of this node to another pod. Whoever that is, the address is no longer this pod's.
func taken(m *model.Model, o *model.Pod, a netip.Addr) bool {
	if o.Node != m.Settings.Node {
		return false
	}
	for _, at := range m.Attached {
		if at.Pod != o.Name && slices.Contains(at.Addrs, a) {
			return true
		}
	}
	return false
}
