package route

import (
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// vxlanPort is the UDP port that Linux uses for VXLAN, as others on the same nodes expect.
const vxlanPort = 8472

// tunnelPort is the UDP port of tunnels; 0: they have none.
func tunnelPort(s *model.Settings) uint16 {
	switch intent.Encap(s.Routes.OverlayEncap) {
	case intent.FOU:
		return uint16(s.Routes.OverlayPort)
	case intent.VXLAN:
		return vxlanPort
	}
	return 0
}

// Guard plans who may speak to this node's tunnels. A tunnel's port believes whatever inner address it is told, so it is
// the nodes' alone; and a node has nothing to send that bears an address of ours: pods here don't come from elsewhere,
// and what Services send is translated before it gets to a tunnel. The ranges of external and balancer addresses aren't
// refused: hosts may live in them, and pods answer with such an address where replies go straight to the client.
func Guard(m *model.Model) []*intent.TunnelGuard {
	s := &m.Settings
	if !s.Router || !s.Routes.Overlay {
		return nil
	}
	g := &intent.TunnelGuard{V4: s.IPv4, V6: s.IPv6, Encap: intent.Encap(s.Routes.OverlayEncap), Port: tunnelPort(s)}
	var own []netip.Prefix
	if s.Services.ClusterGiven { // pods or hosts may live in the default range
		own = slices.Clone(s.Services.ClusterRanges)
	}
	if n := m.Self(); n != nil {
		own = append(own, n.PodCIDRs...)
	}
	g.Own = apart(s, own)
	return []*intent.TunnelGuard{g}
}

// apart are the ranges of enabled families, sorted, without those that lie within another.
func apart(s *model.Settings, list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, netip.Prefix.Compare)
	var out []netip.Prefix
	for _, p := range list {
		if s.Has(family(p)) && (len(out) == 0 || !out[len(out)-1].Overlaps(p)) {
			out = append(out, p.Masked())
		}
	}
	return out
}
