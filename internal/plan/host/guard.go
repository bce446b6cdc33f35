package host

import (
	"net/netip"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Port plans the guard of a pod's port, by the pod's attachment; nil: there is none, or which port is the pod's was
// never told.
func Port(m *model.Model, attached model.Name) *intent.Port {
	a := m.Attached[attached]
	if a == nil || a.Port == "" || a.MAC == (model.MAC{}) || !m.Settings.Guards() {
		return nil
	}
	p := &intent.Port{Name: a.Port, Pod: a.Pod.String(), MAC: a.MAC}
	if ns := m.Namespaces[a.Pod.Namespace]; ns != nil && ns.Unguarded {
		p.Kind = intent.FreePort
		return p
	}
	p.Addrs = slices.Concat(a.Addrs, []netip.Addr{a.MAC.LinkLocal()}, direct(m, a.Pod))
	slices.SortFunc(p.Addrs, netip.Addr.Compare)
	p.Addrs = slices.Compact(p.Addrs)
	return p
}

// direct are the addresses of Services that a pod answers from itself, by direct server return: those that the Service may
// have, where the daemon sets them up in that pod (see package holder).
func direct(m *model.Model, pod model.Name) []netip.Addr {
	if !m.Settings.Proxy || !m.Settings.Services.Engine.Can().Direct {
		return nil
	}
	var list []netip.Addr
	for _, slice := range m.SlicesTo(pod) {
		s := m.Services[slice.Service]
		if s == nil || !s.Options.DSR || !holder.Ours(s) || !entered(m, s, slice, pod) {
			continue
		}
		given, _ := holder.Addresses(m, s)
		for _, a := range given {
			if a.Kind == holder.Balancer || a.Kind == holder.External {
				list = append(list, a.Addr)
			}
		}
	}
	return list
}

// entered tells whether the pod answers for the Service at an endpoint of the slice that the daemon may set up in it.
func entered(m *model.Model, s *model.Service, slice *model.Slice, pod model.Name) bool {
	for _, e := range slice.Endpoints {
		for _, a := range e.Addrs {
			if e.Pod == pod && holder.Enters(m, s, pod, a) == "" {
				return true
			}
		}
	}
	return false
}
