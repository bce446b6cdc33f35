package model

import (
	"iter"
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

// ServicesWithin visits each address within a prefix that Services name, with those Services, in no order. It costs what the
// prefix has addresses, or what Services name altogether, whichever is less.
func (m *Model) ServicesWithin(p netip.Prefix) iter.Seq2[netip.Addr, []*Service] {
	return func(yield func(netip.Addr, []*Service) bool) {
		p = p.Masked()
		if bits := p.Addr().BitLen() - p.Bits(); bits < 16 && 1<<bits < len(m.servicesAt) {
			for a := p.Addr(); p.Contains(a); a = a.Next() {
				if list := m.servicesAt[a]; len(list) > 0 && !yield(a, list) {
					return
				}
			}
			return
		}
		for a, list := range m.servicesAt {
			if p.Contains(a) && !yield(a, list) {
				return
			}
		}
	}
}

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
