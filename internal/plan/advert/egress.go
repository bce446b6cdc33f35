package advert

import (
	"net/netip"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Egress plans the announcement of addresses that pods leave from: of those whose gateway this node is, so that what comes back comes here.
// It goes to routers outside alone, as that of Services' addresses does.
func Egress(m *model.Model) []*intent.Announce {
	self := m.Self()
	if self == nil || !m.Settings.Router || !m.Settings.Gateways || asOf(m, self) == 0 {
		return nil
	}
	var list []*intent.Announce
	claims, _ := holder.Egresses(m)
	for _, c := range claims {
		if c.Node == self {
			list = append(list, &intent.Announce{
				Kind: intent.AnnounceVIP, Prefix: netip.PrefixFrom(c.Addr, c.Addr.BitLen()), NextHop: self.IP(model.FamilyOf(c.Addr)),
			})
		}
	}
	return list
}
