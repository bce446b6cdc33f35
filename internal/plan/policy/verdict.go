package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Who tells the API of policies is one node for all of them, so that a node that comes or goes changes no more than who that is. Success
// is silent: a node says which policies it lacks, and nothing while there are none.

// reporting is what the node is found by that reports.
var reporting = model.Ref{Kind: model.KindPolicy}

// Reports tells whether this node tells the API of policies.
func Reports(m *model.Model) bool {
	return m.Settings.Firewall && m.Self() != nil && holder.Speaks(m, m.Settings.Node, reporting)
}

// Reporter tells of policies what the nodes found. It remembers whether that is for this node to do until the model changes, and is always
// asked for one model.
type Reporter struct {
	changes uint64
	known   bool
	is      bool
}

func (r *Reporter) reports(m *model.Model) bool {
	if !r.known || r.changes != m.Changes() {
		r.changes, r.known, r.is = m.Changes(), true, Reports(m)
	}
	return r.is
}

// Cluster is what the nodes found of a ClusterNetworkPolicy; nil: it is not for this node to tell.
func (r *Reporter) Cluster(m *model.Model, name string) *intent.PolicyVerdict {
	o := m.Cluster[name]
	if o == nil || !r.reports(m) {
		return nil
	}
	v := &intent.PolicyVerdict{Kind: string(model.KindClusterPolicy), Name: name, Generation: o.Generation, Nodes: int64(len(m.Nodes))}
	for _, note := range o.Remarks {
		v.Ignored = append(v.Ignored, strings.TrimPrefix(note.Field+": "+note.Message, ": "))
	}
	v.Lacking = lackedBy(m, o.Ref())
	return v
}

// lackedBy are the nodes that lack a policy.
func lackedBy(m *model.Model, policy model.Ref) []string {
	var list []string
	for name, n := range m.Nodes {
		if slices.ContainsFunc(n.Options.Lacking, func(r model.Ref) bool { return r == policy || r == model.Ref{} }) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// All is what the nodes found of all policies together; nil: it is not for this node to tell.
func (r *Reporter) All(m *model.Model) *intent.PolicyReport {
	if !r.reports(m) {
		return nil
	}
	all := &intent.PolicyReport{Nodes: int64(len(m.Nodes))}
	lacking := map[model.Ref][]string{}
	for name, n := range m.Nodes {
		if n.NotReady {
			all.Silent++
		}
		for _, p := range n.Options.Lacking {
			lacking[p] = append(lacking[p], name)
		}
	}
	for p, nodes := range lacking {
		slices.Sort(nodes)
		all.Lacking = append(all.Lacking, intent.PolicyVerdict{Kind: string(p.Kind), Name: p.Name.String(), Nodes: all.Nodes, Lacking: nodes})
	}
	slices.SortFunc(all.Lacking, func(a, b intent.PolicyVerdict) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	return all
}

// mostLacking is how many policies a node names that it lacks; of more it says that it lacks all.
const mostLacking = 50

// Lacks are the policies that are not in force here, by who wants the rows that can't be written: a unit of this planner, or a
// tier. A zero Ref stands for all. Sorted.
func (p *Planner) Lacks(u *model.Unwritten) []model.Ref {
	if u == nil {
		return nil
	}
	all := []model.Ref{{}}
	if u.All {
		return all
	}
	found := map[model.Ref]struct{}{}
	for _, owner := range u.Owners {
		if owner == BaseOwner {
			return all
		}
		p.lacked(owner, found)
	}
	delete(found, model.Ref{}) // what stands for policies that are too many
	if len(found) > mostLacking {
		return all
	}
	return slices.SortedFunc(maps.Keys(found), model.Ref.Compare)
}

// The names of owners of rows, beside those of units.
const (
	BaseOwner  = "policy"
	TierPrefix = "rules " // before a tier's name
)

// lacked finds the policies whose rows an owner wants. It walks what this node has, for that rows fail is rare.
func (p *Planner) lacked(owner string, found map[model.Ref]struct{}) {
	tier, isTier := strings.CutPrefix(owner, TierPrefix)
	for _, c := range p.host.policies {
		if owner == string(KindHost) || isTier && p.host.wall != nil && slices.ContainsFunc(p.host.wall.All(), func(t *intent.Tier) bool { return t.ID == tier }) {
			found[c.ref] = struct{}{}
		}
	}
	for name, s := range p.pods {
		if !isTier && owner == podRef(name).String() {
			for _, c := range s.policies {
				found[c.ref] = struct{}{}
			}
			for in := range s.sets {
				p.using(in.id, found)
			}
		}
		for _, tiers := range s.tiers {
			for _, t := range tiers {
				if !isTier || t.ID != tier {
					continue
				}
				for _, c := range s.policies {
					if c.level() == t.Level {
						found[c.ref] = struct{}{}
					}
				}
			}
		}
	}
	for _, s := range p.sets {
		if owner == setRef(s.id).String() || s.from.nodes != nil && strings.HasPrefix(owner, string(model.KindNode)+" ") {
			p.using(s.id, found)
		}
	}
}

// using finds the policies in use that look into a set.
func (p *Planner) using(id intent.SetID, found map[model.Ref]struct{}) {
	for _, s := range p.pods {
		for _, c := range s.policies {
			if slices.ContainsFunc(c.sets, func(d setDef) bool { return d.id == id }) {
				found[c.ref] = struct{}{}
			}
		}
	}
}

// ReportedWith tells whether this node told the API of policies before another Node changed; either may be nil.
func ReportedWith(m *model.Model, old, now *model.Node) bool {
	if !m.Settings.Firewall || m.Self() == nil {
		return false
	}
	before := model.Model{Settings: m.Settings, Nodes: maps.Clone(m.Nodes)}
	if now != nil {
		delete(before.Nodes, now.Name)
	}
	if old != nil {
		before.Nodes[old.Name] = old
	}
	return holder.Speaks(&before, m.Settings.Node, reporting)
}
