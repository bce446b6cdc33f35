package advert

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// outlets plans to whom the addresses of BGPAdvertisements go from this node.
func outlets(m *model.Model, self *model.Node, routers []*intent.Neighbor) []*intent.Outlet {
	var list []*intent.Outlet
	spoken := objects(m, self)
	for _, ad := range m.BGPAdsByAge() {
		if ad.Broken != "" || !ad.Nodes.Matches(self.Labels) {
			continue
		}
		o := &intent.Outlet{Name: ad.Name, Created: ad.Created, LocalPref: ad.LocalPref, MED: ad.MED}
		o.Communities, o.Large, _ = communities(ad.Communities)
		for _, r := range routers {
			if reaches(ad, spoken[r.Addr]) {
				o.To = append(o.To, intent.Receiver{Addr: r.Addr, Inside: r.Inside && !r.Shutdown})
			}
		}
		if len(o.To) > 0 {
			list = append(list, o)
		}
	}
	return list
}

// reaches tells whether a BGPAdvertisement is for a router: that of a BGPPeer or, where none speaks of it (nil), of a flag or annotation.
func reaches(ad *model.BGPAdvertisement, o *model.BGPPeer) bool {
	switch {
	case len(ad.Peers) == 0 && ad.PeerLabels == nil:
		return true
	case o == nil:
		return false
	}
	return slices.Contains(ad.Peers, o.Name) || ad.PeerLabels != nil && ad.PeerLabels.Matches(o.Labels)
}

// podAds are the BGPAdvertisements that speak of this node's pod ranges, the eldest first.
func podAds(m *model.Model, self *model.Node) []*model.BGPAdvertisement {
	var list []*model.BGPAdvertisement
	for _, ad := range m.BGPAdsByAge() {
		if ad.Pods && ad.Nodes.Matches(self.Labels) {
			list = append(list, ad)
		}
	}
	return list
}

// objects are the BGPPeers that count on a node, by the address of their router.
func objects(m *model.Model, self *model.Node) map[netip.Addr]*model.BGPPeer {
	spoken := map[netip.Addr]*model.BGPPeer{}
	for _, o := range m.BGPPeersByAge() {
		if o.Peer.Addr.IsValid() && spoken[o.Peer.Addr] == nil && o.Nodes.Matches(self.Labels) {
			spoken[o.Peer.Addr] = o
		}
	}
	return spoken
}

// Withheld plans what of announcements is kept from routers whose export filter refuses it.
func Withheld(m *model.Model, list []*intent.Announce) []*intent.Withheld {
	self := m.Self()
	if len(list) == 0 || self == nil || !slices.ContainsFunc(m.BGPPeersByAge(), func(o *model.BGPPeer) bool { return len(o.Peer.Export) > 0 }) {
		return nil
	}
	var all []*intent.Withheld
	for addr, o := range objects(m, self) {
		seen := map[netip.Prefix]bool{}
		for _, a := range list {
			if seen[a.Prefix] || len(o.Peer.Export) == 0 {
				continue
			}
			seen[a.Prefix] = true
			if marks, goes := attributes(m, self, o, list, a.Prefix); goes && !permits(o.Peer.Export, a.Prefix, marks) {
				all = append(all, &intent.Withheld{Peer: addr, Prefix: a.Prefix})
			}
		}
	}
	slices.SortFunc(all, func(a, b *intent.Withheld) int { return cmp.Or(a.Peer.Compare(b.Peer), a.Prefix.Compare(b.Prefix)) })
	return all
}

// attributes are the communities with which a prefix goes to a router: those of the node, and of the first advertisement that is for it.
func attributes(m *model.Model, self *model.Node, o *model.BGPPeer, list []*intent.Announce, p netip.Prefix) (marks []string, goes bool) {
	marks = self.Options.Communities
	by := func(via string) bool {
		return slices.ContainsFunc(list, func(a *intent.Announce) bool { return a.Prefix == p && a.Via == via })
	}
	for _, ad := range m.BGPAdsByAge() {
		if by(ad.Name) && reaches(ad, o) {
			return slices.Concat(marks, ad.Communities), true
		}
	}
	return marks, by("")
}

// permits tells whether a filter lets a prefix of ours pass: the first rule that matches decides.
func permits(rules []model.BGPRule, p netip.Prefix, marks []string) bool {
	for _, r := range rules {
		if len(r.Prefixes) > 0 && !slices.ContainsFunc(r.Prefixes, func(b model.BGPPrefix) bool { return b.Has(p) }) {
			continue
		}
		if r.Community == "" || slices.ContainsFunc(marks, func(c string) bool { return slices.Equal(numbers(c), numbers(r.Community)) }) {
			return r.Accept
		}
	}
	return true
}

// rulesOf are the rules of an import filter.
func rulesOf(list []model.BGPRule) []intent.TaughtRule {
	var all []intent.TaughtRule
	for _, r := range list {
		i := intent.TaughtRule{Accept: r.Accept, ASN: uint32(r.Path.ASN)}
		i.How = [...]string{"", "contains", "originates", "neighbor"}[r.Path.How]
		for _, p := range r.Prefixes {
			i.Prefixes = append(i.Prefixes, intent.PrefixMatch(p))
		}
		if r.Community != "" {
			plain, large, _ := communities([]string{r.Community})
			for _, c := range plain {
				i.Community = c
			}
			for _, c := range large {
				i.Large = c
			}
		}
		all = append(all, i)
	}
	return all
}

// Advertisement judges a BGPAdvertisement as every node sees it. Of all nodes one tells the API.
func Advertisement(m *model.Model, name string) ([]intent.Verdict, []model.Remark) {
	ad, self := m.BGPAds[name], m.Self()
	if ad == nil || self == nil || !m.Settings.Router {
		return nil, nil
	}
	note := remarks{object: ad.Ref()}
	v := intent.Verdict{Kind: string(model.KindBGPAd), Name: ad.Name, Generation: ad.Generation}
	for _, n := range m.Nodes {
		if ad.Nodes.Matches(n.Labels) {
			v.Nodes++
		}
	}
	met := len(ad.Peers) == 0 && ad.PeerLabels == nil
	for _, o := range m.BGPPeers {
		met = met || reaches(ad, o)
	}
	switch {
	case ad.Broken != "":
		v.Reason, v.Why = "Nothing", ad.Broken
	case v.Nodes == 0:
		v.Reason, v.Why = "NoNode", "its nodeSelector selects no node"
	case !met:
		v.Reason, v.Why = "NoPeer", "there is no BGPPeer that it is for"
	}
	lacks(m, ad, &note)
	if flags := overruled(m, ad); len(flags) > 0 {
		note.add("spec.addresses", "of addresses that it speaks of %s and annotations of Services have no say", strings.Join(flags, ", "))
	}
	if !holder.Speaks(m, self.Name, ad.Ref()) {
		return nil, note.list
	}
	return []intent.Verdict{v}, note.list
}

// lacks remarks on what a BGPAdvertisement names and nobody has.
func lacks(m *model.Model, ad *model.BGPAdvertisement, note *remarks) {
	for _, p := range ad.Pools {
		if m.Pools[p] == nil {
			note.add("spec.pools", "there is no AddressPool %s", p)
		}
	}
	for _, p := range ad.Peers {
		if m.BGPPeers[p] == nil {
			note.add("spec.peers", "there is no BGPPeer %s", p)
		}
	}
	if plain, large, _ := communities(ad.Communities); len(plain) > mostCommunities || len(large) > mostCommunities {
		note.add("spec.communities", "only the first %d of a sort are advertised", mostCommunities)
	}
}

// overruled are the flags that would advertise what a BGPAdvertisement speaks of.
func overruled(m *model.Model, ad *model.BGPAdvertisement) []string {
	b := &m.Settings.BGP
	var list []string
	for _, f := range []struct {
		on   bool
		name string
	}{
		{ad.Balancer && b.AdvertiseLB, "--advertise-loadbalancer-ip"}, {ad.External && b.AdvertiseExternal, "--advertise-external-ip"},
		{ad.Cluster && b.AdvertiseCluster, "--advertise-cluster-ip"}, {ad.Pods && b.AdvertisePodCIDR, "--advertise-pod-cidr"},
	} {
		if f.on {
			list = append(list, f.name)
		}
	}
	return list
}
