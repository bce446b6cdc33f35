package policy

import (
	"fmt"
	"maps"
	"slices"

	"kube-router/internal/model"
)

// Remarks are what is odd about policies in this cluster: those that select nothing, and named ports that
// a pod of this node doesn't have. It walks all policies, so it is for those who ask.
func (p *Planner) Remarks() []model.Remark {
	var list []model.Remark
	for name, c := range p.policies {
		if !c.target.never() && !p.selectsAny(c.target) {
			list = append(list, model.Remark{Object: c.ref, Field: "spec.podSelector", Message: "selects no pod"})
		}
		list = append(list, p.nameless(name, c)...)
	}
	return list
}

func (p *Planner) selectsAny(s selection) bool {
	for name := range p.within[s.scope] {
		if o := p.model.Pods[name]; o != nil && !o.HostNetwork && s.has(name.Namespace, nil, o.Labels) {
			return true
		}
	}
	return false
}

// nameless finds ingress ports whose name a selected pod of this node doesn't have: there they open nothing.
func (p *Planner) nameless(policy model.Name, c *compiled) []model.Remark {
	if c.sides[0] == nil || len(c.sides[0].named) == 0 || c.targets == 0 {
		return nil
	}
	var list []model.Remark
	for name := range p.within[policy.Namespace] {
		o := p.model.Pods[name]
		if !p.isLocal(o) || !c.target.has(name.Namespace, nil, o.Labels) {
			continue
		}
		for _, n := range c.sides[0].named {
			if !hasPort(o, n.protocol, n.port) {
				list = append(list, model.Remark{Object: c.ref, Field: "spec.ingress",
					Message: fmt.Sprintf("port %q/%s opens nothing at pod %s: no container names it", n.port, n.protocol, name)})
			}
		}
	}
	return list
}

func hasPort(o *model.Pod, protocol model.Protocol, name string) bool {
	for _, c := range o.Ports {
		if c.Name == name && c.Protocol == protocol {
			return true
		}
	}
	return false
}

// Summary is one policy as people look at it.
type Summary struct {
	Name            model.Name
	Tier            string // of a ClusterNetworkPolicy; empty: it is a NetworkPolicy
	Node            bool   // it is a NodePolicy
	Priority        int32  // of a ClusterNetworkPolicy
	Here            int    // pods of this node that it selects
	Ingress, Egress int    // rules; -1: it says nothing about that direction
	Audit           bool   // it is judged, and not enforced
	Resolved        bool   // it selects a pod of this node, so its peers are known
}

// Policies summarizes all policies in the order in which the tiers judge, NetworkPolicies by name.
func (p *Planner) Policies() []Summary {
	all := slices.AppendSeq(slices.Collect(maps.Values(p.policies)), maps.Values(p.cluster))
	all = slices.AppendSeq(all, maps.Values(p.hosts))
	slices.SortFunc(all, compareNames)
	list := make([]Summary, 0, len(all))
	for _, c := range all {
		s := Summary{Name: c.ref.Name, Here: c.targets, Resolved: c.targets > 0, Audit: c.audit}
		if o := c.cluster; o != nil {
			s.Node = c.nodes != nil
			s.Tier, s.Priority, s.Ingress, s.Egress = o.Tier.String(), o.Priority, len(o.Ingress), len(o.Egress)
		} else {
			s.Ingress, s.Egress = rules(c.policy.Ingress), rules(c.policy.Egress)
		}
		list = append(list, s)
	}
	return list
}

func rules(r *model.Rules) int {
	if r == nil {
		return -1
	}
	return len(r.Rules)
}
