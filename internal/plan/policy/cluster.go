package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// ordered is one rule of a ClusterNetworkPolicy.
type ordered struct {
	side
	action intent.Action
	source intent.Source
}

var actions = map[model.Action]intent.Action{model.Accept: intent.Accept, model.Deny: intent.Deny, model.Pass: intent.Pass}

func compileCluster(p *model.ClusterPolicy) *compiled {
	c := &compiled{ref: p.Ref(), cluster: p, target: podSelection(&p.Subject), audit: p.Audit, using: map[intent.SetID]struct{}{}}
	for d, rules := range [2][]model.ClusterRule{p.Ingress, p.Egress} {
		for i := range rules {
			r := &rules[i]
			o := ordered{action: actions[r.Action], source: intent.Source{Policy: p.Name, UID: p.UID, Index: i, Name: r.Name, Audit: p.Audit}}
			ports := portsOf(intent.Direction(d), r.Ports, r.AnyPort)
			for j := range r.Peers {
				c.clusterPeer(&o.side, ports, &r.Peers[j])
			}
			c.rules[d] = append(c.rules[d], o)
		}
	}
	c.using = nil
	return c
}

func podSelection(s *model.PodSelection) selection {
	return selection{namespaces: &s.Namespaces, pods: s.Pods}
}

func (c *compiled) clusterPeer(s *side, ports ruled, p *model.ClusterPeer) {
	switch {
	case p.All:
		c.peer(s, ports, intent.Match{}, everyPod())
	case p.Pods != nil:
		if from := podSelection(p.Pods); !from.never() {
			c.peer(s, ports, intent.Match{}, from, defineSet(from, nil))
		}
	case p.Nodes != nil:
		ports.named = nil // nodes name no ports
		if from := (selection{nodes: p.Nodes}); !from.never() {
			c.peer(s, ports, intent.Match{}, from, defineSet(from, nil))
		}
	case p.Names != nil:
		ports.named = nil // nor do domain names
		for _, pattern := range p.Names {
			from := selection{domain: pattern}
			c.peer(s, ports, intent.Match{}, from, defineSet(from, nil))
		}
	default:
		var of [2][]intent.Span
		for _, n := range p.Networks {
			f := 0
			if n.Addr().Is6() {
				f = 1
			}
			of[f] = append(of[f], intent.Span{First: n.Masked().Addr(), Last: lastOf(n.Masked())})
		}
		for _, spans := range of {
			if len(spans) > 0 {
				c.peer(s, ports, intent.Match{Block: intent.MergeSpans(spans)}, everyPod())
			}
		}
	}
}

// clusterTier is what the ClusterNetworkPolicies of one tier say about a pod in one direction, in order; nil: nothing. Pods with the
// same policies get the same tier without its being made again.
func (p *Planner) clusterTier(l intent.Level, d intent.Direction, pod *model.Pod, policies []*compiled, rehearsal bool) *intent.Tier {
	key := append(beginning(rehearsal, d), 'c', byte(l))
	bare := len(key)
	named := false
	for _, c := range policies {
		if c.level() != l || len(c.rules[d]) == 0 {
			continue
		}
		key = binary.BigEndian.AppendUint64(key, c.serial)
		named = named || slices.ContainsFunc(c.rules[d], func(o ordered) bool { return len(o.named) > 0 })
	}
	if len(key) == bare {
		return nil
	}
	if named {
		key = fmt.Append(key, pod.Ports)
	}
	sum := sha256.Sum256(key)
	return p.tiers.get(sum, func() *intent.Tier {
		var rules []intent.Rule
		for _, c := range policies {
			if c.level() != l {
				continue
			}
			for i := range c.rules[d] {
				o := &c.rules[d][i]
				rules = append(rules, intent.Rule{Action: o.action, Source: o.source, Matches: o.matchesAt(pod)})
			}
		}
		t := intent.NewTier(l, d, rules)
		if rehearsal {
			return t.Rehearsed(nil)
		}
		return t
	})
}

// matchesAt is what a side says where a pod is the target: the pod tells what names of ports mean.
func (s *side) matchesAt(pod *model.Pod) []intent.Match {
	list := slices.Clone(s.matches)
	for _, n := range s.named {
		for _, p := range pod.Ports {
			if p.Name == n.port && (n.protocol == 0 || p.Protocol == n.protocol) {
				m := n.match
				m.Ports = []intent.PortRange{{Protocol: uint8(p.Protocol), First: uint16(p.Port), Last: uint16(p.Port)}}
				list = append(list, m)
			}
		}
	}
	return list
}

// noteNamespace makes the pods here look for their ClusterNetworkPolicies, which choose them by the namespace's labels.
func (p *Planner) noteNamespace(name string, add func(model.Ref)) {
	if len(p.cluster) == 0 || len(p.here[name]) == 0 {
		return
	}
	p.serial++
	for pod := range p.here[name] {
		add(rulesRef(pod))
	}
}

// noteCluster keeps the index. The cost is that of this node's pods.
func (p *Planner) noteCluster(name string, add func(model.Ref)) {
	old := p.drop(name)
	var now *compiled
	if o := p.model.Cluster[name]; o != nil {
		now = p.take(o)
	}
	p.serial++
	for namespace, pods := range p.here {
		ns := p.model.Namespaces[namespace]
		for pod := range pods {
			o := p.model.Pods[pod]
			if o == nil {
				continue // it went with this change, and is noted by itself
			}
			// Whom the namespace's labels chose before they changed in the same turn is found by the namespace's own note.
			if old != nil && old.targeted(p.pods[pod]) || now != nil && now.target.has(namespace, ns, o.Labels) {
				add(rulesRef(pod))
			}
		}
	}
}

// targeted tells whether a policy was among those of a pod when they were last looked for.
func (c *compiled) targeted(s *state) bool { return s != nil && slices.Contains(s.policies, c) }

// Node gives the sets of peers that a node is in, or nil.
func (p *Planner) Node(name string) *intent.Membership {
	o := p.model.Nodes[name]
	if o == nil || len(p.nodeSets) == 0 {
		return nil
	}
	m := &intent.Membership{Pod: "node " + name}
	for s := range p.nodeSets {
		if selects(s.from.nodes, o.Labels) {
			m.Sets = append(m.Sets, s.id)
		}
	}
	for _, a := range slices.Concat(o.InternalIPs, o.ExternalIPs) {
		if p.model.Settings.Has(model.FamilyOf(a)) {
			m.Addrs = append(m.Addrs, a)
		}
	}
	if len(m.Sets) == 0 || len(m.Addrs) == 0 {
		return nil
	}
	slices.SortFunc(m.Sets, intent.SetID.Compare)
	slices.SortFunc(m.Addrs, netip.Addr.Compare)
	m.Addrs = slices.Compact(m.Addrs)
	return m
}

// nodeRef is the unit of a node.
func nodeRef(name string) model.Ref {
	return model.Ref{Kind: model.KindNode, Name: model.Name{Name: name}}
}

// compareNames orders policies for people: ClusterNetworkPolicies as they judge, NetworkPolicies between their tiers by name.
func compareNames(a, b *compiled) int {
	if a.cluster != nil && b.cluster != nil {
		return a.cluster.Compare(b.cluster)
	}
	return cmp.Or(cmp.Compare(a.level(), b.level()), a.ref.Name.Compare(b.ref.Name))
}

// Denies tells whether any rule of a ClusterNetworkPolicy denies or passes, so that a peer that comes into a set may lose by it.
func (p *Planner) Denies() bool { return p.denying > 0 }

// denies tells whether a rule of the policy does, if it is enforced.
func (c *compiled) denies() bool {
	for _, rules := range c.rules {
		if !c.audit && slices.ContainsFunc(rules, func(o ordered) bool { return o.action != intent.Accept }) {
			return true
		}
	}
	return false
}

// take takes a ClusterNetworkPolicy into the index.
func (p *Planner) take(o *model.ClusterPolicy) *compiled {
	c := p.numbered(compileCluster(o))
	p.cluster[o.Name] = c
	p.subjects.add(c.target, c)
	if c.denies() {
		p.denying++
	}
	if c.audit {
		p.audited++
	}
	return c
}

// drop takes one out of it, and gives it.
func (p *Planner) drop(name string) *compiled {
	c := p.cluster[name]
	if c == nil {
		return nil
	}
	p.subjects.remove(c.target, c)
	delete(p.cluster, name)
	if c.denies() {
		p.denying--
	}
	if c.audit {
		p.audited--
	}
	return c
}
