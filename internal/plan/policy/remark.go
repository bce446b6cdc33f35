package policy

import (
	"fmt"

	"kube-router/internal/model"
)

// Remarks are what is odd about policies in this cluster: those that select nothing, and named ports that
// a pod of this node doesn't have. It walks all policies, so it is for those who ask.
func (p *Planner) Remarks() []model.Remark {
	var list []model.Remark
	for name, c := range p.policies {
		if !c.target.never() && !p.selectsAny(c.target) {
			list = append(list, model.Remark{Object: c.policy.Ref(), Field: "spec.podSelector", Message: "selects no pod"})
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
				list = append(list, model.Remark{Object: c.policy.Ref(), Field: "spec.ingress",
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
	Here            int  // pods of this node that it selects
	Ingress, Egress int  // rules; -1: it says nothing about that direction
	Resolved        bool // it selects a pod of this node, so its peers are known
}

// Policies summarizes all policies, in no order.
func (p *Planner) Policies() []Summary {
	list := make([]Summary, 0, len(p.policies))
	for name, c := range p.policies {
		list = append(list, Summary{
			Name: name, Here: c.targets, Resolved: c.targets > 0,
			Ingress: rules(c.policy.Ingress), Egress: rules(c.policy.Egress),
		})
	}
	return list
}

func rules(r *model.Rules) int {
	if r == nil {
		return -1
	}
	return len(r.Rules)
}
