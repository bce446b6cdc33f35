package service

import (
	"cmp"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Plan makes the intents of one Service: every front with the backends that answer there. A Service that
// is gone, headless, an ExternalName or another proxy's has none. Remarks tell what was not taken over
// here; those of the conversion stay with the object.
//
// A front that another Service has (package holder) is not among them, and a remark says whose it is.
func Plan(m *model.Model, name model.Name) ([]*intent.Service, []model.Remark) {
	s := m.Services[name]
	if s == nil || !holder.Ours(s) {
		return nil, nil
	}
	r := &remarks{object: s.Ref()}
	t := &template{m: m, s: s, remarks: r, at: here(m), external: addresses(m, s, r)}
	t.reach = len(t.external)
	for _, f := range holder.Families(&m.Settings, s) {
		if s.Type != model.ClusterIP {
			t.reach += len(holder.NodeAddresses(m, f))
		}
	}
	t.scheduler, t.flags = scheduler(m, s, r)
	r.list = append(append(r.list, strangers(m, s)...), misplaced(m, s)...)
	pending(m, s, r)
	var list []*intent.Service
	for i, p := range s.Ports {
		list = append(list, t.port(i, p)...)
	}
	slices.SortFunc(list, func(a, b *intent.Service) int {
		return cmp.Or(a.Front.Compare(b.Front), cmp.Compare(a.Kind, b.Kind))
	})
	list = slices.CompactFunc(list, func(a, b *intent.Service) bool { return a.Front == b.Front })
	slices.SortFunc(r.list, model.Remark.Compare)
	return list, slices.Compact(r.list)
}

func here(m *model.Model) place {
	at := place{node: m.Settings.Node}
	if self := m.Self(); self != nil {
		at.zone = self.Zone
	}
	return at
}

// template is what all fronts of one Service have in common.
type template struct {
	*remarks
	m         *model.Model
	s         *model.Service
	at        place
	external  []address // all addresses but the node's
	reach     int       // at how many addresses a port is served at most
	scheduler intent.Scheduler
	flags     []string
}

// port makes the fronts of one port in every family.
func (t *template) port(index int, p model.ServicePort) []*intent.Service {
	var list []*intent.Service
	for _, f := range holder.Families(&t.m.Settings, t.s) {
		most := room(len(t.s.Ports) * t.reach)
		endpoints, n := candidates(t.m, t.s, p, f, most)
		if n > most {
			t.add(portField(index), "%d endpoints of %s: %d are served, those of this node and then those of the slices first by name", n, f, most)
		}
		c := choose(endpoints, t.at)
		for _, a := range t.external {
			if model.FamilyOf(a.Addr) == f {
				list = append(list, t.front(index, p, a, p.Port, c)...)
			}
		}
		if p.NodePort == 0 {
			continue
		}
		for _, a := range holder.NodeAddresses(t.m, f) {
			list = append(list, t.front(index, p, address{a, intent.NodeFront}, p.NodePort, c)...)
		}
	}
	return list
}

// front makes one intent, or none where another Service has the front.
func (t *template) front(index int, p model.ServicePort, a address, port model.Port, c choice) []*intent.Service {
	at := holder.Frontend{Addr: a.Addr, Port: port, Protocol: p.Protocol}
	if first, lost := holder.Lost(t.m, t.s, at); lost {
		t.add(portField(index), "%s is not served: it is %s", at, first)
		return nil
	}
	out := &intent.Service{
		Front:      intent.Front{Addr: a.Addr, Port: uint16(port), Protocol: uint8(p.Protocol)},
		Kind:       a.kind,
		Owner:      intent.Name(t.s.Name),
		PortName:   p.Name,
		Masquerade: t.m.Settings.Services.MasqueradeAll,
		Affinity:   t.s.Affinity,
		Scheduler:  t.scheduler,
		Flags:      t.flags,
		Hairpin:    t.s.Options.HairpinExternal,
	}
	if a.kind == intent.ClusterFront || a.kind == intent.NodeFront {
		out.Hairpin = t.s.Options.Hairpin || t.m.Settings.Services.Hairpin
	}
	if a.kind == intent.BalancerFront {
		out.Sources = t.s.Sources
	}
	t.policy(out, c)
	t.dsr(index, out)
	return []*intent.Service{out}
}

// policy applies the traffic policies. internalTrafficPolicy governs cluster addresses, externalTrafficPolicy
// all others, and there only clients outside the cluster: pods and nodes reach a Local address as if their
// traffic had gone out to the balancer and come back, from every node (KEP-2086, API text of
// externalTrafficPolicy).
func (t *template) policy(out *intent.Service, c choice) {
	out.Backends = t.backends(c.cluster)
	rest := except(c.serving, c.cluster)
	switch {
	case out.Kind == intent.ClusterFront && t.s.Internal == model.Local:
		out.Backends = t.backends(c.local)
		out.Silent = len(c.local) == 0 && len(c.cluster) > 0
		rest = except(c.serving, c.local)
	case out.Kind != intent.ClusterFront && (t.s.External == model.Local || t.s.Options.Local):
		out.Far, out.KeepSource = true, true
		out.Near = t.backends(c.local)
		rest = except(c.serving, c.cluster, c.local)
	}
	out.Keep = t.backends(rest)
}

// backends are candidates as an intent names them, with weights where the scheduler goes by them.
func (t *template) backends(list []candidate) []intent.Backend {
	out := backends(list)
	if !t.scheduler.Weighs() {
		for i := range out {
			out[i].Weight = 0
		}
	}
	return out
}
