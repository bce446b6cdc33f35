package model

import (
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// ServicesOnNodePort are the Services with a node port of this number, of whatever protocol, by name; several mostly
// for different protocols. The map is not to be changed.
func (m *Model) ServicesOnNodePort(p Port) map[Name]*Service { return m.nodePorts[p] }

// SlicesAt are the EndpointSlices with an endpoint at an address, with their names, in no order. The model must not change meanwhile.
func (m *Model) SlicesAt(a netip.Addr) iter.Seq2[Name, *Slice] { return slicesIn(m.slicesAt[a]) }

// NodesAt are the Nodes that have an address, by name; several only by mistake. The map is not to be changed.
func (m *Model) NodesAt(a netip.Addr) map[string]*Node { return m.nodesBy[a] }

// NodeAt is the Node that has an address, or nil. Of several the first by name.
func (m *Model) NodeAt(a netip.Addr) *Node {
	var best *Node
	for _, n := range m.nodesBy[a] {
		if best == nil || n.Name < best.Name {
			best = n
		}
	}
	return best
}

// LinkWith is the link that is up and has an address, or nil. Of several the first by name.
func (m *Model) LinkWith(a netip.Addr) *Link {
	return m.bestLink(func(p netip.Prefix) bool { return p.Addr() == a })
}

// LinkOwning is the link that an address is given to, up or not, or nil. Of several the first by name.
func (m *Model) LinkOwning(a netip.Addr) *Link {
	var best *Link
	for _, l := range m.Links {
		if (best == nil || l.Name < best.Name) && slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool { return p.Addr() == a }) {
			best = l
		}
	}
	return best
}

// LinkTo is the link that is up and has an address in one subnet with a, or nil. The longest subnet wins, then
// the first name.
func (m *Model) LinkTo(a netip.Addr) *Link {
	return m.bestLink(func(p netip.Prefix) bool { return !p.IsSingleIP() && p.Contains(a) })
}

// LinkOf is the link that is up and has a subnet, or nil. Of several the first by name.
func (m *Model) LinkOf(subnet netip.Prefix) *Link {
	return m.bestLink(func(p netip.Prefix) bool { return !p.IsSingleIP() && p.Masked() == subnet })
}

func (m *Model) bestLink(fits func(netip.Prefix) bool) *Link {
	var best *Link
	bits := -1
	for _, l := range m.Links {
		for _, p := range l.Addrs {
			if !l.Up || !fits(p) || p.Bits() < bits {
				continue
			}
			if best == nil || p.Bits() > bits || strings.Compare(l.Name, best.Name) < 0 {
				best, bits = l, p.Bits()
			}
		}
	}
	return best
}

func (n *Node) addrs() []netip.Addr {
	return append(n.InternalIPs[:len(n.InternalIPs):len(n.InternalIPs)], n.ExternalIPs...)
}

func (m *Model) putNode(n *Node) {
	m.Nodes[n.Name] = n
	for _, a := range n.addrs() {
		index(m.nodesBy, a, n.Name, n)
	}
	for _, k := range n.Options.Wire.keys() {
		index(m.nodesByKey, k, n.Name, n)
	}
	m.ranges.put(n)
}

func (m *Model) deleteNode(name string) Object {
	n, ok := m.Nodes[name]
	if !ok {
		return nil
	}
	delete(m.Nodes, name)
	for _, a := range n.addrs() {
		unindex(m.nodesBy, a, name)
	}
	for _, k := range n.Options.Wire.keys() {
		unindex(m.nodesByKey, k, name)
	}
	m.ranges.remove(n)
	return n
}

// PathsVia are the learned paths with a next hop, by prefix. The map is not to be changed.
func (m *Model) PathsVia(hop netip.Addr) map[netip.Prefix]*Path { return m.pathsBy[hop] }

func (m *Model) deletePath(prefix string) Object {
	at, err := netip.ParsePrefix(prefix)
	p, ok := m.Paths[at]
	if err != nil || !ok {
		return nil
	}
	delete(m.Paths, at)
	for _, hop := range p.NextHops {
		unindex(m.pathsBy, hop, at)
	}
	return p
}

// AttachmentsOf are the interfaces of a pod that were made on this node, by container and interface. The map
// is not to be changed.
func (m *Model) AttachmentsOf(pod Name) map[Name]*Attachment { return m.attachOf[pod] }

func (m *Model) deleteAttachment(n Name) Object {
	a, ok := m.Attached[n]
	if !ok {
		return nil
	}
	delete(m.Attached, n)
	unindex(m.attachOf, a.Pod, n)
	return a
}

func index[A, K comparable, V any](m map[A]map[K]V, at A, k K, v V) {
	if m[at] == nil {
		m[at] = map[K]V{}
	}
	m[at][k] = v
}

func unindex[A, K comparable, V any](m map[A]map[K]V, at A, k K) {
	delete(m[at], k)
	if len(m[at]) == 0 {
		delete(m, at)
	}
}
