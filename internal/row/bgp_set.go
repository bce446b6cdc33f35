package row

import (
	"fmt"
	"net/netip"
	"strings"
)

// Sets of single objects have a name of the form KIND4:OF, and their twins for IPv6 KIND6:OF, so that no two are alike: neither fixed names nor
// names of objects have a colon before an address.
const (
	kindAdvertised = "advertised" // of a BGPAdvertisement: its prefixes
	kindWithheld   = "withheld"   // of a router: prefixes that are not for it
	kindTaught     = "taught"     // of a router and a rule of its filter: prefixes that the rule is about
	kindPeer       = "peer"       // of a router: itself alone
)

// SetAdvertised is the set of the prefixes of a BGPAdvertisement.
func SetAdvertised(name string) BgpSet { return BgpSet(kindAdvertised + "4:" + name) }

// SetWithheld is the set of prefixes that are not advertised to a router, whatever else says so.
func SetWithheld(peer netip.Addr) BgpSet { return BgpSet(kindWithheld + "4:" + peer.String()) }

// SetTaught is the set of prefixes that a rule of a router's import filter is about.
func SetTaught(peer netip.Addr, rule int) BgpSet {
	return BgpSet(fmt.Sprintf("%s4:%s/%02d", kindTaught, peer, rule))
}

// SetPeer is the set of one peer alone.
func SetPeer(peer netip.Addr) BgpSet { return BgpSet(kindPeer + ":" + peer.String()) }

// split are the parts of the name of a set of a single object; a fixed set has neither.
func (s BgpSet) split() (kind, of string) {
	kind, of, _ = strings.Cut(string(s), ":")
	if of == "" {
		return "", ""
	}
	return strings.TrimRight(kind, "46"), of
}

// Single tells whether a set is of a single object: it is made with its first member and goes with its last.
func (s BgpSet) Single() bool {
	kind, _ := s.split()
	return kind == kindAdvertised || kind == kindWithheld || kind == kindTaught || kind == kindPeer
}

// About is the router that a set is about, of those that are about a single one.
func (s BgpSet) About() (netip.Addr, bool) {
	kind, of := s.split()
	if kind == "" || kind == kindAdvertised {
		return netip.Addr{}, false
	}
	of, _, _ = strings.Cut(of, "/")
	a, err := netip.ParseAddr(of)
	return a, err == nil
}

// V6 is the twin of a set for IPv6.
func (s BgpSet) V6() BgpSet {
	if kind, of := s.split(); kind != "" {
		return BgpSet(kind + "6:" + of)
	}
	return s + "v6"
}

// Of is the set, or its twin, that takes an address of a's family.
func (s BgpSet) Of(a netip.Addr) BgpSet {
	if a.Is4() {
		return s
	}
	return s.V6()
}

// fixed is the name of a fixed set without that of its twin.
func (s BgpSet) fixed() BgpSet { return BgpSet(strings.TrimSuffix(string(s), "v6")) }

// Peers tells whether a set holds peers.
func (s BgpSet) Peers() bool {
	kind, _ := s.split()
	f := s.fixed()
	return kind == kindPeer || f == SetInternals || f == SetExternals || f == SetPeers
}

// Imports tells whether a set decides what is learned, and not what is announced alone.
func (s BgpSet) Imports() bool {
	kind, _ := s.split()
	f := s.fixed()
	return kind == kindTaught || f == SetVIPs || f == SetOwn || f == SetRejected || f == SetDefaults || f.outside()
}

// ImportsOutside tells whether a set decides what is learned of routers outside alone: nodes don't teach each other
// addresses of Services.
func (s BgpSet) ImportsOutside() bool {
	f := s.fixed()
	return f == SetVIPs || f == SetOwn || f.outside()
}

func (s BgpSet) outside() bool { return s == SetHeld }

// Exports tells whether a set decides what is announced.
func (s BgpSet) Exports() bool { return !s.Imports() || s.fixed() == SetVIPs }

// BgpSets are the sets that are there as long as the speaker lives.
func BgpSets() []BgpSet {
	var all []BgpSet
	for _, s := range []BgpSet{SetPods, SetPodsOut, SetVIPs, SetOwn, SetRejected, SetDefaults, SetHeld, SetInternals, SetExternals, SetPeers} {
		all = append(all, s, s.V6())
	}
	return all
}
