package advert

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// exchange plans the policy towards all peers.
func exchange(m *model.Model, self *model.Node, note *remarks) *intent.Exchange {
	o := &self.Options
	e := &intent.Exchange{
		V4: m.Settings.IPv4, V6: m.Settings.IPv6,
		PodsOutside: m.Settings.BGP.AdvertisePodCIDR && len(podAds(m, self)) == 0,
		Aggregate:   len(m.Settings.BGP.AggregatePodCIDRs) > 0,
		Reflect:     o.RRServer != "",
		NextHopSelf: m.Settings.BGP.OverrideNextHop,
		MED:         o.MED,
		Reject:      slices.Clone(o.ImportReject),
		Default:     holder.AcceptsDefault(m),
	}
	if o.PrependAS != 0 && o.PrependTimes > 0 {
		e.PrependAS, e.PrependTimes = uint32(o.PrependAS), o.PrependTimes
	}
	var odd []string
	e.Communities, e.Large, odd = communities(o.Communities)
	for _, c := range odd {
		note.add("kube-router.io/node.bgp.communities", "%s ignored: not a community", c)
	}
	e.Communities, e.Large = first(e.Communities, note), first(e.Large, note)
	slices.SortFunc(e.Reject, netip.Prefix.Compare)
	e.Reject = slices.Compact(e.Reject)
	return e
}

// communities sorts communities by their form; odd are those that are none.
func communities(list []string) (plain []uint32, large [][3]uint32, odd []string) {
	for _, c := range list {
		switch n := numbers(c); len(n) {
		case 2:
			plain = once(plain, n[0]<<16|n[1]&0xffff)
		case 3:
			large = once(large, [3]uint32(n))
		default:
			odd = append(odd, c)
		}
	}
	return plain, large, odd
}

// once adds v where it isn't yet: two names may mean one community.
func once[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// mostCommunities is how many communities of each sort a node may add.
const mostCommunities = 16

func first[T any](list []T, note *remarks) []T {
	if len(list) > mostCommunities {
		note.add("kube-router.io/node.bgp.communities", "only the first %d of a sort are advertised", mostCommunities)
		list = list[:mostCommunities]
	}
	return list
}

// numbers are the parts of a community as the conversion of the annotation left it, or nil.
func numbers(c string) []uint32 {
	if n, ok := wellKnown()[c]; ok {
		return []uint32{n >> 16, n & 0xffff}
	}
	var list []uint32
	for _, part := range strings.Split(c, ":") {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return nil
		}
		list = append(list, uint32(n))
	}
	return list
}

// wellKnown is IANA's registry of well-known communities (RFC 1997 and later).
func wellKnown() map[string]uint32 {
	return map[string]uint32{
		"internet": 0x00000000, "planned-shut": 0xffff0000, "graceful-shutdown": 0xffff0000, "accept-own": 0xffff0001,
		"route-filter-translated-v4": 0xffff0002, "route-filter-v4": 0xffff0003,
		"route-filter-translated-v6": 0xffff0004, "route-filter-v6": 0xffff0005,
		"llgr-stale": 0xffff0006, "no-llgr": 0xffff0007, "blackhole": 0xffff029a,
		"no-export": 0xffffff01, "no-advertise": 0xffffff02, "no-export-subconfed": 0xffffff03, "no-peer": 0xffffff04,
	}
}
