package model

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// AddrRange is a closed range of addresses of one family.
type AddrRange struct {
	First, Last netip.Addr
	CIDR        bool // it was written as a block, which has a first and a last address of its own
}

// RangeOf is all addresses of a block.
func RangeOf(p netip.Prefix) AddrRange {
	p = p.Masked()
	last := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	end, _ := netip.AddrFromSlice(last)
	return AddrRange{First: p.Addr(), Last: end, CIDR: true}
}

// Family is the family of the range.
func (r AddrRange) Family() Family { return FamilyOf(r.First) }

// Contains tells whether an address lies in the range.
func (r AddrRange) Contains(a netip.Addr) bool {
	return a.BitLen() == r.First.BitLen() && r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0
}

// Overlaps tells whether two ranges have an address in common.
func (r AddrRange) Overlaps(o AddrRange) bool {
	return r.First.BitLen() == o.First.BitLen() && r.First.Compare(o.Last) <= 0 && o.First.Compare(r.Last) <= 0
}

// String prints the range as a user would write it: 192.0.2.10-192.0.2.20, a block as a CIDR, one address alone.
func (r AddrRange) String() string {
	if r.CIDR {
		for bits := r.First.BitLen(); bits >= 0; bits-- {
			if p := netip.PrefixFrom(r.First, bits); p.Masked() == p && RangeOf(p).Last == r.Last {
				return p.String()
			}
		}
	}
	if r.First == r.Last {
		return r.First.String()
	}
	return r.First.String() + "-" + r.Last.String()
}

// Pool is an AddressPool (kube-router.io/v1alpha1) with its defaults applied: addresses to give.
type Pool struct {
	Name       string
	UID        string
	Generation int64
	Created    time.Time // of two that overlap the older has the addresses
	Ranges     []AddrRange
	Exclude    []AddrRange
	Balancer   bool  // for Services of type LoadBalancer
	Egress     bool  // for what leaves the cluster
	AutoAssign bool  // also to those who ask for nothing in particular
	AvoidEdges bool  // the ends of blocks, and what ends in .0 or .255, is not given
	Priority   int32 // the lower one first
	Disabled   bool  // gives nothing more
	Namespaces Selector
	Services   Selector
	Nodes      Selector // who may own an address
	Remarks    []Remark
}

// Ref names the AddressPool.
func (p *Pool) Ref() Ref { return Ref{KindPool, Name{Name: p.Name}} }

// Has tells whether an address belongs to the pool and may be given at all.
func (p *Pool) Has(a netip.Addr) bool {
	in := func(r AddrRange) bool { return r.Contains(a) }
	return slices.ContainsFunc(p.Ranges, in) && !slices.ContainsFunc(p.Exclude, in) && (!p.AvoidEdges || !p.edge(a))
}

// Holds tells whether an address lies in one of the pool's ranges, be it one to give or not.
func (p *Pool) Holds(a netip.Addr) bool {
	return slices.ContainsFunc(p.Ranges, func(r AddrRange) bool { return r.Contains(a) })
}

// edge tells whether an address is one that some hosts and routers take for a network's own or its broadcast address. In IPv6 that is the
// first alone, the subnet routers' anycast address (RFC 4291, section 2.6.1). A block of one or two addresses has no edge.
func (p *Pool) edge(a netip.Addr) bool {
	for _, r := range p.Ranges {
		if r.CIDR && r.Contains(a) && r.First != r.Last && r.First.Next() != r.Last && (a == r.First || a.Is4() && a == r.Last) {
			return true
		}
	}
	if !a.Is4() {
		return false
	}
	b := a.As4()
	small := slices.ContainsFunc(p.Ranges, func(r AddrRange) bool {
		return r.Contains(a) && (r.First == r.Last || r.First.Next() == r.Last)
	})
	return !small && (b[3] == 0 || b[3] == 255)
}

// Older orders pools by who was there first: by Created, then by name.
func (p *Pool) Older(o *Pool) int {
	return cmp.Or(p.Created.Compare(o.Created), strings.Compare(p.Name, o.Name))
}

// Matches tells whether a set of labels is selected.
func (s *Selector) Matches(labels map[string]string) bool {
	if s.Invalid {
		return false
	}
	for _, q := range s.Requirements {
		value, there := labels[q.Key]
		ok := there && (q.Op == Exists || slices.Contains(q.Values, value))
		if q.Op == NotIn || q.Op == DoesNotExist {
			ok = !there || q.Op == NotIn && !slices.Contains(q.Values, value)
		}
		if !ok {
			return false
		}
	}
	return true
}

// BalancerRanges are the ranges of load balancer addresses: those of --loadbalancer-ip-range, and those of AddressPools for Services, each as
// few blocks. The list is not to be changed.
func (m *Model) BalancerRanges() []netip.Prefix {
	if m.balancer != nil {
		return m.balancer
	}
	list := slices.Clone(m.Settings.Allocator.Ranges)
	for _, p := range m.PoolsByAge() {
		if !p.Balancer {
			continue
		}
		for _, r := range p.Ranges {
			list = append(list, r.Prefixes()...)
		}
	}
	m.balancer = list
	return list
}

// PoolsByAge are the AddressPools, the eldest first: of two that have one address it is the older's.
func (m *Model) PoolsByAge() []*Pool {
	list := make([]*Pool, 0, len(m.Pools))
	for _, p := range m.Pools {
		list = append(list, p)
	}
	slices.SortFunc(list, (*Pool).Older)
	return list
}

// Prefixes are the fewest blocks that make up the range, in order.
func (r AddrRange) Prefixes() []netip.Prefix {
	var list []netip.Prefix
	for a := r.First; a.IsValid() && a.Compare(r.Last) <= 0; {
		bits := a.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(a, bits-1)
			if wider.Masked().Addr() != a || RangeOf(wider).Last.Compare(r.Last) > 0 {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(a, bits)
		list = append(list, p)
		a = RangeOf(p).Last.Next()
	}
	return list
}
