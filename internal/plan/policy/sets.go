package policy

import (
	"slices"
	"strings"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// acquire makes the sets that a policy in use needs.
func (p *Planner) acquire(c *compiled, add func(model.Ref)) {
	for _, d := range c.sets {
		s := p.sets[d.id]
		if s == nil {
			s = &set{setDef: d, members: map[model.Name]struct{}{}}
			p.sets[d.id] = s
			p.members.add(d.from, s)
			add(setRef(d.id))
			if p.warm {
				p.fill(s, add)
			}
		}
		s.users++
	}
}

// release forgets the sets that nobody needs any more.
func (p *Planner) release(c *compiled, add func(model.Ref)) {
	for _, d := range c.sets {
		s := p.sets[d.id]
		if s.users--; s.users > 0 {
			continue
		}
		delete(p.sets, d.id)
		add(setRef(d.id))
		p.members.remove(d.from, s)
		for name := range s.members {
			if st := p.pods[name]; st != nil {
				st.sets = slices.DeleteFunc(st.sets, func(o *set) bool { return o == s })
				add(podRef(name))
			}
		}
	}
}

// fill finds the members of a new set in the namespaces that it looks at.
func (p *Planner) fill(s *set, add func(model.Ref)) {
	if s.from.namespaces == nil {
		p.fillFrom(s, s.from.scope, add)
		return
	}
	for namespace := range p.within {
		if ns := p.model.Namespaces[namespace]; ns != nil && selects(s.from.namespaces, ns.Labels) {
			p.fillFrom(s, namespace, add)
		}
	}
}

func (p *Planner) fillFrom(s *set, namespace string, add func(model.Ref)) {
	for name := range p.within[namespace] {
		o := p.model.Pods[name]
		if o == nil || !p.counts(o) || s.from.pods != nil && !selects(s.from.pods, o.Labels) {
			continue
		}
		st := p.state(name)
		st.sets = append(st.sets, s)
		slices.SortFunc(st.sets, func(a, b *set) int { return a.id.Compare(b.id) })
		s.members[name] = struct{}{}
		add(podRef(name))
	}
}

// Set gives the set of a unit, or nil when nobody needs it.
func (p *Planner) Set(u model.Ref) *intent.PeerSet {
	hash, named := strings.CutPrefix(u.Name.Name, "named-")
	id := intent.SetID{Hash: strings.TrimPrefix(hash, "peer-"), Named: named}
	s := p.sets[id]
	if s == nil {
		return nil
	}
	text := s.from.String()
	if s.port != "" {
		text += " at their port " + s.port + "/" + s.protocol.String()
	}
	return &intent.PeerSet{ID: id, Text: text}
}
