package model

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// BGPAdvertisement (kube-router.io/v1alpha1) says which addresses are advertised by BGP, to whom and with which attributes.
type BGPAdvertisement struct {
	Name       string
	UID        string
	Generation int64
	Created    time.Time // to a router for which two speak of an address, the older's counts

	Balancer, External, Cluster, Pods bool     // the sorts of address that are meant
	Pools                             []string // of load balancer addresses: those of these AddressPools; empty: all
	Services                          Selector
	Nodes                             Selector

	Peers      []string  // BGPPeers by name
	PeerLabels *Selector // and by their labels; nil: none so. Without either: every router

	Communities []string // as those of a Node
	LocalPref   uint32   // 0: none
	MED         *uint32
	Length      map[Family]int // of an aggregate, where there is to be one

	Broken  string // why nothing is advertised by it: a field that can't be read, and isn't guessed at; empty: it can
	Remarks []Remark
}

// Ref names the BGPAdvertisement.
func (a *BGPAdvertisement) Ref() Ref { return Ref{KindBGPAd, Name{Name: a.Name}} }

// Older orders BGPAdvertisements by who was there first: by Created, then by name.
func (a *BGPAdvertisement) Older(o *BGPAdvertisement) int {
	return cmp.Or(a.Created.Compare(o.Created), strings.Compare(a.Name, o.Name))
}

// BGPAdsByAge are the BGPAdvertisements, the eldest first. The list is not to be changed.
func (m *Model) BGPAdsByAge() []*BGPAdvertisement {
	if m.adsByAge != nil || len(m.BGPAds) == 0 {
		return m.adsByAge
	}
	for _, a := range m.BGPAds {
		m.adsByAge = append(m.adsByAge, a)
	}
	slices.SortFunc(m.adsByAge, (*BGPAdvertisement).Older)
	return m.adsByAge
}

// BGPRule is a rule of a router's filter. It matches what meets all of its conditions.
type BGPRule struct {
	Accept    bool
	Prefixes  []BGPPrefix // empty: any
	Path      ASMatch
	Community string // in the form of a Node's; empty: any
}

// BGPPrefix is the prefixes within a range whose length is from Min to Max bits.
type BGPPrefix struct {
	Prefix   netip.Prefix
	Min, Max uint8
}

// Has tells whether a prefix is one of those meant.
func (b BGPPrefix) Has(p netip.Prefix) bool {
	return b.Prefix.Bits() <= p.Bits() && b.Prefix.Contains(p.Addr()) && uint8(p.Bits()) >= b.Min && uint8(p.Bits()) <= b.Max
}

// ASMatch is a condition about the AS numbers of a route. The zero value is none.
type ASMatch struct {
	How ASHow
	ASN ASN
}

// ASHow says where on the way an AS number is.
type ASHow uint8

// Where an AS number may be.
const (
	ASContains   ASHow = iota + 1 // anywhere
	ASOriginates                  // where the route begins
	ASNeighbor                    // who taught it
)
