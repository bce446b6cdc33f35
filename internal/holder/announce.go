package holder

import (
	"maps"
	"net/netip"
	"slices"

	"kube-router/internal/model"
)

// Serving is who serves an address that several Services may share.
type Serving struct {
	Here  bool             // this node serves it: it may draw the traffic to it
	Only  []*model.Service // those that bind it to the nodes with their endpoints (traffic policy Local), the oldest first
	Apart []*model.Service // those that would bind it too, but to none of the nodes that the older ones do, the oldest first
}

// Served tells whether this node serves an address for every Service that has a frontend there, so that a router may send
// it any packet to the address. Under traffic policy Local a Service is served by the nodes with a ready endpoint of it.
// Where no node serves all, the older Services decide, and the younger ones stand apart. One without a ready endpoint on
// any node binds nobody: it is served nowhere. It costs what all Services that name the address do (see Memo).
func Served(m *model.Model, a netip.Addr) Serving {
	s, nodes := serving(m, a)
	s.Here = s.Here && (nodes == nil || nodes[m.Settings.Node])
	return s
}

// Where are the nodes that serve an address for every Service that has a frontend there, nil for all, as Served has it; false: none does.
func Where(m *model.Model, a netip.Addr) (map[string]bool, bool) {
	s, nodes := serving(m, a)
	return nodes, s.Here
}

// serving is Served without regard to this node: whether any node serves the address, and which, nil for all.
func serving(m *model.Model, a netip.Addr) (s Serving, nodes map[string]bool) {
	f := model.FamilyOf(a)
	for _, o := range m.ServicesAt(a) {
		has := Has(m, o, a)
		if len(has) == 0 {
			continue
		}
		if !bound(o, has[0].Kind) {
			s.Here = true
			continue
		}
		own := ready(m, o, f)
		if len(own) == 0 {
			continue
		}
		s.Here = true
		if nodes != nil {
			maps.DeleteFunc(own, func(n string, _ bool) bool { return !nodes[n] })
		}
		if len(own) == 0 {
			s.Apart = append(s.Apart, o)
			continue
		}
		s.Only, nodes = append(s.Only, o), own
	}
	return s, nodes
}

// Memo keeps what Served told until the model changes, so that each of many Services at one address may ask.
type Memo struct {
	changes uint64
	known   map[netip.Addr]Serving
}

// Served is what Served tells. It is always asked for one model.
func (o *Memo) Served(m *model.Model, a netip.Addr) Serving {
	if o.known == nil || o.changes != m.Changes() {
		o.changes, o.known = m.Changes(), map[netip.Addr]Serving{}
	}
	s, ok := o.known[a]
	if !ok {
		s = Served(m, a)
		o.known[a] = s
	}
	return s
}

// Binds tells whether a Service that has an address may bind it to the nodes with its endpoints.
func Binds(s *model.Service, a netip.Addr) bool {
	return bound(s, External) || bound(s, Cluster) && slices.Contains(s.ClusterIPs, a)
}

// Sways tells whether other Services at an address may be served elsewhere because s came, went, or changed its claims. It
// doesn't where s binds the address to no nodes, nobody wants a frontend of s, and another Service that binds it to none
// either has a frontend there, with s and without it.
func Sways(m *model.Model, s *model.Service, a netip.Addr) bool {
	if Binds(s, a) || slices.Contains(s.ClusterIPs, a) {
		return true
	}
	for _, p := range s.Ports {
		for _, o := range m.ServicesListening(a, p.Port, p.Protocol) {
			if o.Name != s.Name {
				return true
			}
		}
	}
	for _, o := range m.ServicesAt(a) {
		if o.Name != s.Name && !Binds(o, a) && len(Has(m, o, a)) > 0 {
			return false
		}
	}
	return true
}

// bound tells whether an address of a kind is announced only by nodes with endpoints of the Service.
func bound(s *model.Service, k Kind) bool {
	return s.External == model.Local || s.Options.Local || k == Cluster && s.Internal == model.Local
}

// ready are the nodes with a ready endpoint of a family that draw traffic from outside.
func ready(m *model.Model, s *model.Service, f model.Family) map[string]bool {
	nodes := map[string]bool{}
	for _, slice := range m.SlicesOf(s.Name) {
		if slice.Family != f {
			continue
		}
		for n := range ReadyOn(slice) {
			if !nodes[n] && !Drained(m, m.Nodes[n]) {
				nodes[n] = true
			}
		}
	}
	return nodes
}

// ReadyOn are the nodes with a ready endpoint of a slice.
func ReadyOn(slice *model.Slice) map[string]bool {
	nodes := map[string]bool{}
	for _, e := range slice.Endpoints {
		if e.Ready && e.Node != "" && len(e.Addrs) > 0 {
			nodes[e.Node] = true
		}
	}
	return nodes
}

// Drained tells whether a node must draw no traffic for Services from outside: it is excluded from balancers or, if the
// settings say so, cordoned. A node that isn't known is not.
func Drained(m *model.Model, n *model.Node) bool {
	return n != nil && (n.ExcludeFromLB || n.Unschedulable && m.Settings.Routes.DrainUnscheduled)
}
