package netpol

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/api/clusterapi"
)

// decision is what a tier says about a connection: one of the API's actions, or nothing.
type decision string

const (
	accept    decision = "Accept"
	deny      decision = "Deny"
	pass      decision = "Pass"
	undecided decision = ""
)

// tier: policies with lower priority values are checked before those with higher ones, the rules of one in order; the first that
// matches acts. Of equal priorities any order is allowed by the API; ours is that of names.
func (o *Oracle) tier(tier string, pod *corev1.Pod, ingress bool, f Flow, peer netip.Addr) decision {
	list := slices.Clone(o.Cluster)
	slices.SortFunc(list, func(a, b *clusterapi.ClusterNetworkPolicy) int {
		return cmp.Or(cmp.Compare(a.Spec.Priority, b.Spec.Priority), cmp.Compare(a.Name, b.Name))
	})
	for _, p := range list {
		if p.Spec.Tier != tier || !o.subject(p.Spec.Subject, pod) {
			continue
		}
		rules := p.Spec.Egress
		if ingress {
			rules = p.Spec.Ingress
		}
		for _, r := range rules {
			if d := o.clusterRule(r, ingress, f, peer); d != undecided {
				return d
			}
		}
	}
	return undecided
}

func (o *Oracle) subject(s clusterapi.Subject, pod *corev1.Pod) bool {
	if s.Namespaces != nil {
		return matches(s.Namespaces, o.Namespaces[pod.Namespace].Labels)
	}
	return s.Pods != nil && o.namespaced(s.Pods, pod)
}

func (o *Oracle) namespaced(s *clusterapi.NamespacedPod, pod *corev1.Pod) bool {
	return matches(&s.NamespaceSelector, o.Namespaces[pod.Namespace].Labels) && matches(&s.PodSelector, pod.Labels)
}

// clusterRule: if any element matches the peer, and any of the protocols, the action is applied. With no known field set a rule fails
// closed: Accept matches no traffic, Deny and Pass are treated as "Deny all".
func (o *Oracle) clusterRule(r clusterapi.Rule, ingress bool, f Flow, a netip.Addr) decision {
	peers := r.To
	if ingress {
		peers = r.From
	}
	for _, p := range peers {
		if p.Namespaces == nil && p.Pods == nil && (ingress || p.Nodes == nil && p.Networks == nil && p.DomainNames == nil) {
			return closed(r)
		}
		if !ingress && p.DomainNames != nil && decision(r.Action) != accept {
			return closed(r) // domain names are only supported for rules that accept
		}
	}
	for _, p := range r.Protocols {
		if p.TCP == nil && p.UDP == nil && p.SCTP == nil && p.DestinationNamedPort == "" {
			return closed(r)
		}
	}
	if slices.ContainsFunc(peers, func(p clusterapi.Peer) bool { return o.clusterPeer(p, a) }) &&
		(len(r.Protocols) == 0 || slices.ContainsFunc(r.Protocols, func(p clusterapi.Protocol) bool { return o.protocol(p, f) })) {
		return decision(r.Action)
	}
	return undecided
}

func closed(r clusterapi.Rule) decision {
	if decision(r.Action) == accept {
		return undecided
	}
	return deny
}

// clusterPeer: pods that are not on the host's network, nodes by the addresses of their status, or blocks of addresses, which match pods
// as well.
func (o *Oracle) clusterPeer(p clusterapi.Peer, a netip.Addr) bool {
	pod := o.PodAt(a)
	switch {
	case p.Namespaces != nil:
		return pod != nil && matches(p.Namespaces, o.Namespaces[pod.Namespace].Labels)
	case p.Pods != nil:
		return pod != nil && o.namespaced(p.Pods, pod)
	case p.Nodes != nil:
		for _, n := range o.Nodes {
			has := func(s corev1.NodeAddress) bool { return s.Address == a.String() }
			if matches(p.Nodes, n.Labels) && slices.ContainsFunc(n.Status.Addresses, has) {
				return true
			}
		}
		return false
	case p.DomainNames != nil:
		return slices.ContainsFunc(p.DomainNames, func(pattern string) bool { return o.domain(pattern, a) })
	}
	return slices.ContainsFunc(p.Networks, func(s string) bool { return netip.MustParsePrefix(s).Contains(a) })
}

// domain: a name is an exact match, or "*" before it matches one or more entire labels. What a name stands for that isn't the cluster's opens
// neither pods nor nodes: that is ours.
func (o *Oracle) domain(pattern string, a netip.Addr) bool {
	for _, n := range o.Nodes {
		if slices.ContainsFunc(n.Status.Addresses, func(s corev1.NodeAddress) bool { return s.Address == a.String() }) {
			return false
		}
	}
	want := strings.Split(strings.ToLower(strings.TrimSuffix(pattern, ".")), ".")
	for name, addrs := range o.Names {
		have := strings.Split(name, ".")
		if !slices.Contains(addrs, a) || o.PodAt(a) != nil && !strings.HasSuffix(name, "."+ClusterDomain) {
			continue
		}
		if want[0] != "*" && slices.Equal(want, have) {
			return true
		}
		if rest := want[1:]; want[0] == "*" && len(have) > len(rest) && slices.Equal(have[len(have)-len(rest):], rest) {
			return true
		}
	}
	return false
}

// ClusterDomain is the one of the world's DNS.
const ClusterDomain = "cluster.local"

// Domain makes what a resolver told of a domain name; no address: it is forgotten.
func (r Generator) Domain() (name string, addrs []netip.Addr) {
	name = pick(r, "a.example.com", "b.example.com", "c.b.example.com", "example.com", "other.org", "web.x.svc.cluster.local")
	for range r.IntN(4) {
		text := pick(r, Strangers()...)
		if r.IntN(3) == 0 {
			text = pick(r, "10.1.0.1", "10.1.1.2", "fd00::1:0:1", "fd00::1:2:3")
		}
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return name, slices.Compact(addrs)
}

func (o *Oracle) protocol(p clusterapi.Protocol, f Flow) bool {
	if name := p.DestinationNamedPort; name != "" {
		pod := o.PodAt(f.To)
		if pod == nil {
			return false
		}
		for _, c := range pod.Spec.Containers {
			for _, named := range c.Ports {
				if named.Name == name && named.Protocol == f.Protocol && named.ContainerPort == f.Port {
					return true
				}
			}
		}
		return false
	}
	t := map[corev1.Protocol]*clusterapi.Transport{corev1.ProtocolTCP: p.TCP, corev1.ProtocolUDP: p.UDP, corev1.ProtocolSCTP: p.SCTP}[f.Protocol]
	switch {
	case t == nil:
		return false
	case t.DestinationPort == nil:
		return true
	case t.DestinationPort.Range != nil:
		return t.DestinationPort.Range.Start <= f.Port && f.Port <= t.DestinationPort.Range.End
	}
	return t.DestinationPort.Number == f.Port
}

// Node makes a node outside of the world's two, at the first addresses of Strangers of each family.
func (r Generator) Node() *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n3", Labels: map[string]string{"zone": pick(r, "east", "west")}}}
	for _, a := range []string{Strangers()[0], Strangers()[2]} {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	return n
}

func (r Generator) namespacedPod() *clusterapi.NamespacedPod {
	return &clusterapi.NamespacedPod{
		NamespaceSelector: r.selector(pick(r, "ns", "team"), []string{"x", "y", "red", ""}), PodSelector: r.selector("pod", Pods())}
}

func (r Generator) clusterPeer(ingress bool) (p clusterapi.Peer) {
	n := 40
	if ingress {
		n = 20
	}
	switch i := r.IntN(n); {
	case i == 0: // no field that is known
	case i < 10:
		s := r.selector(pick(r, "ns", "team"), []string{"x", "y", "red", ""})
		p.Namespaces = &s
	case i < 20:
		p.Pods = r.namespacedPod()
	case i < 25:
		s := r.selector("zone", []string{"east", "west"})
		p.Nodes = &s
	case r.Domains && !ingress && i < 33:
		for range 1 + r.IntN(2) {
			p.DomainNames = append(p.DomainNames, pick(r, "a.example.com", "*.example.com", "*.B.example.com.", "example.com", "*.more.org", "other.org", "*.x.svc.cluster.local", "*.cluster.local"))
		}
	default:
		for range 1 + r.IntN(3) {
			p.Networks = append(p.Networks, pick(r, "0.0.0.0/0", "::/0", "10.1.0.0/16", "10.1.1.0/24", "10.1.0.2/32", "fd00::1:1:0/112", "192.0.2.0/24",
				fmt.Sprintf("10.1.%d.%d/%d", r.IntN(8), r.IntN(8), 16+r.IntN(17))))
		}
	}
	return p
}

func (r Generator) protocol(named bool) (p clusterapi.Protocol) {
	var t clusterapi.Transport
	switch r.IntN(4) {
	case 0:
	case 1:
		start := pick(r, Ports()...)
		t.DestinationPort = &clusterapi.Port{Range: &clusterapi.PortRange{Start: start, End: start + 1 + int32(r.IntN(3))}}
	default:
		t.DestinationPort = &clusterapi.Port{Number: pick(r, Ports()...)}
	}
	switch i := r.IntN(25); {
	case i == 0: // no field that is known
	case i < 6 && named:
		p.DestinationNamedPort = pick(r, "web", "alt", "nothing")
	case i < 14:
		p.TCP = &t
	case i < 20:
		p.UDP = &t
	default:
		p.SCTP = &t
	}
	return p
}

// ClusterPolicy makes a ClusterNetworkPolicy of a name.
func (r Generator) ClusterPolicy(name string) *clusterapi.ClusterNetworkPolicy {
	p := &clusterapi.ClusterNetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u", Annotations: r.audited()}}
	p.Spec.Tier, p.Spec.Priority = pick(r, "Admin", "Baseline"), int32(r.IntN(4))
	if r.IntN(2) == 0 {
		s := r.selector(pick(r, "ns", "team"), []string{"x", "y", "red", ""})
		p.Spec.Subject.Namespaces = &s
	} else {
		p.Spec.Subject.Pods = r.namespacedPod()
	}
	for _, ingress := range []bool{true, false} {
		for range r.IntN(4) {
			rule := clusterapi.Rule{Name: pick(r, "", "one", "two"), Action: pick(r, "Accept", "Deny", "Pass")}
			outside := false
			for range 1 + r.IntN(3) {
				peer := r.clusterPeer(ingress)
				if peer.DomainNames != nil && r.IntN(3) > 0 {
					rule.Action = "Accept"
				}
				outside = outside || peer.Nodes != nil || peer.Networks != nil || peer.DomainNames != nil
				if ingress {
					rule.From = append(rule.From, peer)
				} else {
					rule.To = append(rule.To, peer)
				}
			}
			for range r.IntN(4) { // networks and nodes have no named ports, the API says
				rule.Protocols = append(rule.Protocols, r.protocol(!outside))
			}
			if ingress {
				p.Spec.Ingress = append(p.Spec.Ingress, rule)
			} else {
				p.Spec.Egress = append(p.Spec.Egress, rule)
			}
		}
	}
	return p
}
