package holder

import (
	"net/netip"
	"slices"
	"strings"

	"kube-router/internal/model"
)

// NodeAddresses are the addresses of this node at which node ports of a family answer, sorted: by default
// the node's best address; with --nodeport-bindon-all-ip every local address; with --nodeport-addresses
// the local ones of these blocks. Loopback addresses never count: answering there needs route_localnet,
// which opens 127.0.0.1 to neighbours (CVE-2020-8558).
func NodeAddresses(m *model.Model, f model.Family) []netip.Addr {
	set := &m.Settings.Services
	if !set.NodePortAll && len(set.NodePortAddresses) == 0 {
		self := m.Self()
		if self == nil || !self.IP(f).IsValid() {
			return nil
		}
		return []netip.Addr{self.IP(f)}
	}
	var list []netip.Addr
	for _, l := range m.Links {
		if foreign(l.Name) {
			continue
		}
		for _, p := range l.Addrs {
			if a := p.Addr(); fit(a, f) && (len(set.NodePortAddresses) == 0 || within(set.NodePortAddresses, a)) {
				list = append(list, a)
			}
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// foreign tells links whose addresses are no way into the node, by the names that kube-router always
// went by: the bridge of pods, dummies that hold service addresses, and Docker's.
func foreign(name string) bool {
	return strings.Contains(name, "dummy") || strings.Contains(name, "kube") || strings.Contains(name, "docker")
}

func fit(a netip.Addr, f model.Family) bool {
	return a.IsValid() && model.FamilyOf(a) == f && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast()
}
