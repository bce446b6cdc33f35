package holder

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"kube-router/internal/model"
)

// Endpoint tells why nothing may be sent to an address that an EndpointSlice names, or is empty. Whoever may write
// EndpointSlices must not reach by them what no Service is for: this node itself by loopback, everybody on a link by a
// broadcast, or, since the ipvs engine has every Service's address on the node, the node's own daemons by one of those. The
// API server refuses some of it; this doesn't depend on it. Addresses of nodes, where pods on the host's network are, and
// of other namespaces' pods may be named, as Kubernetes has it.
func Endpoint(m *model.Model, a netip.Addr) string {
	switch {
	case a.IsUnspecified(), a.Is4() && a.As4()[0] == 0:
		return "it is no destination (RFC 6890, 0.0.0.0/8)"
	case a.IsLoopback():
		return "it is a loopback address"
	case a.IsLinkLocalUnicast():
		return "it is a link-local address"
	case a.IsMulticast():
		return "it is a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "it is the broadcast address"
	}
	if s := servedAt(m, a); s != nil {
		return "it is an address of " + s.Ref().String()
	}
	if subnet := broadcast(m, a); subnet.IsValid() {
		return "it is the broadcast or network address of " + subnet.String()
	}
	return ""
}

// servedAt is the Service, the first by age, that has an address which is no node's, or nil.
func servedAt(m *model.Model, a netip.Addr) *model.Service {
	if owner := clusterOwner(m, a); owner != nil {
		return owner
	}
	named := m.ServicesAt(a)
	if len(named) == 0 {
		return nil
	}
	if len(m.NodesAt(a)) > 0 || Own(m, a) {
		return nil
	}
	for _, s := range named {
		if _, ok := kindAt(m, s, a, nil); ok && Ours(s) {
			return s
		}
	}
	return nil
}

// broadcast is the IPv4 subnet of a pod range or of a link that a stands for as a whole, or not valid.
func broadcast(m *model.Model, a netip.Addr) netip.Prefix {
	if !a.Is4() {
		return netip.Prefix{}
	}
	if r, n := m.PodRange(netip.PrefixFrom(a, 32)); n != nil {
		if whole(r, a) {
			return r
		}
		return netip.Prefix{}
	}
	for _, l := range m.Links {
		if i := slices.IndexFunc(l.Addrs, func(p netip.Prefix) bool { return whole(p.Masked(), a) }); i >= 0 {
			return l.Addrs[i].Masked()
		}
	}
	return netip.Prefix{}
}

// Broadcasts are the addresses of which a node's pod range decides whether they stand for a subnet as a whole: the first and
// the last one of the range, and those of this node's links within it, for which nobody asks there.
func Broadcasts(m *model.Model, r netip.Prefix) []netip.Addr {
	if !r.Addr().Is4() {
		return nil
	}
	list := ends(r)
	for _, l := range m.Links {
		for _, p := range l.Addrs {
			if p.Addr().Is4() {
				list = append(list, ends(p)...)
			}
		}
	}
	return slices.DeleteFunc(list, func(a netip.Addr) bool { return !r.Contains(a) })
}

// ends are the first and the last address of an IPv4 prefix.
func ends(p netip.Prefix) []netip.Addr {
	first := p.Masked().Addr().As4()
	last := binary.BigEndian.Uint32(first[:]) | uint32(uint64(1)<<(32-p.Bits())-1)
	return []netip.Addr{netip.AddrFrom4(first), netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, last)))}
}

// whole tells whether a is the first or the last address of an IPv4 subnet that has such (RFC 3021: those of two have none).
func whole(p netip.Prefix, a netip.Addr) bool {
	return p.Addr().Is4() && p.Bits() < 31 && p.Contains(a) && (a == p.Addr() || !p.Contains(a.Next()))
}

// Enters tells why the daemon may not set up a Service's address inside a pod (direct server return), or is empty. Pod and
// address are what an EndpointSlice says: the pod must be of the Service's namespace, and where pods are known it must have
// the address, alone, and the labels of the Service's selector.
func Enters(m *model.Model, s *model.Service, pod model.Name, a netip.Addr) string {
	if pod.Namespace != s.Name.Namespace {
		return "pod " + pod.String() + " is of another namespace"
	}
	for name, p := range m.PodsAt(a) {
		if name != pod && !p.Finished {
			return a.String() + " is pod " + name.String()
		}
	}
	p := m.Pods[pod]
	switch {
	case p == nil:
		return ""
	case !slices.Contains(p.Addrs, a):
		return "pod " + pod.String() + " has not the address " + a.String()
	}
	for key, value := range s.Selector {
		if p.Labels[key] != value {
			return "pod " + pod.String() + " is not selected by the Service"
		}
	}
	return ""
}
