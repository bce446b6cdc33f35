package policy

import (
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// A policy that is audited is judged and not enforced. A pod that some select has its tiers twice: as they are enforced, without them,
// and as they were with them. The second ones are asked only about what the first ones let pass, so that what they refuse is what would
// change; a pod that none selects has them not.

// Rehearses tells whether any policy is audited.
func (p *Planner) Rehearses() bool { return p.audited > 0 }

func audited(c *compiled) bool { return c.audit }

// enforced are those of a list that are.
func (p *Planner) enforced(list []*compiled) []*compiled {
	if p.audited == 0 || !slices.ContainsFunc(list, audited) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), audited)
}

// rehearsed tells whether an audited policy of a list says anything about a direction.
func rehearsed(d intent.Direction, list []*compiled) bool {
	return slices.ContainsFunc(list, func(c *compiled) bool { return c.audit && (c.sides[d] != nil || len(c.rules[d]) > 0) })
}

// union is one list and what another has beside it.
func union(list, other []*compiled) []*compiled {
	has := make(map[*compiled]struct{}, len(list))
	for _, c := range list {
		has[c] = struct{}{}
	}
	list = slices.Clone(list)
	for _, c := range other {
		if _, ok := has[c]; !ok {
			list = append(list, c)
		}
	}
	return list
}

// accounts are the NetworkPolicies to whose account a refusal in a rehearsal goes: the audited ones of those that isolate, or all of these.
func accounts(d intent.Direction, policies []*compiled) []string {
	var some, all []string
	for _, c := range policies {
		if c.sides[d] == nil || c.ref == (model.Ref{}) {
			continue
		}
		all = append(all, c.ref.Name.String())
		if c.audit {
			some = append(some, c.ref.Name.String())
		}
	}
	if len(some) == 0 {
		some = all
	}
	slices.Sort(some)
	return some
}

// beginning begins the key of a tier.
func beginning(rehearsal bool, d intent.Direction) []byte {
	if rehearsal {
		return []byte{'r', byte(d)}
	}
	return []byte{'e', byte(d)}
}

// Rehearse tells what both ends' policies would say about a flow if those were enforced that are audited.
func (p *Planner) Rehearse(f Flow) (egress, ingress End) { return p.judge(f, true, false) }
