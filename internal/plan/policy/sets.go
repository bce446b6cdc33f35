package policy

import (
	"strings"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// acquire notes the sets that a policy in use needs, and gives those that are new.
func (p *Planner) acquire(c *compiled) []*set {
	var fresh []*set
	for _, d := range c.sets {
		s := p.sets[d.id]
		if s == nil {
			s = &set{setDef: d, members: map[model.Name]struct{}{}}
			p.sets[d.id] = s
			switch {
			case d.from.domain != "":
				p.domains.want(s)
			case d.from.nodes != nil:
				p.nodeSets[s] = struct{}{}
			default:
				p.members.add(d.from, s)
			}
			fresh = append(fresh, s)
		}
		s.users++
	}
	return fresh
}

// release forgets the sets that nobody needs any more.
func (p *Planner) release(c *compiled, add func(model.Ref)) {
	for _, d := range c.sets {
		s := p.sets[d.id]
		if s.users--; s.users > 0 {
			continue
		}
		delete(p.sets, d.id)
		add(goneRef(d.id))
		if d.from.domain != "" {
			p.domains.drop(s, add)
			continue
		}
		if d.from.nodes != nil {
			delete(p.nodeSets, s)
			p.eachNode(s, add)
			continue
		}
		p.members.remove(d.from, s)
		for name := range s.members {
			if st := p.pods[name]; st != nil {
				delete(st.sets, s)
				add(podRef(name))
				p.tidy(name, st)
			}
		}
	}
}

// fill finds the members of new sets; it tells whether there are any. However many sets there are, each pod is looked
// at once.
func (p *Planner) fill(fresh []*set, add func(model.Ref)) bool {
	some := false
	look, spaces, wide := newIndex[*set](), map[string]struct{}{}, false
	for _, s := range fresh {
		add(setRef(s.id))
		if s.from.domain != "" {
			some = p.domains.fill(p.model, s, add) || some
			continue
		}
		if s.from.nodes != nil {
			some = p.eachNode(s, add) || some
			continue
		}
		look.add(s.from, s)
		if s.from.namespaces == nil {
			spaces[s.from.scope] = struct{}{}
		} else {
			wide = true
		}
	}
	if wide {
		for namespace := range p.within {
			spaces[namespace] = struct{}{}
		}
	}
	for namespace := range spaces {
		some = p.fillFrom(look, namespace, add) || some
	}
	return some
}

// eachNode adds the nodes that a set selects; it tells whether there are any.
func (p *Planner) eachNode(s *set, add func(model.Ref)) bool {
	some := false
	for name, o := range p.model.Nodes {
		if selects(s.from.nodes, o.Labels) {
			add(nodeRef(name))
			some = true
		}
	}
	return some
}

func (p *Planner) fillFrom(look *index[*set], namespace string, add func(model.Ref)) bool {
	ns, some := p.model.Namespaces[namespace], false
	for name := range p.within[namespace] {
		o := p.model.Pods[name]
		if o == nil || !p.counts(o) {
			continue
		}
		joined := false
		look.candidates(namespace, ns, o.Labels, func(s *set) {
			if s.from.has(namespace, ns, o.Labels) {
				p.state(name).sets[s] = struct{}{}
				s.members[name] = struct{}{}
				joined = true
			}
		})
		if joined {
			add(podRef(name))
			some = true
		}
	}
	return some
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
