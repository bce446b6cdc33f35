// Package balancer plans the addresses of LoadBalancer Services, between the model and intent.Balancer. What
// it plans is written by one node, the leader.
//
// An address is held by what the API says already (status) and by what was planned before but is not in the
// status yet; only then are new ones given. So no address is ever given twice, whoever leads.
package balancer

import (
	"fmt"
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Plan gives every Service that is ours its addresses. Planned tells what an earlier plan gave.
func Plan(m *model.Model, planned map[model.Name][]netip.Addr) ([]intent.Balancer, []model.Remark) {
	if !m.Settings.Balancer {
		return nil, nil
	}
	p := &pool{
		ranges: m.Settings.Allocator.Ranges, holders: map[netip.Addr][]*model.Service{}, used: map[netip.Addr]bool{},
		next: make([]netip.Addr, len(m.Settings.Allocator.Ranges)), nodeAt: m.NodeAt,
	}
	var ours []*model.Service
	for _, s := range sorted(m) {
		for _, a := range s.ExternalIPs {
			p.used[a] = true
		}
		if !mine(&m.Settings, s) {
			p.reserve(s)
			continue
		}
		ours = append(ours, s)
	}
	given := map[model.Name][]netip.Addr{}
	// What stands comes first, then what was planned, then what is asked for, then the rest.
	for _, round := range []func(*model.Service, model.Family) (netip.Addr, string){
		func(s *model.Service, f model.Family) (netip.Addr, string) { return p.keep(s, f, ingress(s)), "" },
		func(s *model.Service, f model.Family) (netip.Addr, string) { return p.keep(s, f, planned[s.Name]), "" },
		p.requested,
		p.free,
	} {
		for _, s := range ours {
			for _, f := range missing(&m.Settings, s, given[s.Name]) {
				if a, why := round(s, f); a.IsValid() {
					given[s.Name] = append(given[s.Name], a)
					p.holders[a] = append(p.holders[a], s)
				} else if why != "" {
					p.remark(s, why)
				}
			}
		}
	}
	for _, s := range ours {
		p.former(s, given[s.Name])
	}
	return p.intents(ours, given), p.remarks
}

// former tells a Service that addresses in its status are of no range any more. They leave it.
func (p *pool) former(s *model.Service, now []netip.Addr) {
	for _, a := range ingress(s) {
		if within(p.ranges, a) {
			continue
		}
		moves := "nothing takes its place"
		if i := slices.IndexFunc(now, func(b netip.Addr) bool { return model.FamilyOf(a) == model.FamilyOf(b) }); i >= 0 {
			moves = "the Service moves to " + now[i].String()
		}
		p.remark(s, fmt.Sprintf("%s is taken away, it is in no range of --loadbalancer-ip-range: %s", a, moves))
	}
}

// pool is the ranges with who holds which address.
type pool struct {
	ranges  []netip.Prefix
	next    []netip.Addr // of each range, before which nothing is free; not valid: nobody looked yet
	holders map[netip.Addr][]*model.Service
	used    map[netip.Addr]bool          // in spec.externalIPs: nothing to give, but no reason to take an address away
	nodeAt  func(netip.Addr) *model.Node // whose own address it is; given to a Service it would be nobody's way to the node
	remarks []model.Remark
}

func (p *pool) remark(s *model.Service, why string) {
	p.remarks = append(p.remarks, model.Remark{Object: s.Ref(), Field: "status.loadBalancer.ingress", Message: why})
}

// reserve holds the addresses of a Service that somebody else gave them to.
func (p *pool) reserve(s *model.Service) {
	for _, a := range ingress(s) {
		p.holders[a] = append(p.holders[a], s)
	}
}

// keep finds among addresses one of a family that the Service may go on having. The edges of a range are no
// reason to move a Service that kube-router v2 put there.
func (p *pool) keep(s *model.Service, f model.Family, addrs []netip.Addr) netip.Addr {
	for _, a := range addrs {
		if model.FamilyOf(a) != f || !within(p.ranges, a) || !p.shares(s, a) {
			continue
		}
		if want := asked(s, f); !want.IsValid() || want == a {
			return a
		}
	}
	return netip.Addr{}
}

// requested gives the address that the Service asks for.
func (p *pool) requested(s *model.Service, f model.Family) (netip.Addr, string) {
	a := asked(s, f)
	switch {
	case !a.IsValid():
		return a, ""
	case !p.contains(a):
		return netip.Addr{}, fmt.Sprintf("the requested address %s is in no range of --loadbalancer-ip-range", a)
	case p.nodeAt(a) != nil:
		return netip.Addr{}, fmt.Sprintf("the requested address %s is that of Node %s", a, p.nodeAt(a).Name)
	case !p.shares(s, a):
		return netip.Addr{}, fmt.Sprintf("the requested address %s belongs to Service %s", a, p.holders[a][0].Name)
	}
	return a, ""
}

// free gives the first address that nobody holds, or one that may be shared.
func (p *pool) free(s *model.Service, f model.Family) (netip.Addr, string) {
	if asked(s, f).IsValid() {
		return netip.Addr{}, "" // it waits for the one that it asked for
	}
	if a := p.shared(s, f); a.IsValid() {
		return a, ""
	}
	some := false
	for i, r := range p.ranges {
		if model.FamilyOf(r.Addr()) != f {
			continue
		}
		some = true
		// In a plan addresses are given and never taken back.
		if !p.next[i].IsValid() {
			p.next[i] = first(r)
		}
		for ; r.Contains(p.next[i]) && !edge(r, p.next[i]); p.next[i] = p.next[i].Next() {
			if a := p.next[i]; len(p.holders[a]) == 0 && !p.used[a] && p.nodeAt(a) == nil {
				return a, ""
			}
		}
	}
	if !some {
		return netip.Addr{}, fmt.Sprintf("no range of %s in --loadbalancer-ip-range", f)
	}
	return netip.Addr{}, fmt.Sprintf("every %s address of --loadbalancer-ip-range is in use", f)
}

// shared finds an address whose holders share by the same key.
func (p *pool) shared(s *model.Service, f model.Family) netip.Addr {
	var best netip.Addr
	if s.SharingKey == "" {
		return best
	}
	for a, list := range p.holders {
		if len(list) > 0 && model.FamilyOf(a) == f && p.contains(a) && p.shares(s, a) && (!best.IsValid() || a.Less(best)) {
			best = a
		}
	}
	return best
}

func within(ranges []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Contains(a) })
}

// contains tells whether an address is one to give.
func (p *pool) contains(a netip.Addr) bool {
	return slices.ContainsFunc(p.ranges, func(r netip.Prefix) bool {
		return r.Contains(a) && !edge(r, a) && !a.Less(first(r))
	})
}

// shares tells whether a Service may have an address beside those that hold it: they are of its namespace,
// have its sharing key, and none has one of its ports.
func (p *pool) shares(s *model.Service, a netip.Addr) bool {
	for _, other := range p.holders[a] {
		if other.Name == s.Name {
			continue
		}
		if s.SharingKey == "" || s.SharingKey != other.SharingKey || s.Name.Namespace != other.Name.Namespace || clash(s, other) {
			return false
		}
	}
	return true
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
func (p *pool) intents(ours []*model.Service, given map[model.Name][]netip.Addr) []intent.Balancer {
	var list []intent.Balancer
	for _, s := range ours {
		addrs := given[s.Name]
		if s.DualStack == "RequireDualStack" && len(addrs) == 1 {
			p.remark(s, "it requires both families and gets none: there is no address for one of them")
			continue
		}
		b := intent.Balancer{Namespace: s.Name.Namespace, Name: s.Name.Name}
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
