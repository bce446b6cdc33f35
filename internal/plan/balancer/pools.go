package balancer

import (
	"fmt"
	"net/netip"
	"strings"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// subnets are those of this node's links.
func subnets(m *model.Model) []model.AddrRange {
	var list []model.AddrRange
	for _, l := range m.Links {
		for _, p := range l.Addrs {
			if p.Addr().Is4() && p.Bits() < 31 {
				list = append(list, model.RangeOf(p))
			}
		}
	}
	return list
}

// scarce is the part of a pool, one in so many, below which its users are told.
const scarce = 10

// pools tell what each AddressPool has left, and remark on those that run short.
func (p *plan) pools() []intent.Pool {
	var list []intent.Pool
	for _, s := range p.spaces {
		if s.pool == nil {
			continue
		}
		o := intent.Pool{Name: s.pool.Name, Generation: s.pool.Generation}
		switch {
		case s.pool.Disabled:
			o.Idle = "it is disabled"
		case len(s.all) == 0:
			o.Idle = "it has no address"
		case len(s.spans) == 0:
			o.Idle = "all its addresses are excluded or belong to older pools"
		}
		if len(s.older) > 0 {
			o.Conflict = "some of its addresses belong to " + strings.Join(s.older, ", ") + ", which is older"
			p.warn(s, "spec.addresses", o.Conflict)
		}
		var exhausted []string
		for _, f := range []struct {
			family model.Family
			into   **intent.Usage
		}{{model.IPv4, &o.V4}, {model.IPv6, &o.V6}} {
			if !s.has(f.family) {
				continue
			}
			u := p.usage(s, f.family)
			*f.into = u
			switch {
			case o.Idle != "" || !s.pool.Balancer:
			case u.Available == 0:
				exhausted = append(exhausted, f.family.String())
				p.warn(s, "", fmt.Sprintf("no %s address is left", f.family))
			case u.Total >= scarce && u.Available <= u.Total/scarce:
				p.warn(s, "", fmt.Sprintf("less than a tenth of its %s addresses is left", f.family))
			}
		}
		o.Exhausted = strings.Join(exhausted, ", ")
		list = append(list, o)
	}
	return list
}

func (p *plan) warn(s *space, field, text string) {
	p.remarks = append(p.remarks, model.Remark{Object: s.pool.Ref(), Field: field, Message: text})
}

// usage counts the addresses of a family of a pool.
func (p *plan) usage(s *space, f model.Family) *intent.Usage {
	u := &intent.Usage{Total: s.total(f)}
	gone := map[netip.Addr]bool{}
	for a := range p.holders {
		if model.FamilyOf(a) == f && s.holds(a) {
			gone[a] = true
			u.Assigned++
		}
	}
	blocked := int64(0)
	for a := range gone {
		if !s.edge(a) {
			blocked++
		}
	}
	for _, a := range p.others(s, f) {
		if !gone[a] {
			gone[a] = true
			blocked++
		}
	}
	u.Available = max(0, u.Total-blocked)
	return u
}

// others are addresses of a pool that nobody gets because of who has them beside Services: nodes, spec.externalIPs, subnets.
func (p *plan) others(s *space, f model.Family) []netip.Addr {
	var list []netip.Addr
	add := func(a netip.Addr) {
		if a.IsValid() && model.FamilyOf(a) == f && s.holds(a) && !s.edge(a) {
			list = append(list, a)
		}
	}
	for a := range p.used {
		add(a)
	}
	for _, n := range p.model.Nodes {
		for _, a := range append(n.InternalIPs[:len(n.InternalIPs):len(n.InternalIPs)], n.ExternalIPs...) {
			add(a)
		}
	}
	for _, r := range p.subnets {
		add(r.First)
		add(r.Last)
	}
	return list
}
