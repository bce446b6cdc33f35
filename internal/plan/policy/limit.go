package policy

import (
	"fmt"
	"math"
	"slices"

	"kube-router/internal/model"
)

// The bounds of what one pod's list is made of, lest one tenant's keep the others waiting. A part is a block, an exception,
// a port, or a selector.
const (
	mostPolicies = 2000
	mostParts    = 20_000
)

// size is how many parts a policy has.
func (c *compiled) size() int {
	n := 1
	for _, s := range c.sides {
		if s == nil {
			continue
		}
		for _, m := range s.matches {
			n += 1 + len(m.Block) + len(m.Ports)
		}
		n += len(s.named)
	}
	return n
}

// limited are policies in the bounds of one pod, the first by name, in the order in which they were compiled, and the others.
// Those isolate the pod all the same, and allow nothing there.
func (p *Planner) limited(list []*compiled) (now, beyond []*compiled) {
	sum := 0
	for _, c := range list {
		sum += c.parts
	}
	if len(list) <= mostPolicies && sum <= mostParts {
		return list, nil
	}
	if slices.Equal(list, p.crowd.list) {
		return p.crowd.now, p.crowd.beyond
	}
	named := slices.Clone(list)
	slices.SortFunc(named, byName)
	n := 0
	for sum = 0; n < min(len(named), mostPolicies) && sum+named[n].parts <= mostParts; n++ {
		sum += named[n].parts
	}
	now, beyond = named[:n:n], named[n:]
	slices.SortFunc(now, bySerial)
	p.crowd = crowd{list, append(now, isolating(p.shut, beyond)), beyond}
	return p.crowd.now, p.crowd.beyond
}

// crowd is the last list that was too long, with what came of it: it is often that of many pods.
type crowd struct{ list, now, beyond []*compiled }

// isolating stands for policies that allow nothing, in the directions that they are about.
func isolating(shut [4]*compiled, list []*compiled) *compiled {
	which := 0
	for _, c := range list {
		for d, s := range c.sides {
			if s != nil {
				which |= 1 << d
			}
		}
	}
	return shut[which]
}

// shutters are what isolating gives.
func shutters() (all [4]*compiled) {
	for which := range all {
		c := &compiled{policy: &model.Policy{}, serial: math.MaxUint64 - uint64(which)}
		for d := range c.sides {
			if which&(1<<d) != 0 {
				c.sides[d] = &side{}
			}
		}
		all[which] = c
	}
	return all
}

// Beyond remarks on policies that don't count at a pod because it has more than fit.
func (p *Planner) Beyond(pod model.Name) []model.Remark {
	s := p.pods[pod]
	if s == nil || len(s.beyond) == 0 {
		return nil
	}
	return []model.Remark{{
		Object: model.Ref{Kind: model.KindPod, Name: pod},
		Message: fmt.Sprintf("%d NetworkPolicies that select it allow nothing there, the first of them %s: the list of one pod takes %d policies and %d parts",
			len(s.beyond), s.beyond[0].policy.Name, mostPolicies, mostParts),
	}}
}
