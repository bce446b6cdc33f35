package holder

import (
	"fmt"
	"net/netip"
	"slices"

	"kube-router/internal/model"
)

// Kind tells what sort of address a frontend has.
type Kind uint8

// The kinds of address, in the order of who goes first where several are wanted; balancer and external addresses are
// peers, and age decides between them.
const (
	Cluster  Kind = iota // spec.clusterIPs
	Node                 // a node port at an address of this node
	Balancer             // status.loadBalancer.ingress
	External             // spec.externalIPs
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case Cluster:
		return "cluster address"
	case Node:
		return "node port"
	case Balancer:
		return "balancer address"
	}
	return "external address"
}

// rank is the kind's place among those who want one frontend.
func (k Kind) rank() Kind { return min(k, Balancer) }

// Address is an address at which a Service may listen.
type Address struct {
	netip.Addr
	Kind  Kind
	Field string // where the Service names it, as in YAML: "spec.externalIPs[0]"
	Why   string // the Service may not have it because of this; empty: it may
}

// Remark tells a Service why it may not have the address.
func (a Address) Remark(s *model.Service) model.Remark {
	return model.Remark{Object: s.Ref(), Field: a.Field, Message: a.Addr.String() + " ignored: " + a.Why}
}

// Addresses are the cluster, balancer and external addresses that a Service may have, and those that it names and may
// not, but for those of a family that is off. Node ports have addresses of their own (NodeAddresses).
func Addresses(m *model.Model, s *model.Service) (list, refused []Address) {
	each(s, func(a netip.Addr, k Kind, i int) bool {
		why := refusal(m, s, a, k, clusterOwner(m, a))
		switch field := fmt.Sprintf(fields[k], i); why {
		case "":
			list = append(list, Address{a, k, field, ""})
		case unsaid:
		default:
			refused = append(refused, Address{a, k, field, why})
		}
		return true
	})
	return list, refused
}

// fields tell where a Service names an address of each kind.
var fields = [...]string{Cluster: "spec.clusterIPs[%d]", Balancer: "status.loadBalancer.ingress[%d].ip", External: "spec.externalIPs[%d]"}

// each visits the addresses that a Service names, cluster addresses first, until visit says false. An address that the
// Service says isn't for us is left out: a balancer that forwards by itself uses node ports (KEP-1860).
func each(s *model.Service, visit func(a netip.Addr, k Kind, index int) bool) {
	for i, a := range s.ClusterIPs {
		if !visit(a, Cluster, i) {
			return
		}
	}
	for i, in := range s.Ingress {
		if in.Addr.IsValid() && !in.Proxy && !s.Options.SkipLBIPs && !visit(in.Addr, Balancer, i) {
			return
		}
	}
	for i, a := range s.ExternalIPs {
		if !visit(a, External, i) {
			return
		}
	}
}

// unsaid is a refusal that is nothing to remark on.
const unsaid = "-"

// refusal tells why a Service may not have an address of a kind, or is empty. Whoever may write Services must not be
// able to take over any address of the network (CVE-2020-8554, GHSA-phqm-jgc3-qf8g): with the strict check it lies in a
// range that the operator gave, and no range permits none. Cluster addresses and pods' ranges are never for it, whatever
// is checked. Owner is the Service whose cluster address it is, if it is one.
func refusal(m *model.Model, s *model.Service, a netip.Addr, k Kind, owner *model.Service) string {
	set, f := &m.Settings, model.FamilyOf(a)
	if !set.Has(f) {
		return unsaid
	}
	if k == Cluster {
		return ""
	}
	ranges, flag := set.Services.ExternalRanges, "--service-external-ip-range"
	if k == Balancer {
		ranges, flag = m.BalancerRanges(), "--loadbalancer-ip-range"
		if len(m.Pools) > 0 {
			flag += ", nor in an AddressPool"
		}
	}
	switch {
	case !slices.Contains(Families(set, s), f):
		return "the Service has no endpoints of " + f.String()
	case owner != nil && owner.Name != s.Name:
		return "it is the cluster address of " + owner.Ref().String()
	case m.RangeAround(netip.PrefixFrom(a, a.BitLen())):
		return "it lies in a node's range of pod addresses"
	case !set.Services.StrictExternal:
	case within(set.Services.ClusterRanges, a):
		return "it lies in the range of cluster addresses"
	case !within(ranges, a):
		return "not in " + flag
	}
	return ""
}

// clusterOwner is the Service that has a for its cluster address, or nil. The API server gives it to one alone; of
// several the oldest. Who serves it, we or another proxy, doesn't count.
func clusterOwner(m *model.Model, a netip.Addr) *model.Service {
	if all := m.ServicesOwning(a); len(all) > 0 {
		return all[0]
	}
	return nil
}

func within(ranges []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Ours tells whether a Service is for us to serve and to announce: it has frontends, and no other proxy has it.
func Ours(s *model.Service) bool {
	return !s.AnotherProxy && !s.Headless && s.Type != model.ExternalName
}

// BalancerClass is the spec.loadBalancerClass whose Services are ours to give addresses; "default" and none are too, by
// default (--loadbalancer-default-class).
const BalancerClass = "kube-router"

// Families are the families in which a Service has endpoints: spec.ipFamilies, else those of its cluster addresses, of
// those that are enabled.
func Families(set *model.Settings, s *model.Service) []model.Family {
	list := slices.Clone(s.Families)
	if len(list) == 0 {
		for _, a := range s.ClusterIPs {
			list = append(list, model.FamilyOf(a))
		}
	}
	return slices.DeleteFunc(list, func(f model.Family) bool { return !set.Has(f) })
}
