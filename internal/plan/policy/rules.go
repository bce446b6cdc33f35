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

// Decide makes the tiers of a pod of this node anew from the policies that select it now. It adds what that touches, and reports
// whether the tiers are made: where a policy brings sets, their members are to be planned first, and the pod's tiers
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
	var now tiers
	if o := p.model.Pods[name]; p.isLocal(o) {
		now = p.tiersBy(o, s.enforced, s.rehearse)
	}
	p.tiers.use(s, now)
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

// Decided tells whether the tiers of a pod were made of the pod as it is now.
func (p *Planner) Decided(name model.Name) bool {
	s := p.pods[name]
	if len(p.cluster) > 0 && p.model.Namespaces[name.Namespace] == nil {
		return false // nobody knows yet which ClusterNetworkPolicies choose it
	}
	return s != nil && s.decided && !s.news && !s.waits
}

// find looks for the policies that select a pod, and gives the sets that are needed now and weren't.
func (p *Planner) find(name model.Name, s *state) []*set {
	var now []*compiled
	s.enforced, s.rehearse, s.beyond = nil, nil, nil
	if o := p.model.Pods[name]; p.isLocal(o) {
		s.enforced, s.rehearse, s.beyond = p.lists(o)
		now = s.enforced
		if s.rehearse != nil {
			now = union(now, s.rehearse)
		}
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

// lists are the policies that a pod's tiers are made of; those that its rehearsal is, nil where no audited one is among them; and those
// that are too many to be among the first.
func (p *Planner) lists(o *model.Pod) (enforced, rehearse, beyond []*compiled) {
	matching, choosing := p.matching(o), p.choosing(o)
	enforced, beyond = p.limited(p.enforced(matching))
	enforced = slices.Concat(enforced, p.enforced(choosing))
	if p.audited > 0 && (slices.ContainsFunc(matching, audited) || slices.ContainsFunc(choosing, audited)) {
		all, _ := p.limited(matching)
		rehearse = slices.Concat(all, choosing)
	}
	return enforced, rehearse, beyond
}

// tiersBy are the tiers that are made of lists.
func (p *Planner) tiersBy(o *model.Pod, enforced, rehearse []*compiled) (now tiers) {
	for _, d := range []intent.Direction{intent.ToPod, intent.FromPod} {
		now[d] = p.tiersOf(d, o, enforced, false)
		if rehearsed(d, rehearse) {
			now[rehearsals+d] = p.tiersOf(d, o, rehearse, true)
		}
	}
	return now
}

// matching are the NetworkPolicies that select a pod, in the order in which they were compiled.
func (p *Planner) matching(o *model.Pod) []*compiled {
	var list []*compiled
	p.targets.candidates(o.Name.Namespace, nil, o.Labels, func(c *compiled) {
		if c.target.has(o.Name.Namespace, nil, o.Labels) {
			list = append(list, c)
		}
	})
	slices.SortFunc(list, bySerial)
	return slices.Compact(list)
}

// choosing are the ClusterNetworkPolicies that select a pod, in the order in which they judge.
func (p *Planner) choosing(o *model.Pod) []*compiled {
	if len(p.cluster) == 0 {
		return nil
	}
	var list []*compiled
	ns := p.model.Namespaces[o.Name.Namespace]
	p.subjects.candidates(o.Name.Namespace, ns, o.Labels, func(c *compiled) {
		if c.target.has(o.Name.Namespace, ns, o.Labels) {
			list = append(list, c)
		}
	})
	slices.SortFunc(list, compareNames)
	return slices.Compact(list)
}

func bySerial(a, b *compiled) int { return cmp.Compare(a.serial, b.serial) }

func byName(a, b *compiled) int { return a.ref.Name.Compare(b.ref.Name) }

// selecting are the policies that select a pod, NetworkPolicies by name before the others as they judge.
func (p *Planner) selecting(o *model.Pod) []*compiled {
	list := p.matching(o)
	slices.SortFunc(list, byName)
	list = append(list, p.choosing(o)...)
	return list
}

// tiersOf are a pod's tiers in one direction. NetworkPolicies that isolate it decide what the tier before them passes, so that
// nothing is left for the one behind.
func (p *Planner) tiersOf(d intent.Direction, pod *model.Pod, policies []*compiled, rehearsal bool) (list []*intent.Tier) {
	if t := p.clusterTier(intent.AdminLevel, d, pod, policies, rehearsal); t != nil {
		list = append(list, t)
	}
	last := p.tier(d, pod, policies, rehearsal)
	if last == nil {
		last = p.clusterTier(intent.BaselineLevel, d, pod, policies, rehearsal)
	}
	if last != nil {
		list = append(list, last)
	}
	return list
}

// tier is what a pod's policies together accept in one direction; nil: none of them is about it. Pods with
// the same policies get the same tier without its being made again.
func (p *Planner) tier(d intent.Direction, pod *model.Pod, policies []*compiled, rehearsal bool) *intent.Tier {
	key := beginning(rehearsal, d)
	bare := len(key)
	named := false
	for _, c := range policies {
		if s := c.sides[d]; s != nil {
			key = binary.BigEndian.AppendUint64(key, c.serial)
			named = named || len(s.named) > 0
		}
	}
	if len(key) == bare {
		return nil
	}
	if named {
		key = fmt.Append(key, pod.Ports)
	}
	sum := sha256.Sum256(key)
	return p.tiers.get(sum, func() *intent.Tier {
		t := accepts(d, pod, policies)
		if rehearsal {
			return t.Rehearsed(accounts(d, policies))
		}
		return t
	})
}

func accepts(d intent.Direction, pod *model.Pod, policies []*compiled) *intent.Tier {
	var matches []intent.Match
	for _, c := range policies {
		if s := c.sides[d]; s != nil {
			matches = append(matches, s.matchesAt(pod)...)
		}
	}
	return intent.NewNetworkTier(d, matches)
}
