package model

import (
	"net/netip"
	"slices"
)

// frontend is an address, port and protocol that a Service names, by spec.ports[].port.
type frontend struct {
	addr     netip.Addr
	port     Port
	protocol Protocol
}

// Changes counts the changes that the model has taken: what was found out at one count holds until the next.
func (m *Model) Changes() uint64 { return m.changes }

// ServicesAt are the Services that name an address, in their spec or status, whether they may have it or not; the oldest
// first. The list is not to be changed, and holds until the model changes.
func (m *Model) ServicesAt(a netip.Addr) []*Service { return m.servicesAt[a] }

// ServicesOwning are the Services that have an address for their cluster address, the oldest first; several only by
// mistake. The list is not to be changed, and holds until the model changes.
func (m *Model) ServicesOwning(a netip.Addr) []*Service { return m.ownersOf[a] }

// ServicesListening are those of ServicesAt that have a port of this number and protocol, the oldest first. The list is not
// to be changed, and holds until the model changes.
func (m *Model) ServicesListening(a netip.Addr, p Port, protocol Protocol) []*Service {
	return m.listening[frontend{a, p, protocol}]
}

func (m *Model) putService(s *Service) {
	m.Services[s.Name] = s
	for _, a := range s.ClusterIPs {
		enlist(m.ownersOf, a, s)
	}
	for _, a := range s.Addrs() {
		enlist(m.servicesAt, a, s)
		for _, p := range s.Ports {
			enlist(m.listening, frontend{a, p.Port, p.Protocol}, s)
		}
	}
	for _, p := range s.Ports {
		if p.NodePort != 0 {
			index(m.nodePorts, p.NodePort, s.Name, s)
		}
	}
}

func (m *Model) deleteService(n Name) Object {
	s, ok := m.Services[n]
	if !ok {
		return nil
	}
	delete(m.Services, n)
	for _, a := range s.ClusterIPs {
		discharge(m.ownersOf, a, s)
	}
	for _, a := range s.Addrs() {
		discharge(m.servicesAt, a, s)
		for _, p := range s.Ports {
			discharge(m.listening, frontend{a, p.Port, p.Protocol}, s)
		}
	}
	for _, p := range s.Ports {
		unindex(m.nodePorts, p.NodePort, n)
	}
	return s
}

// enlist puts a Service into its place by age; one that is there already stays.
func enlist[K comparable](m map[K][]*Service, k K, s *Service) {
	if i, found := slices.BinarySearchFunc(m[k], s, (*Service).Older); !found {
		m[k] = slices.Insert(m[k], i, s)
	}
}

func discharge[K comparable](m map[K][]*Service, k K, s *Service) {
	i, found := slices.BinarySearchFunc(m[k], s, (*Service).Older)
	switch {
	case !found:
	case len(m[k]) == 1:
		delete(m, k)
	default:
		m[k] = slices.Delete(m[k], i, i+1)
	}
}
