// Package balancer plans the addresses of LoadBalancer Services, between the model and intent.Balancer. What
// it plans is written by one node, the leader.
//
// An address is held by what the API says already (status) and by what was planned before but is not in the
// status yet; only then are new ones given. So no address is ever given twice, whoever leads. Who writes the status sees to it that
// one who loses an address has lost it before another gets it.
package balancer

import (
	"fmt"
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Plan gives every Service that is ours its addresses, and tells of each AddressPool what it has left. Planned tells what an earlier plan gave.
func Plan(m *model.Model, planned map[model.Name][]netip.Addr) ([]intent.Balancer, []intent.Pool, []model.Remark) {
	if !m.Settings.Balancer {
		return nil, nil, nil
	}
	p := &plan{
		model: m, spaces: spaces(m), holders: map[netip.Addr][]*model.Service{}, used: map[netip.Addr]bool{},
		given: map[model.Name][]netip.Addr{}, subnets: subnets(m),
	}
	for _, s := range sorted(m) {
		for _, a := range s.ExternalIPs {
			p.used[a] = true
		}
		if !mine(&m.Settings, s) {
			p.reserve(s)
			continue
		}
		p.ours = append(p.ours, s)
	}
	// What stands comes first, then what was planned, then what is asked for, then the rest.
	p.round(func(s *model.Service, f model.Family) (netip.Addr, string) { return p.keep(s, f, ingress(s)), "" })
	p.round(func(s *model.Service, f model.Family) (netip.Addr, string) { return p.keep(s, f, planned[s.Name]), "" })
	p.round(p.requested)
	p.round(p.free)
	for _, s := range p.ours {
		p.former(s, p.given[s.Name])
	}
	list := p.intents()
	return list, p.pools(), p.remarks
}

// plan is the pools with who holds which address.
type plan struct {
	model   *model.Model
	spaces  []*space
	ours    []*model.Service
	given   map[model.Name][]netip.Addr
	holders map[netip.Addr][]*model.Service
	used    map[netip.Addr]bool // in spec.externalIPs: nothing to give, but no reason to take an address away
	subnets []model.AddrRange   // of this node's links, whose ends are nobody's
	remarks []model.Remark
}

// round gives every Service what a way of choosing finds for each family in which it has nothing yet.
func (p *plan) round(choose func(*model.Service, model.Family) (netip.Addr, string)) {
	for _, s := range p.ours {
		for _, f := range missing(&p.model.Settings, s, p.given[s.Name]) {
			if a, why := choose(s, f); a.IsValid() {
				p.given[s.Name] = append(p.given[s.Name], a)
				p.holders[a] = append(p.holders[a], s)
			} else if why != "" {
				p.remark(s, why)
			}
		}
	}
}

func (p *plan) remark(s *model.Service, why string) {
	p.remarks = append(p.remarks, model.Remark{Object: s.Ref(), Field: "status.loadBalancer.ingress", Message: why})
}

// reserve holds the addresses of a Service that somebody else gave them to.
func (p *plan) reserve(s *model.Service) {
	for _, a := range ingress(s) {
		p.holders[a] = append(p.holders[a], s)
	}
}

// former tells a Service that addresses in its status are no longer for it. They leave it.
func (p *plan) former(s *model.Service, now []netip.Addr) {
	for _, a := range ingress(s) {
		in := p.spaceOf(a)
		why := ""
		switch {
		case in == nil || in.pool == nil && s.Pool != "":
			why = "it is in no range of --loadbalancer-ip-range"
			if len(p.model.Pools) > 0 {
				why = "it is in no AddressPool that the Service may have an address of"
			}
		case !in.admits(p.model, s):
			why = in.name() + " does not select the Service"
		case in.pool != nil && slices.ContainsFunc(in.pool.Exclude, func(r model.AddrRange) bool { return r.Contains(a) }):
			why = in.name() + " excludes it"
		default:
			continue
		}
		moves := "nothing takes its place"
		if i := slices.IndexFunc(now, func(b netip.Addr) bool { return model.FamilyOf(a) == model.FamilyOf(b) }); i >= 0 {
			moves = "the Service moves to " + now[i].String()
		}
		p.remark(s, fmt.Sprintf("%s is taken away, %s: %s", a, why, moves))
	}
}

// spaceOf is the pool that an address belongs to, or nil.
func (p *plan) spaceOf(a netip.Addr) *space {
	for _, s := range p.spaces {
		if s.holds(a) {
			return s
		}
	}
	return nil
}

// keep finds among addresses one of a family that the Service may go on having. The edges of a range, and that a pool gives nothing more, are no
// reason to move a Service that is there.
func (p *plan) keep(s *model.Service, f model.Family, addrs []netip.Addr) netip.Addr {
	for _, a := range addrs {
		if model.FamilyOf(a) != f || !p.shares(s, a) {
			continue
		}
		if in := p.spaceOf(a); in == nil || !in.admits(p.model, s) {
			continue
		}
		if want := asked(s, f); !want.IsValid() || want == a {
			return a
		}
	}
	return netip.Addr{}
}

// requested gives the address that the Service asks for.
func (p *plan) requested(s *model.Service, f model.Family) (netip.Addr, string) {
	a := asked(s, f)
	if !a.IsValid() {
		return a, ""
	}
	in := p.spaceOf(a)
	why := ""
	switch {
	case in == nil || in.pool == nil && in.edge(a):
		why = "is in no range of --loadbalancer-ip-range"
		if len(p.model.Pools) > 0 {
			why = "is in no AddressPool"
		}
	case !in.gives() || !in.admits(p.model, s):
		why = "belongs to " + in.name() + ", which is not for this Service"
	case in.edge(a):
		why = "is one that " + in.name() + " avoids (spec.avoidEdges)"
	case p.model.NodeAt(a) != nil:
		why = "is that of Node " + p.model.NodeAt(a).Name
	case !p.shares(s, a):
		why = "belongs to Service " + p.holder(a, s).String()
	default:
		return a, ""
	}
	return netip.Addr{}, fmt.Sprintf("the requested address %s %s", a, why)
}

// free gives the first address that nobody holds, or one that may be shared.
func (p *plan) free(s *model.Service, f model.Family) (netip.Addr, string) {
	if asked(s, f).IsValid() {
		return netip.Addr{}, "" // it waits for the one that it asked for
	}
	if a := p.shared(s, f); a.IsValid() {
		return a, ""
	}
	some := false
	for _, in := range p.spaces {
		if !in.gives() || !in.has(f) || !in.admits(p.model, s) || in.pool != nil && !in.pool.AutoAssign && s.Pool != in.pool.Name {
			continue
		}
		some = true
		if a := p.next(in, f); a.IsValid() {
			return a, ""
		}
	}
	switch {
	case s.Pool != "" && p.model.Pools[s.Pool] == nil:
		return netip.Addr{}, "there is no AddressPool " + s.Pool
	case !some && len(p.model.Pools) > 0:
		return netip.Addr{}, fmt.Sprintf("no AddressPool with %s addresses is for this Service", f)
	case !some:
		return netip.Addr{}, fmt.Sprintf("no range of %s in --loadbalancer-ip-range", f)
	case len(p.model.Pools) > 0:
		return netip.Addr{}, fmt.Sprintf("every %s address that is for this Service is in use", f)
	}
	return netip.Addr{}, fmt.Sprintf("every %s address of --loadbalancer-ip-range is in use", f)
}

// next is the first address of a pool that nobody has. In a plan addresses are given and never taken back, so what was passed over once is
// never looked at again.
func (p *plan) next(in *space, f model.Family) netip.Addr {
	for i := range in.spans {
		r := &in.spans[i]
		if r.Family() != f {
			continue
		}
		for ; r.next.IsValid() && r.Contains(r.next); r.next = r.next.Next() {
			if !p.taken(r.next) && !in.edge(r.next) {
				return r.next
			}
		}
	}
	return netip.Addr{}
}

// taken tells whether an address is somebody's, or nobody's to have.
func (p *plan) taken(a netip.Addr) bool {
	return len(p.holders[a]) > 0 || p.used[a] || p.model.NodeAt(a) != nil ||
		slices.ContainsFunc(p.subnets, func(r model.AddrRange) bool { return a == r.First || a == r.Last })
}

// shared finds an address whose holders share by the same key.
func (p *plan) shared(s *model.Service, f model.Family) netip.Addr {
	var best netip.Addr
	if s.SharingKey == "" {
		return best
	}
	for a, list := range p.holders {
		if len(list) == 0 || model.FamilyOf(a) != f || !p.shares(s, a) || best.IsValid() && !a.Less(best) {
			continue
		}
		if in := p.spaceOf(a); in != nil && in.gives() && in.admits(p.model, s) && !in.edge(a) {
			best = a
		}
	}
	return best
}

// shares tells whether a Service may have an address beside those that hold it: they are of its namespace,
// have its sharing key, and none has one of its ports.
func (p *plan) shares(s *model.Service, a netip.Addr) bool {
	return !slices.ContainsFunc(p.holders[a], func(o *model.Service) bool {
		return o.Name != s.Name && (s.SharingKey == "" || s.SharingKey != o.SharingKey || s.Name.Namespace != o.Name.Namespace || clash(s, o))
	})
}

// holder is a Service that has an address which another wants.
func (p *plan) holder(a netip.Addr, not *model.Service) model.Name {
	for _, s := range p.holders[a] {
		if s.Name != not.Name {
			return s.Name
		}
	}
	return not.Name
}

func clash(a, b *model.Service) bool {
	for _, p := range a.Ports {
		for _, q := range b.Ports {
			if p.Port == q.Port && p.Protocol == q.Protocol {
				return true
			}
		}
	}
	return false
}

// intents are the addresses given, but none to a Service that requires two and got one.
func (p *plan) intents() []intent.Balancer {
	var list []intent.Balancer
	for _, s := range p.ours {
		addrs := p.given[s.Name]
		if s.DualStack == "RequireDualStack" && len(addrs) == 1 {
			p.remark(s, "it requires both families and gets none: there is no address for one of them")
			continue
		}
		b := intent.Balancer{Namespace: s.Name.Namespace, Name: s.Name.Name, UID: s.UID, Shares: s.SharingKey != ""}
		for _, a := range addrs {
			if a.Is4() {
				b.V4 = a
			} else {
				b.V6 = a
			}
		}
		if len(addrs) > 0 {
			list = append(list, b)
		}
	}
	return list
}
