package holder

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"kube-router/internal/model"
)

// Frontend is where somebody listens: an address, port and protocol.
type Frontend struct {
	Addr     netip.Addr
	Port     model.Port
	Protocol model.Protocol
}

// String prints "10.96.0.10:53/udp".
func (f Frontend) String() string {
	return netip.AddrPortFrom(f.Addr, uint16(f.Port)).String() + "/" + f.Protocol.String()
}

// Compare orders frontends by address, port, protocol.
func (f Frontend) Compare(o Frontend) int {
	return cmp.Or(f.Addr.Compare(o.Addr), cmp.Compare(f.Port, o.Port), cmp.Compare(f.Protocol, o.Protocol))
}

// Claim is a Service's wish for a frontend.
type Claim struct {
	Frontend
	Kind    Kind
	Service *model.Service
	Index   int // of the port in spec.ports
}

// String prints "the external address of Service a/b, of 2026-01-02T03:04:05Z".
func (c Claim) String() string {
	text := fmt.Sprintf("the %s of %s", c.Kind, c.Service.Ref())
	if !c.Service.Created.IsZero() {
		text += ", of " + c.Service.Created.UTC().Format("2006-01-02T15:04:05Z")
	}
	return text
}

// before orders claims to one frontend by who has it.
func (c Claim) before(o Claim) int {
	return cmp.Or(cmp.Compare(c.Kind.rank(), o.Kind.rank()), c.Service.Older(o.Service), cmp.Compare(c.Kind, o.Kind), cmp.Compare(c.Index, o.Index))
}

// Of are the claims to a frontend on this node, first the one that has it; nil: no Service is served there.
func Of(m *model.Model, f Frontend) []Claim {
	list := slices.AppendSeq(onNode(m, f), named(m, f))
	slices.SortFunc(list, Claim.before)
	return list
}

// Lost is the claim that goes before that of s to a frontend, or false: s has it. It asks only for what s does want. It costs
// what those do that may not have what they name, and nothing for the others.
func Lost(m *model.Model, s *model.Service, f Frontend) (Claim, bool) {
	rivals := len(m.ServicesListening(f.Addr, f.Port, f.Protocol)) + len(m.ServicesOnNodePort(f.Port))
	if rivals < 2 {
		return Claim{}, false // it is the only one that names the frontend or, at a node's address, the port
	}
	first, ok := firstNamed(m, f)
	for _, c := range onNode(m, f) {
		if !ok || c.before(first) < 0 {
			first, ok = c, true
		}
	}
	return first, ok && first.Service.Name != s.Name
}

// named are the claims of Services that name the frontend's address, the oldest first. They are all of one rank: where one
// has it for its cluster address, the others have no claim.
func named(m *model.Model, f Frontend) iter.Seq[Claim] {
	return func(yield func(Claim) bool) {
		owner := clusterOwner(m, f.Addr)
		for _, s := range m.ServicesListening(f.Addr, f.Port, f.Protocol) {
			i, ok := portOf(s, f, false)
			if !ok || !Ours(s) {
				continue
			}
			if k, ok := kindAt(m, s, f.Addr, owner); ok && !yield(Claim{f, k, s, i}) {
				return
			}
		}
	}
}

func firstNamed(m *model.Model, f Frontend) (Claim, bool) {
	for c := range named(m, f) {
		return c, true
	}
	return Claim{}, false
}

// onNode are the claims of Services by their node ports.
func onNode(m *model.Model, f Frontend) []Claim {
	all := m.ServicesOnNodePort(f.Port)
	family := model.FamilyOf(f.Addr)
	if len(all) == 0 || !slices.Contains(NodeAddresses(m, family), f.Addr) {
		return nil
	}
	var list []Claim
	for _, s := range all {
		i, ok := portOf(s, f, true)
		if ok && Ours(s) && slices.Contains(Families(&m.Settings, s), family) {
			list = append(list, Claim{f, Node, s, i})
		}
	}
	return list
}

// portOf finds the port of a Service that is to listen at a frontend, by its node port or its own.
func portOf(s *model.Service, f Frontend, node bool) (int, bool) {
	i := slices.IndexFunc(s.Ports, func(p model.ServicePort) bool {
		port := p.Port
		if node {
			port = p.NodePort
		}
		return port == f.Port && p.Protocol == f.Protocol
	})
	return i, i >= 0
}

// kindAt is the best kind of address that a is of a Service, if it may have it. Owner is whose cluster address it is.
func kindAt(m *model.Model, s *model.Service, a netip.Addr, owner *model.Service) (best Kind, ok bool) {
	if owner != nil && owner.Name != s.Name {
		return 0, false
	}
	each(s, func(b netip.Addr, k Kind, _ int) bool {
		if a == b && refusal(m, s, a, k, owner) == "" {
			best, ok = k, true
		}
		return !ok
	})
	return best, ok
}

// Has are the frontends that a Service has at an address by naming it, each with its holder, by port and protocol. Node ports, which
// are named by no Service's address, are not among them.
func Has(m *model.Model, s *model.Service, a netip.Addr) []Claim {
	var list []Claim
	for _, p := range s.Ports {
		if c, ok := firstNamed(m, Frontend{a, p.Port, p.Protocol}); ok && c.Service.Name == s.Name {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(x, y Claim) int { return x.Frontend.Compare(y.Frontend) })
	return slices.CompactFunc(list, func(x, y Claim) bool { return x.Frontend == y.Frontend })
}
