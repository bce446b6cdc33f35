package service

import (
	"net/netip"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Health is what this node answers at spec.healthCheckNodePort, or nil where the Service asks for none. It
// counts the ready endpoints of this node once each, whatever their ports; terminating ones no longer
// count, so that balancers turn away while connections drain (KEP-1669). Of two families the larger counts.
func Health(m *model.Model, name model.Name) *intent.Health {
	s := m.Services[name]
	if s == nil || !holder.Ours(s) || s.HealthPort == 0 || s.Type != model.LoadBalancer || s.External != model.Local {
		return nil
	}
	h := &intent.Health{Port: uint16(s.HealthPort), Namespace: name.Namespace, Name: name.Name}
	for _, f := range holder.Families(&m.Settings, s) {
		ready := map[netip.Addr]struct{}{}
		for _, p := range s.Ports {
			list, _ := candidates(m, s, p, f, mostEndpoints)
			for _, c := range list {
				if c.ready && c.Local {
					ready[c.Addr] = struct{}{}
				}
			}
		}
		h.Local = max(h.Local, len(ready))
	}
	return h
}
