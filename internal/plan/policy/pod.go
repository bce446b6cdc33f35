package policy

import (
	"cmp"
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// counts tells whether a pod is a target or peer at all. One on the host's network is the node, and one
// that has finished no longer has its addresses.
func (p *Planner) counts(o *model.Pod) bool {
	return !o.HostNetwork && !o.Finished && (len(o.Addrs) > 0 || len(p.attached(o)) > 0)
}

// isLocal tells whether a pod is guarded on this node.
func (p *Planner) isLocal(o *model.Pod) bool {
	return o != nil && o.Node == p.model.Settings.Node && p.counts(o)
}

// attached are the addresses that CNI has given to this life of a pod.
func (p *Planner) attached(o *model.Pod) []netip.Addr {
	var list []netip.Addr
	for _, a := range p.model.AttachmentsOf(o.Name) {
		if lives(a, o) {
			list = append(list, a.Addrs...)
		}
	}
	return list
}

// lives tells whether an attachment is of this pod and not of one that had its name before.
func lives(a *model.Attachment, o *model.Pod) bool {
	return a.UID == "" || o.UID == "" || a.UID == o.UID
}

// addrs are a pod's addresses of the families that are on: those that CNI told, else those that the API
// tells. For a moment the API tells an address that another pod of this node has got meanwhile; then it is
// that pod's.
func (p *Planner) addrs(o *model.Pod) []netip.Addr {
	list := p.attached(o)
	if len(list) == 0 {
		for _, a := range o.Addrs {
			if !p.taken(a, o) {
				list = append(list, a)
			}
		}
	}
	list = slices.DeleteFunc(list, func(a netip.Addr) bool { return !p.model.Settings.Has(model.FamilyOf(a)) })
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// taken tells whether CNI gave an address of a pod of this node to another pod that is guarded here. While that one isn't, be it
// finished, gone or not known to be of this node, the address stays under the rules of the pod that says to have it.
func (p *Planner) taken(a netip.Addr, o *model.Pod) bool {
	if o.Node != p.model.Settings.Node {
		return false
	}
	for _, at := range p.model.Attached {
		if at.Pod == o.Name || !slices.Contains(at.Addrs, a) {
			continue
		}
		if other := p.model.Pods[at.Pod]; p.isLocal(other) && lives(at, other) {
			return true
		}
	}
	return false
}

// Attached tells whether CNI told a pod's addresses. It ranks before one of whom only the API tells.
func (p *Planner) Attached(name model.Name) bool {
	o := p.model.Pods[name]
	return o != nil && len(p.attached(o)) > 0
}

// Plan gives what is to be done for one pod: its firewall, if it is one of this node's, and the sets that it
// is in. Both are nil when nothing is. A pod of this node whose tiers have never been made has nothing yet.
func (p *Planner) Plan(name model.Name) (*intent.Firewall, *intent.Membership) {
	o, s := p.model.Pods[name], p.pods[name]
	if o == nil || s == nil || !p.counts(o) || p.isLocal(o) && !s.decided {
		return nil, nil
	}
	addrs := p.addrs(o)
	var f *intent.Firewall
	if p.isLocal(o) {
		f = &intent.Firewall{
			Pod: name.String(), Addrs: addrs,
			Ingress: s.tiers[intent.ToPod], Egress: s.tiers[intent.FromPod],
			Rehearsal: [2][]*intent.Tier(s.tiers[rehearsals:]), Learns: slices.ContainsFunc(s.policies, (*compiled).named),
		}
	}
	return f, membership(o, addrs, s.sets)
}

func membership(o *model.Pod, addrs []netip.Addr, sets map[*set]struct{}) *intent.Membership {
	if len(sets) == 0 || len(addrs) == 0 {
		return nil
	}
	m := &intent.Membership{Pod: o.Name.String(), Addrs: addrs}
	for s := range sets {
		if s.port == "" {
			m.Sets = append(m.Sets, s.id)
			continue
		}
		for _, c := range o.Ports {
			if c.Name == s.port && (s.protocol == 0 || c.Protocol == s.protocol) {
				m.Named = append(m.Named, intent.NamedMember{Set: s.id, Protocol: uint8(c.Protocol), Port: uint16(c.Port)})
			}
		}
	}
	slices.SortFunc(m.Sets, intent.SetID.Compare)
	slices.SortFunc(m.Named, func(a, b intent.NamedMember) int {
		return cmp.Or(a.Set.Compare(b.Set), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	})
	return m
}
