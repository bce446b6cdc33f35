package think

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/model"
)

// contenders are the changed Service and, if its claims changed, those that want one of its frontends, as it was and as it is:
// who has what they all want may be another one now.
func contenders(m *model.Model, c Change, add func(model.Ref)) {
	add(c.Ref)
	for _, s := range claimed(c) {
		contendersOf(m, s, add)
	}
}

// claimed are the changed Service as it was and as it is, or none of both if that is the same to all others.
func claimed(c Change) []*model.Service {
	old, _ := c.Old.(*model.Service)
	now, _ := c.New.(*model.Service)
	switch {
	case old == nil && now == nil:
		return nil
	case old == nil:
		return []*model.Service{now}
	case now == nil:
		return []*model.Service{old}
	case sameClaims(old, now):
		return nil
	}
	return []*model.Service{old, now}
}

// sameClaims tells whether all that others are told of a Service's claims, and of where they are served, is the same.
func sameClaims(a, b *model.Service) bool {
	return a.Created.Equal(b.Created) && a.Type == b.Type && holder.Ours(a) == holder.Ours(b) &&
		slices.Equal(a.ClusterIPs, b.ClusterIPs) && slices.Equal(a.ExternalIPs, b.ExternalIPs) && slices.Equal(a.Ingress, b.Ingress) &&
		slices.Equal(a.Families, b.Families) && slices.Equal(a.Ports, b.Ports) && a.Options.SkipLBIPs == b.Options.SkipLBIPs &&
		a.Internal == b.Internal && a.External == b.External && a.Options.Local == b.Options.Local
}

func contendersOf(m *model.Model, s *model.Service, add func(model.Ref)) {
	all := func(list []*model.Service) {
		for _, o := range list {
			add(o.Ref())
		}
	}
	onNode := func(p model.Port) {
		for name := range m.ServicesOnNodePort(p) {
			add(model.Ref{Kind: model.KindService, Name: name})
		}
	}
	for _, a := range s.Addrs() {
		pointed(m, a, add)
		own := holder.Own(m, a)
		if slices.Contains(s.ClusterIPs, a) {
			all(m.ServicesAt(a)) // no other Service may have it, on no port
			for _, o := range m.ServicesAt(a) {
				for _, p := range o.Ports {
					if own {
						onNode(p.Port) // what they lose there, or get
					}
				}
			}
		}
		for _, p := range s.Ports {
			all(m.ServicesListening(a, p.Port, p.Protocol))
			if own {
				onNode(p.Port)
			}
		}
	}
	for _, p := range s.Ports {
		if p.NodePort == 0 {
			continue
		}
		onNode(p.NodePort)
		for _, f := range m.Settings.Families() {
			for _, a := range holder.NodeAddresses(m, f) {
				all(m.ServicesListening(a, p.NodePort, p.Protocol))
			}
		}
	}
}

// pointed are the Services with an endpoint at an address, which they may not have while a Service has it.
func pointed(m *model.Model, a netip.Addr, add func(model.Ref)) {
	for _, slice := range m.SlicesAt(a) {
		add(model.Ref{Kind: model.KindService, Name: slice.Service})
	}
}

// nodeClaims are the Services that a node's pod ranges and addresses bear on, where these changed: no Service may have an address
// in a pod range, and whether an endpoint may be sent to depends on both (package holder).
func nodeClaims(m *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Node)
	now, _ := c.New.(*model.Node)
	was, is := cmp.Or(old, &model.Node{}), cmp.Or(now, &model.Node{})
	for _, r := range differing(was.PodCIDRs, is.PodCIDRs) {
		for a, list := range m.ServicesWithin(r) {
			for _, s := range list {
				add(s.Ref())
			}
			pointed(m, a, add)
		}
		for _, a := range holder.Broadcasts(m, r) {
			pointed(m, a, add)
		}
	}
	for _, a := range differing(slices.Concat(was.InternalIPs, was.ExternalIPs), slices.Concat(is.InternalIPs, is.ExternalIPs)) {
		pointed(m, a, add)
	}
}

// differing are the elements that only one of two lists has.
func differing[T comparable](a, b []T) []T {
	in := func(list []T) func(T) bool { return func(e T) bool { return slices.Contains(list, e) } }
	return append(slices.DeleteFunc(slices.Clone(a), in(b)), slices.DeleteFunc(slices.Clone(b), in(a))...)
}

// swayed are the Services at the changed one's addresses, where it decides whether this node serves them too.
func swayed(m *model.Model, c Change, add func(model.Ref)) {
	for _, s := range claimed(c) {
		for _, a := range s.Addrs() {
			if holder.Sways(m, s, a) {
				sharers(m, a, add)
			}
		}
	}
}

func sharers(m *model.Model, a netip.Addr, add func(model.Ref)) {
	for _, s := range m.ServicesAt(a) {
		add(s.Ref())
	}
}

// itsSharers are the Services at the addresses that a slice's Service binds to the nodes with its endpoints, when those nodes
// are others now.
func itsSharers(m *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Slice)
	now, _ := c.New.(*model.Slice)
	if old != nil && now != nil && old.Service == now.Service && old.Family == now.Family && maps.Equal(holder.ReadyOn(old), holder.ReadyOn(now)) {
		return
	}
	for _, slice := range []*model.Slice{old, now} {
		if slice == nil || m.Services[slice.Service] == nil {
			continue
		}
		s := m.Services[slice.Service]
		for _, a := range s.Addrs() {
			if holder.Binds(s, a) && model.FamilyOf(a) == slice.Family {
				sharers(m, a, add)
			}
		}
	}
}

// relabelled is every unit of the stage where a Namespace's labels are others now and a pool selects by them.
func relabelled(m *model.Model, c Change, add func(model.Ref)) {
	old, _ := c.Old.(*model.Namespace)
	now, _ := c.New.(*model.Namespace)
	if old != nil && now != nil && maps.Equal(old.Labels, now.Labels) {
		return
	}
	for _, p := range m.Pools {
		if len(p.Namespaces.Requirements) > 0 {
			add(Everything)
			return
		}
	}
}
