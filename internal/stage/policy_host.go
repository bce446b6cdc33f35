package stage

import (
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
)

var hostOwner = reconcile.Owner{Name: string(policy.KindHost)}

// planHost plans what guards this node itself.
func (p *Policies) planHost(m *model.Model) {
	wall := p.Planner.Host()
	var rows []row.Nft
	var tiers []*intent.Tier
	if wall != nil {
		rows, tiers = nft.HostWall(wall), wall.All()
		for _, t := range tiers {
			p.render(t)
		}
	}
	p.Tiers.Claim(hostOwner, tiers...)
	p.nft.Claim(hostOwner, rows...)
	before := p.Host
	p.Host = wall
	if p.Tightened == nil || wall == nil || before != nil && slices.EqualFunc(before.Enforced(), wall.Enforced(), sameTier) {
		return
	}
	keys := make([]row.NftKey, 0, len(rows))
	for _, r := range rows {
		keys = append(keys, r.Key())
	}
	p.Tightened(ownAddrs(m), keys)
}

// ownAddrs are this node's own addresses.
func ownAddrs(m *model.Model) (list []netip.Addr) {
	for _, l := range m.Links {
		for _, a := range l.Addrs {
			list = append(list, a.Addr())
		}
	}
	if self := m.Self(); self != nil {
		list = append(append(list, self.InternalIPs...), self.ExternalIPs...)
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}
