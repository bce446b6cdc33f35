package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Decide makes the lists of a pod of this node anew from the policies that select it now. It adds what that touches, and reports
// whether the lists are made: where a policy brings sets, their members are to be planned first, and the pod's lists
// stay as they are until it is asked again. It is asked once however many policies changed.
func (p *Planner) Decide(name model.Name, add func(model.Ref)) bool {
	s := p.pods[name]
	if s == nil {
		return true
	}
	if !s.waits {
		if fresh := p.find(name, s); p.fill(fresh, add) {
			s.waits = true
			add(rulesRef(name))
			return false
		}
	}
	if s.waits && s.found != p.serial {
		add(rulesRef(name)) // meanwhile others may have come
	}
	s.waits, s.decided = false, true
	s.lists = [2]*intent.RuleList{}
	if o := p.model.Pods[name]; p.isLocal(o) {
		for d := range s.lists {
			s.lists[d] = p.list(intent.Direction(d), o, s.policies)
		}
	}
	leaving := s.leaving
	s.leaving = nil
	for _, c := range leaving {
		if c.targets--; c.targets == 0 {
			p.release(c, add)
		}
	}
	p.tidy(name, s)
	return true
}

// Decided tells whether the lists of a pod were made of the pod as it is now.
func (p *Planner) Decided(name model.Name) bool {
	s := p.pods[name]
	return s != nil && s.decided && !s.news && !s.waits
}

// find looks for the policies that select a pod, and gives the sets that are needed now and weren't.
func (p *Planner) find(name model.Name, s *state) []*set {
	var now []*compiled
	if o := p.model.Pods[name]; p.isLocal(o) {
		now = p.matching(o)
	}
	s.found, s.news = p.serial, false
	if slices.Equal(s.policies, now) {
		return nil
	}
	var fresh []*set
	for _, c := range now {
		if c.targets++; c.targets == 1 {
			fresh = append(fresh, p.acquire(c)...)
		}
	}
	s.leaving = append(s.leaving, s.policies...)
	s.policies = now
	return fresh
}

// matching are the policies that select a pod, in the order in which they were compiled.
func (p *Planner) matching(o *model.Pod) []*compiled {
	var list []*compiled
	p.targets.candidates(o.Name.Namespace, nil, o.Labels, func(c *compiled) {
		if c.target.has(o.Name.Namespace, nil, o.Labels) {
			list = append(list, c)
		}
	})
	slices.SortFunc(list, func(a, b *compiled) int { return cmp.Compare(a.serial, b.serial) })
	return slices.Compact(list)
}

// selecting are the policies that select a pod, by name.
func (p *Planner) selecting(o *model.Pod) []*compiled {
	list := p.matching(o)
	slices.SortFunc(list, func(a, b *compiled) int { return a.policy.Name.Compare(b.policy.Name) })
	return list
}

// mostAllows bounds the lists that are remembered, by what they hold.
const mostAllows = 1 << 18

// list is what a pod's policies together allow in one direction; nil: none of them is about it. Pods with
// the same policies get the same list without its being made again.
func (p *Planner) list(d intent.Direction, pod *model.Pod, policies []*compiled) *intent.RuleList {
	key := []byte{byte(d)}
	named := false
	for _, c := range policies {
		if s := c.sides[d]; s != nil {
			key = binary.BigEndian.AppendUint64(key, c.serial)
			named = named || len(s.named) > 0
		}
	}
	if len(key) == 1 {
		return nil
	}
	if named {
		key = fmt.Append(key, pod.Ports)
	}
	sum := sha256.Sum256(key)
	if l := p.lists[sum]; l != nil {
		return l
	}
	l := list(d, pod, policies)
	if p.allows += 1 + len(l.Allows); p.allows > mostAllows {
		p.lists, p.allows = map[[32]byte]*intent.RuleList{}, 1+len(l.Allows)
	}
	p.lists[sum] = l
	return l
}

func list(d intent.Direction, pod *model.Pod, policies []*compiled) *intent.RuleList {
	var allows []intent.Allow
	for _, c := range policies {
		s := c.sides[d]
		if s == nil {
			continue
		}
		allows = append(allows, s.allows...)
		for _, n := range s.named {
			for _, p := range pod.Ports {
				if p.Name == n.port && p.Protocol == n.protocol {
					a := n.allow
					a.Ports = []intent.PortRange{{Protocol: uint8(p.Protocol), First: uint16(p.Port), Last: uint16(p.Port)}}
					allows = append(allows, a)
				}
			}
		}
	}
	return intent.NewRuleList(d, allows)
}
