package service

import (
	"fmt"
	"net/netip"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// address is one address at which a Service listens, with the kind of front it makes.
type address struct {
	netip.Addr
	kind intent.FrontKind
}

// remarks collects what the user should know about one object.
type remarks struct {
	object model.Ref
	list   []model.Remark
}

func (r *remarks) add(field, format string, args ...any) {
	r.list = append(r.list, model.Remark{Object: r.object, Field: field, Message: fmt.Sprintf(format, args...)})
}

// addresses are the cluster, balancer and external addresses that we serve for s; node ports have addresses of their own
// (holder.NodeAddresses).
func addresses(m *model.Model, s *model.Service, r *remarks) []address {
	given, refused := holder.Addresses(m, s)
	for _, a := range refused {
		r.list = append(r.list, a.Remark(s))
	}
	var list []address
	for _, a := range given {
		list = append(list, address{a.Addr, frontKind(a.Kind)})
	}
	return list
}

func frontKind(k holder.Kind) intent.FrontKind {
	switch k {
	case holder.Cluster:
		return intent.ClusterFront
	case holder.Node:
		return intent.NodeFront
	case holder.Balancer:
		return intent.BalancerFront
	}
	return intent.ExternalFront
}

// pending tells a LoadBalancer Service that nobody gives it an address, as far as that is ours to say: of our own class, and
// of none where this cluster has ranges of ours and so nobody else who would be expected to. Another class is another
// program's.
func pending(m *model.Model, s *model.Service, r *remarks) {
	if s.Type != model.LoadBalancer || len(s.Ingress) > 0 {
		return
	}
	const field = "status.loadBalancer.ingress"
	set := &m.Settings
	class, none := s.Class, s.Class == "" || s.Class == "default"
	if none {
		class = "not set"
	}
	switch {
	case s.Class == holder.BalancerClass && !set.Balancer, none && !set.Balancer && len(set.Allocator.Ranges) > 0:
		r.add(field, "no address is given: spec.loadBalancerClass is %s, and --run-loadbalancer is off", class)
	case none && set.Balancer && !set.Allocator.DefaultClass:
		r.add(field, "no address is given: spec.loadBalancerClass is %s, and --loadbalancer-default-class is false", class)
	}
}
