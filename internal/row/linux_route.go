package row

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unique"
)

// ErrNoRoute is what the kernel says of a packet that it has no route for, or one that refuses it.
var ErrNoRoute = errors.New("no route")

// RouteKind is the type of a route (rtm_type).
type RouteKind uint8

// The kinds of routes that we make.
const (
	RouteUnicast RouteKind = iota
	RouteLocal
	RouteUnreachable
)

// String prints the type before the destination, as ip(8) does.
func (k RouteKind) String() string {
	switch k {
	case RouteUnicast:
		return ""
	case RouteLocal:
		return "local "
	case RouteUnreachable:
		return "unreachable "
	}
	return fmt.Sprintf("type-%d ", uint8(k))
}

// Route is a route of ours (protocol 17).
type Route struct {
	Table  Table
	Dst    netip.Prefix // masked
	Metric uint32       // 0: the kernel's default, which in IPv6 is 1024; don't write 1024 there
	Kind   RouteKind
	Hops   Hops       // of a unicast route; one hop with a device alone for a local route
	Src    netip.Addr // preferred source of the node's own packets; zero: the kernel chooses
	MTU    int        // 0: the link's
}

// Key is what the kernel tells routes apart by: table, destination, metric.
func (r Route) Key() LinuxKey {
	return LinuxKey{Kind: LinuxRoute, Table: r.Table, Net: r.Dst, Num: r.Metric}
}

// String prints the route as ip(8) does.
func (r Route) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "route %s%s", r.Kind, single(r.Dst))
	if list := r.Hops.List(); len(list) == 1 {
		b.WriteString(" " + list[0].String())
	}
	if r.Table != TableMain {
		fmt.Fprintf(&b, " table %s", r.Table)
	}
	fmt.Fprintf(&b, " proto %d", RouteProtocol)
	if r.Src.IsValid() {
		fmt.Fprintf(&b, " src %s", r.Src)
	}
	if r.Metric > 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	if r.MTU > 0 {
		fmt.Fprintf(&b, " mtu %d", r.MTU)
	}
	if list := r.Hops.List(); len(list) > 1 {
		for _, h := range list {
			b.WriteString(" nexthop " + h.String())
		}
	}
	return b.String()
}

// Hop is one next hop.
type Hop struct {
	Via    netip.Addr // zero: the destination is on the link
	Dev    string
	Onlink bool // Via need not be in a subnet of the link
}

// String prints "via 10.0.0.2 dev eth0 onlink".
func (h Hop) String() string {
	s := "dev " + h.Dev
	if h.Via.IsValid() {
		s = "via " + h.Via.String() + " " + s
	}
	if h.Onlink {
		s += " onlink"
	}
	return s
}

// Compare orders hops by address, then link.
func (h Hop) Compare(o Hop) int {
	return cmp.Or(h.Via.Compare(o.Via), strings.Compare(h.Dev, o.Dev))
}

// MaxHops bounds the equal-cost next hops of one route.
const MaxHops = 16

// Hops are the next hops of a route in canonical order. Equal lists share one copy.
type Hops struct {
	h unique.Handle[[MaxHops]Hop]
}

// MakeHops makes a list of next hops, sorted and without duplicates. Of more than MaxHops the first count.
func MakeHops(hops ...Hop) Hops {
	hops = slices.Clone(hops)
	slices.SortFunc(hops, Hop.Compare)
	var a [MaxHops]Hop
	if copy(a[:], slices.Compact(hops)) == 0 {
		return Hops{}
	}
	return Hops{unique.Make(a)}
}

// List are the hops in order.
func (h Hops) List() []Hop {
	if h == (Hops{}) {
		return nil
	}
	a := h.h.Value()
	n := slices.Index(a[:], Hop{})
	if n < 0 {
		n = MaxHops
	}
	return a[:n]
}

// Rule is a rule of ours (FRA_PROTOCOL 17): packets that match look up Table.
type Rule struct {
	Priority uint32
	V6       bool
	Src      netip.Prefix // zero: all
	Mark     uint32       // with Mask; 0: any
	Mask     uint32
	Table    Table
}

// The priorities of our rules, as in the reference; the last is the one its unnumbered rules get.
const (
	RuleDSR      = 32764
	RuleExternal = 32765
	RulePods     = 32763
	RuleEgress   = 32761 // ours: before the tunnels of RulePods
)

// Key is the whole rule, since to the kernel a rule with another table is another rule.
func (r Rule) Key() LinuxKey {
	return LinuxKey{Kind: LinuxRule, Num: r.Priority, Net: r.Src, Table: r.Table, Mark: r.Mark, V6: r.V6}
}

// String prints the rule as ip(8) does.
func (r Rule) String() string { return fmt.Sprintf("%s proto %d", r.selector(), RouteProtocol) }

func (r Rule) selector() string {
	from, family := "all", ""
	if r.Src.IsValid() {
		from = single(r.Src)
	}
	if r.V6 {
		family = "-6 "
	}
	s := fmt.Sprintf("rule %s%d: from %s", family, r.Priority, from)
	if r.Mark != 0 {
		s += fmt.Sprintf(" fwmark 0x%x", r.Mark)
	}
	if r.Mask != 0 {
		s += fmt.Sprintf("/0x%x", r.Mask)
	}
	return fmt.Sprintf("%s lookup %s", s, r.Table)
}
