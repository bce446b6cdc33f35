package stage

import (
	"kube-router/internal/model"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
)

// planDomain plans the sets of peers that a domain name is in. That an address leaves them ends no flow that stands.
func (p *Policies) planDomain(m *model.Model, u model.Ref) {
	var rows []row.Nft
	if member := p.Planner.Domain(u.Name.Name); member != nil {
		rows = nft.Membership(member)
	}
	p.nft.Claim(podOwner(u), rows...)
	if d := m.Domains[u.Name.Name]; d != nil && p.Learned != nil {
		keys := make([]row.NftKey, len(rows))
		for i, r := range rows {
			keys[i] = r.Key()
		}
		p.Learned(d, keys)
	}
}
