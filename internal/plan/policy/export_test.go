package policy

import (
	"fmt"
	"slices"

	"kube-router/internal/model"
)

// Check fails when the index contradicts itself.
func (p *Planner) Check() error {
	use := map[*set]int{}
	targets := map[*compiled]int{}
	for name, s := range p.pods {
		for _, c := range s.policies {
			targets[c]++
			if p.policies[c.ref.Name] != c && p.cluster[c.ref.Name.Name] != c && !slices.Contains(p.shut[:], c) {
				return fmt.Errorf("%s has %s, which is no more", name, c.ref)
			}
		}
		for one := range s.sets {
			if p.sets[one.id] != one {
				return fmt.Errorf("%s is in %s, which is no more", name, one.from)
			}
			if _, ok := one.members[name]; !ok {
				return fmt.Errorf("%s is in %s, which doesn't know it", name, one.from)
			}
		}
	}
	for _, c := range p.host.policies {
		targets[c]++
	}
	for c, n := range targets {
		if c.targets != n {
			return fmt.Errorf("%s counts %d targets, has %d", c.ref, c.targets, n)
		}
		for _, d := range c.sets {
			use[p.sets[d.id]]++
		}
	}
	for name, o := range p.model.Domains {
		for _, a := range o.Addrs {
			if _, ok := p.domains.at[a][name]; !ok && p.warm {
				return fmt.Errorf("%s is not known by %s", name, a)
			}
		}
		for _, s := range p.domains.sets {
			if _, ok := s.members[model.Name{Name: name}]; ok != model.DomainMatches(s.from.domain, name) {
				return fmt.Errorf("%s in %s: %t", name, s.from, ok)
			}
		}
	}
	for _, s := range p.sets {
		if s.users != use[s] {
			return fmt.Errorf("%s counts %d users, has %d", s.from, s.users, use[s])
		}
		for name := range s.members {
			if s.from.domain != "" {
				if p.model.Domains[name.Name] == nil || !model.DomainMatches(s.from.domain, name.Name) {
					return fmt.Errorf("%s has member %s", s.from, name)
				}
				continue
			}
			if p.pods[name] == nil {
				return fmt.Errorf("%s has member %s without state", s.from, name)
			}
		}
	}
	return nil
}
