package balancer

import (
	"cmp"
	"math"
	"math/bits"
	"net/netip"
	"slices"

	"kube-router/internal/model"
)

// flags is the name of the pool that --loadbalancer-ip-range makes.
const flags = "--loadbalancer-ip-range"

// space is one pool with what it may give.
type space struct {
	pool  *model.Pool // nil: that of the flags
	spans []span      // disjoint, in the order of the spec; without exceptions and without what older pools have
	all   []model.AddrRange
	older []string // pools that have some of its addresses
}

// span is a closed range of addresses to give, and from where on something may be free in it.
type span struct {
	model.AddrRange
	next netip.Addr
}

// spaces are all pools, in the order in which addresses are given from them: by priority, then the older; the flags' comes last. Pools that
// are not for Services are among them, since they keep addresses from others, and give none.
func spaces(m *model.Model) []*space {
	var elders, list []*space
	for _, p := range m.PoolsByAge() {
		s := &space{pool: p, all: p.Ranges}
		s.cut(p.Ranges, p.Exclude, elders)
		elders = append(elders, s)
	}
	list = slices.Clone(elders)
	slices.SortStableFunc(list, func(a, b *space) int { return cmp.Compare(a.pool.Priority, b.pool.Priority) })
	s := &space{}
	for _, r := range m.Settings.Allocator.Ranges {
		s.all = append(s.all, model.RangeOf(r))
	}
	s.cut(s.all, nil, elders)
	return append(list, s)
}

// cut makes the spans.
func (s *space) cut(ranges, exclude []model.AddrRange, elders []*space) {
	rest := slices.Clone(ranges)
	for _, x := range exclude {
		rest = without(rest, x)
	}
	for _, e := range elders {
		for _, x := range e.all {
			if slices.ContainsFunc(rest, x.Overlaps) && !slices.Contains(s.older, e.pool.Name) {
				s.older = append(s.older, e.pool.Name)
			}
			rest = without(rest, x)
		}
	}
	for _, r := range rest {
		s.spans = append(s.spans, span{r, r.First})
	}
}

// without takes one range out of others.
func without(list []model.AddrRange, x model.AddrRange) []model.AddrRange {
	var rest []model.AddrRange
	for _, r := range list {
		if !r.Overlaps(x) {
			rest = append(rest, r)
			continue
		}
		if r.First.Less(x.First) {
			rest = append(rest, model.AddrRange{First: r.First, Last: x.First.Prev()})
		}
		if x.Last.Less(r.Last) {
			rest = append(rest, model.AddrRange{First: x.Last.Next(), Last: r.Last})
		}
	}
	return rest
}

func (s *space) name() string {
	if s.pool == nil {
		return flags
	}
	return "AddressPool " + s.pool.Name
}

// gives tells whether the pool has addresses for Services at all.
func (s *space) gives() bool { return s.pool == nil || s.pool.Balancer && !s.pool.Disabled }

// holds tells whether an address is the pool's, be it one to give or not.
func (s *space) holds(a netip.Addr) bool {
	return slices.ContainsFunc(s.spans, func(r span) bool { return r.Contains(a) })
}

// edge tells whether an address of the pool is one that some hosts take for a network's own or its broadcast address. In the flags' ranges
// those are the ends of each (RFC 1812, section 4.2.2.11; RFC 4291, section 2.6.1), but of ranges too short to have one.
func (s *space) edge(a netip.Addr) bool {
	if s.pool != nil {
		return !s.pool.Has(a)
	}
	for _, r := range s.all {
		if r.Contains(a) && !short(r) {
			return a == r.First || a.Is4() && a == r.Last
		}
	}
	return false
}

// admits tells whether a Service may have an address of the pool.
func (s *space) admits(m *model.Model, o *model.Service) bool {
	if o.Pool != "" && (s.pool == nil || s.pool.Name != o.Pool) {
		return false
	}
	if s.pool == nil {
		return true
	}
	if !s.pool.Balancer || !s.pool.Services.Matches(o.Labels) {
		return false
	}
	if len(s.pool.Namespaces.Requirements) == 0 && !s.pool.Namespaces.Invalid {
		return true
	}
	ns := m.Namespaces[o.Name.Namespace]
	return ns != nil && s.pool.Namespaces.Matches(ns.Labels)
}

// has tells whether the pool has addresses of a family.
func (s *space) has(f model.Family) bool {
	return slices.ContainsFunc(s.all, func(r model.AddrRange) bool { return r.Family() == f })
}

// total counts the addresses that the pool may give in a family.
func (s *space) total(f model.Family) int64 {
	var n uint64
	for _, r := range s.spans {
		if r.Family() == f {
			n = saturated(n, size(r.AddrRange)-s.edges(r.AddrRange))
		}
	}
	return int64(min(n, math.MaxInt64))
}

// size is how many addresses a range has, or the largest number.
func size(r model.AddrRange) uint64 {
	a, b := r.First.As16(), r.Last.As16()
	high := be64(b[:8]) - be64(a[:8])
	low, borrow := bits.Sub64(be64(b[8:]), be64(a[8:]), 0)
	if high-borrow > 0 || low == math.MaxUint64 {
		return math.MaxUint64
	}
	return low + 1
}

func be64(b []byte) uint64 {
	var n uint64
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return n
}

func saturated(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// edges counts those addresses of a part of the pool that edge tells of.
func (s *space) edges(r model.AddrRange) uint64 {
	if s.pool != nil && !s.pool.AvoidEdges {
		return 0
	}
	var n uint64
	octets := s.pool != nil && r.First.Is4()
	if octets {
		first, last := r.First.As4(), r.Last.As4()
		from, to := be64(first[:]), be64(last[:])
		n = to/256 + 1 - (from+255)/256 + (to+1)/256 - from/256
	}
	for _, w := range s.all {
		ends := []netip.Addr{w.First, w.Last}
		if w.First == w.Last {
			ends = ends[:1]
		}
		for i, a := range ends {
			if b := a.As16(); r.Contains(a) {
				counted := octets && (b[15] == 0 || b[15] == 255)
				switch {
				case counted && short(w):
					n--
				case !counted && !short(w) && w.CIDR && (i == 0 || a.Is4()):
					n++
				}
			}
		}
	}
	return n
}

// short tells whether a range has no address between its ends.
func short(r model.AddrRange) bool { return r.First == r.Last || r.First.Next() == r.Last }
