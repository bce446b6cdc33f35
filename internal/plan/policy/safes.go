package policy

import (
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

const tcp, udp, ipip, ip6in4 = 6, 17, 4, 41

// safes are what passes although NodePolicies deny it, by destination port as the packet has it: what an administrator, the cluster and our own
// daemon reach nodes by, and what a node can't live without.
func safes(m *model.Model, d intent.Direction) []intent.PortRange {
	s := &m.Settings
	tcps := []model.Port{179, 2379, 2380, 6443, 10250, s.APIPort, s.BGP.Port}
	udps := []model.Port{3784, 4784, 4789, 8472, 5555, s.Routes.OverlayPort, s.Encryption.Port} // BFD; tunnels
	for _, n := range m.Nodes {
		w := &n.Options.Wire
		udps = append(udps, w.Port, model.Port(w.Endpoint.Port()))
	}
	if d == intent.ToPod {
		tcps = append(append(tcps, 22), s.Listens...)
		udps = append(udps, 68, 546) // DHCP
		for _, o := range m.Services {
			tcps = append(tcps, o.HealthPort)
		}
	} else {
		tcps = append(tcps, 53)
		udps = append(udps, 53, 67, 547, 123) // DNS, DHCP, NTP
		tcps = append(tcps, peerPorts(m)...)
	}
	list := []intent.PortRange{{Protocol: ipip, Last: 65535}, {Protocol: ip6in4, Last: 65535}}
	for protocol, ports := range map[uint8][]model.Port{tcp: tcps, udp: udps} {
		for _, n := range ports {
			if n != 0 {
				list = append(list, intent.PortRange{Protocol: protocol, First: uint16(n), Last: uint16(n)})
			}
		}
	}
	return intent.MergePorts(list)
}

// peerPorts are those of routers that this node calls.
func peerPorts(m *model.Model) (list []model.Port) {
	peers := slices.Clone(m.Settings.BGP.Peers)
	if self := m.Self(); self != nil {
		peers = append(peers, self.Options.Peers...)
	}
	for _, o := range m.BGPPeers {
		peers = append(peers, o.Peer)
	}
	for _, p := range peers {
		list = append(list, p.Port)
	}
	return list
}

// isSafe tells whether a flow of this node is one of those.
func isSafe(list []intent.PortRange, f Flow) bool {
	return slices.ContainsFunc(list, func(r intent.PortRange) bool {
		return r.Protocol == uint8(f.Protocol) && r.First <= uint16(f.Port) && uint16(f.Port) <= r.Last
	})
}
