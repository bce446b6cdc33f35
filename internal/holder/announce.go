package holder

import (
	"maps"
	"net/netip"

	"kube-router/internal/model"
)

// Serving is who serves an address that several Services may share.
type Serving struct {
	Here   bool             // this node serves it: it may draw the traffic to it
	Only   []*model.Service // those that bind it to the nodes with their endpoints (traffic policy Local), the oldest first
	Apart  []*model.Service // those that would bind it too, but to none of the nodes that the older ones do
	Claims []Claim          // what is served there, as At tells
}

// Served tells whether this node serves an address for every Service that has a frontend there, so that a router may send
// it any packet to the address. Under traffic policy Local a Service is served by the nodes with a ready endpoint of it.
// Where no node serves all, the older Services decide, and the younger ones stand apart. One without a ready endpoint on
// any node binds nobody: it is served nowhere.
func Served(m *model.Model, a netip.Addr) Serving {
	s := Serving{Claims: At(m, a)}
	f := model.FamilyOf(a)
	var nodes map[string]bool
	var before *model.Service
	for _, c := range s.Claims {
		if c.Service == before {
			continue // claims are sorted by Service
		}
		before = c.Service
		if !bound(c.Service, c.Kind) {
			s.Here = true
			continue
		}
		own := ready(m, c.Service, f)
		if len(own) == 0 {
			continue
		}
		s.Here = true
		if nodes != nil {
			maps.DeleteFunc(own, func(n string, _ bool) bool { return !nodes[n] })
		}
		if len(own) == 0 {
			s.Apart = append(s.Apart, c.Service)
			continue
		}
		s.Only, nodes = append(s.Only, c.Service), own
	}
	s.Here = s.Here && (nodes == nil || nodes[m.Settings.Node])
	return s
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
		for _, e := range slice.Endpoints {
			if e.Ready && e.Node != "" && len(e.Addrs) > 0 && !nodes[e.Node] && !Drained(m, m.Nodes[e.Node]) {
				nodes[e.Node] = true
			}
		}
	}
	return nodes
}

// Drained tells whether a node must draw no traffic for Services from outside: it is excluded from balancers or, if the
// settings say so, cordoned. A node that isn't known is not.
func Drained(m *model.Model, n *model.Node) bool {
	return n != nil && (n.ExcludeFromLB || n.Unschedulable && m.Settings.Routes.DrainUnscheduled)
}
