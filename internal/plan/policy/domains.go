package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// domains are the sets whose members are domain names, by their patterns: an answer finds its sets by what its name ends with,
// however many there are.
type domains struct {
	sets map[string]*set
	at   map[netip.Addr]map[string]struct{} // the domain names that stand for an address, or have

	changes uint64 // of sets
}

func newDomains(changes uint64) domains {
	return domains{sets: map[string]*set{}, at: map[netip.Addr]map[string]struct{}{}, changes: changes}
}

func domainRef(name string) model.Ref {
	return model.Ref{Kind: model.KindDomain, Name: model.Name{Name: name}}
}

func resolversRef() model.Ref { return model.Ref{Kind: KindResolvers} }

func (c *compiled) named() bool { return c.domains }

// want takes a set in.
func (d *domains) want(s *set) {
	d.changes++
	d.sets[s.from.domain] = s
}

// drop takes one out, whose members are planned anew.
func (d *domains) drop(s *set, add func(model.Ref)) {
	d.changes++
	delete(d.sets, s.from.domain)
	add(resolversRef())
	for name := range s.members {
		add(domainRef(name.Name))
	}
}

// fill finds the members of a new set; it tells whether there are any. A pattern that wasn't wanted before is rare, so all names are
// looked at.
func (d *domains) fill(m *model.Model, s *set, add func(model.Ref)) bool {
	add(resolversRef())
	some := false
	join := func(name string) {
		if m.Domains[name] != nil {
			s.members[model.Name{Name: name}] = struct{}{}
			add(domainRef(name))
			some = true
		}
	}
	if !strings.HasPrefix(s.from.domain, "*") {
		join(s.from.domain)
		return some
	}
	for name := range m.Domains {
		if model.DomainMatches(s.from.domain, name) {
			join(name)
		}
	}
	return some
}

// put indexes what a name stands for.
func (d *domains) put(o *model.Domain) {
	for _, a := range slices.Concat(o.Addrs, o.Lapsed) {
		if d.at[a] == nil {
			d.at[a] = map[string]struct{}{}
		}
		d.at[a][o.Name] = struct{}{}
	}
	d.each(o.Name, func(s *set) { s.members[model.Name{Name: o.Name}] = struct{}{} })
}

func (d *domains) forget(o *model.Domain) {
	for _, a := range slices.Concat(o.Addrs, o.Lapsed) {
		delete(d.at[a], o.Name)
		if len(d.at[a]) == 0 {
			delete(d.at, a)
		}
	}
	d.each(o.Name, func(s *set) { delete(s.members, model.Name{Name: o.Name}) })
}

// each calls f with the sets that a name is in.
func (d *domains) each(name string, f func(*set)) {
	if len(d.sets) == 0 {
		return
	}
	model.DomainPatterns(name, func(pattern string) {
		if s := d.sets[pattern]; s != nil {
			f(s)
		}
	})
}

// named tells whether any of the patterns is about a name that stands for an address; for a flow that stands, or has.
func (d *domains) named(m *model.Model, patterns []string, a netip.Addr, stands bool) bool {
	for name := range d.at[a] {
		o := m.Domains[name]
		if o == nil || Barred(m, name, a) != "" || !slices.ContainsFunc(patterns, func(p string) bool { return model.DomainMatches(p, name) }) {
			continue
		}
		if slices.Contains(o.Addrs, a) || stands && slices.Contains(o.Lapsed, a) {
			return true
		}
	}
	return false
}

// noteDomain keeps the index.
func (p *Planner) noteDomain(old, new model.Object, add func(model.Ref)) {
	if o, ok := old.(*model.Domain); ok {
		p.domains.forget(o)
		add(o.Ref())
	}
	if o, ok := new.(*model.Domain); ok {
		p.domains.put(o)
		add(o.Ref())
	}
}

// noteHolder plans the names anew that stand for an address of a pod or a node that comes or goes: they don't open it.
func (p *Planner) noteHolder(o model.Object, add func(model.Ref)) {
	if len(p.domains.at) == 0 {
		return
	}
	var addrs []netip.Addr
	switch o := o.(type) {
	case *model.Pod:
		addrs = o.Addrs
	case *model.Node:
		addrs = slices.Concat(o.InternalIPs, o.ExternalIPs)
	}
	for _, a := range addrs {
		for name := range p.domains.at[a] {
			add(domainRef(name))
		}
	}
}

// noteResolver plans anew whose answers count, when a Service of theirs changed.
func (p *Planner) noteResolver(o model.Object, add func(model.Ref)) {
	if len(p.domains.sets) == 0 {
		return
	}
	switch o := o.(type) {
	case *model.Service:
		if resolves(&p.model.Settings, o) {
			add(resolversRef())
		}
	case *model.Slice:
		if s := p.model.Services[o.Service]; s != nil && resolves(&p.model.Settings, s) {
			add(resolversRef())
		}
	}
}

// Barred tells why no rule is about an address though a name stands for it; empty: none is. Whoever owns a name that a rule accepts says what
// it stands for, and must not open with that what others meant to be judged by who it is.
func Barred(m *model.Model, name string, a netip.Addr) string {
	for range m.NodesAt(a) {
		return "a node's address"
	}
	if d := m.Settings.Policy.Names.Domain; d != "" && strings.HasSuffix(name, "."+d) {
		return ""
	}
	for _, o := range m.PodsAt(a) {
		if !o.HostNetwork && !o.Finished {
			return "a pod's address, and the name is not of the cluster"
		}
	}
	return ""
}

// Domain gives the sets of peers that a domain name is in, or nil.
func (p *Planner) Domain(name string) *intent.Membership {
	o := p.model.Domains[name]
	if o == nil {
		return nil
	}
	m := &intent.Membership{Pod: "domain " + name}
	p.domains.each(name, func(s *set) { m.Sets = append(m.Sets, s.id) })
	if len(m.Sets) == 0 {
		return nil
	}
	for _, a := range o.Addrs {
		if p.model.Settings.Has(model.FamilyOf(a)) && Barred(p.model, name, a) == "" {
			m.Addrs = append(m.Addrs, a)
		}
	}
	if len(m.Addrs) == 0 {
		return nil
	}
	slices.SortFunc(m.Sets, intent.SetID.Compare)
	return m
}

// Patterns are those that policies of this node's pods name domains by, in order.
func (p *Planner) Patterns() []string {
	list := make([]string, 0, len(p.domains.sets))
	for pattern := range p.domains.sets {
		list = append(list, pattern)
	}
	slices.Sort(list)
	return list
}

// PatternChanges grows whenever Patterns are others.
func (p *Planner) PatternChanges() uint64 { return p.domains.changes }

// Domains are the names that stand for an address now, in order.
func (p *Planner) Domains(a netip.Addr) []string {
	var list []string
	for name := range p.domains.at[a] {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// resolves tells whether the answers of a Service's endpoints count: it is the cluster's DNS, as every installation labels it, or was
// named by a flag.
func resolves(s *model.Settings, o *model.Service) bool {
	return o.Name.Namespace == "kube-system" && o.Labels["k8s-app"] == "kube-dns" || slices.Contains(s.Policy.Names.Services, o.Name)
}

const dnsPort = 53

// Resolvers are those whose answers tell what domain names stand for; nil while no pod's policies name any. A Service of theirs counts
// by its addresses and by its endpoints', for some are asked past it.
func (p *Planner) Resolvers() *intent.Resolvers {
	m := p.model
	if len(p.domains.sets) == 0 {
		return nil
	}
	r := &intent.Resolvers{V4: m.Settings.IPv4, V6: m.Settings.IPv6, ByTarget: m.Settings.Policy.Names.ByTarget}
	enter := func(a netip.Addr, proto model.Protocol, port model.Port) {
		if m.Settings.Has(model.FamilyOf(a)) && (proto == model.UDP || proto == model.TCP) {
			r.At = append(r.At, intent.Resolver{Addr: a, Protocol: uint8(proto), Port: uint16(port)})
		}
	}
	for _, a := range m.Settings.Policy.Names.Resolvers {
		enter(a, model.UDP, dnsPort)
		enter(a, model.TCP, dnsPort)
	}
	for _, s := range m.Services {
		if !resolves(&m.Settings, s) {
			continue
		}
		for _, port := range s.Ports {
			if port.Port != dnsPort {
				continue
			}
			for _, a := range s.Addrs() {
				enter(a, port.Protocol, port.Port)
			}
			for _, slice := range m.SlicesOf(s.Name) {
				endpoints(slice, port, enter)
			}
		}
	}
	slices.SortFunc(r.At, func(a, b intent.Resolver) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	})
	r.At = slices.Compact(r.At)
	return r
}

// endpoints enters those of a slice that answer at a port of its Service.
func endpoints(s *model.Slice, port model.ServicePort, enter func(netip.Addr, model.Protocol, model.Port)) {
	for _, at := range s.Ports {
		if at.Name != port.Name || at.Protocol != port.Protocol {
			continue
		}
		for _, e := range s.Endpoints {
			for _, a := range e.Addrs {
				enter(a, at.Protocol, at.Port)
			}
		}
	}
}
