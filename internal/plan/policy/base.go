package policy

import (
	"net/netip"
	"slices"
	"strings"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Base plans what stands around the pods' own rules; nil when the firewall is off.
func Base(m *model.Model) (*intent.FirewallBase, []model.Remark) {
	s := &m.Settings
	if !s.Firewall {
		return nil, nil
	}
	b := &intent.FirewallBase{V4: s.IPv4, V6: s.IPv6, JudgeEcho: s.Policy.JudgeEcho, Bridge: s.Router}
	b.Bridges, b.Broadcasts = bridges(m)
	var remarks []model.Remark
	if s.Policy.DefaultDeny || waits(s) {
		b.Ranges, remarks = ranges(m)
	}
	for _, name := range b.Bridges {
		remarks = append(remarks, model.Remark{Object: m.Self().Ref(), Message: "pods are attached to the bridge " + name + " of another CNI: where that doesn't chain " +
			"kube-router-cni, a pod with NET_RAW can send as its neighbour, past policies that go by addresses"})
	}
	// An engine translates before the judgement or after it, as kube-proxy's IPVS does. Of ours all fronts
	// are known.
	switch translates := s.Services.Engine.Can().Translates; {
	case s.Proxy && translates == model.After:
		b.OwnFronts = true
	case !s.Proxy || translates != model.Before:
		for _, list := range [][]netip.Prefix{s.Services.ClusterRanges, s.Services.ExternalRanges, m.BalancerRanges()} {
			b.Fronts = append(b.Fronts, list...)
		}
		b.FirstPort, b.LastPort = uint16(s.Services.NodePortFirst), uint16(s.Services.NodePortLast)
	}
	return b, remarks
}

// bridges are another CNI's on which pods of this node hang, told by an address of the pods' range; and the
// highest addresses of the ranges, by which all pods are spoken to at once.
func bridges(m *model.Model) (names []string, all []netip.Addr) {
	self := m.Self()
	if self == nil {
		return nil, nil
	}
	for _, c := range self.PodCIDRs {
		if c.Addr().Is4() {
			all = append(all, lastOf(c.Masked()))
		}
		for _, l := range m.Links {
			if l.Kind == "bridge" && slices.ContainsFunc(l.Addrs, func(a netip.Prefix) bool { return c.Contains(a.Addr()) }) {
				names = append(names, l.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), all
}

// waits tells whether pods start only when they are known, because our CNI plugin sees to it.
func waits(s *model.Settings) bool {
	return s.Router && s.CNI.Enabled && s.CNI.Socket != "" && strings.HasSuffix(s.CNI.File, ".conflist")
}

// ranges are this node's pod ranges of the families that are on.
func ranges(m *model.Model) ([]netip.Prefix, []model.Remark) {
	self := m.Self()
	if self == nil {
		return nil, nil
	}
	var list []netip.Prefix
	for _, c := range self.PodCIDRs {
		if m.Settings.Has(model.FamilyOf(c.Addr())) {
			list = append(list, c)
		}
	}
	if len(list) == 0 && m.Settings.Policy.DefaultDeny {
		return nil, []model.Remark{{Object: self.Ref(), Field: "spec.podCIDRs",
			Message: "--netpol-default-deny has nothing to deny: this node has no pod range"}}
	}
	return list, nil
}
