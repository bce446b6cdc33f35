package kube

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"kube-router/internal/model"
)

// ConvertSlice takes over an EndpointSlice. Conditions left unset are true for ready and serving and
// false for terminating, as the API says.
func ConvertSlice(o *discoveryv1.EndpointSlice) *model.Slice {
	s := &model.Slice{Name: model.Name{Namespace: o.Namespace, Name: o.Name}}
	if svc := o.Labels[labelServiceName]; svc != "" {
		s.Service = model.Name{Namespace: o.Namespace, Name: svc}
	}
	r := &remarks{object: s.Ref()}
	if t, err := time.Parse(time.RFC3339Nano, o.Annotations[annotationChange]); err == nil {
		s.Trigger = t
	}
	switch o.AddressType {
	case discoveryv1.AddressTypeIPv4:
		s.Family = model.IPv4
	case discoveryv1.AddressTypeIPv6:
		s.Family = model.IPv6
	case discoveryv1.AddressTypeFQDN:
		return s // host names: meant for others, and nothing to remark on
	default:
		r.add("addressType", "slice ignored: unknown type %q", string(o.AddressType))
		s.Remarks = r.list
		return s
	}
	s.Ports = slicePorts(r, o.Ports)
	s.Endpoints = endpoints(r, s, o.Endpoints)
	s.Remarks = r.list
	return s
}

func slicePorts(r *remarks, list []discoveryv1.EndpointPort) []model.SlicePort {
	var good []model.SlicePort
	seen := map[string]bool{}
	for i, p := range list {
		field := fmt.Sprintf("ports[%d]", i)
		name := text(p.Name)
		sp, err := slicePort(p)
		switch {
		case err != nil:
			r.add(field, "port %q ignored: %s", name, err)
		case seen[name]:
			r.add(field, "ignored: a port named %q is given twice", name)
		default:
			seen[name] = true
			good = append(good, sp)
		}
	}
	return good
}

func slicePort(p discoveryv1.EndpointPort) (model.SlicePort, error) {
	if p.Port == nil {
		return model.SlicePort{}, fmt.Errorf("no number, which means every port; a Service forwards to one")
	}
	port, err := parsePort(*p.Port)
	if err != nil {
		return model.SlicePort{}, err
	}
	var proto corev1.Protocol
	if p.Protocol != nil {
		proto = *p.Protocol
	}
	n, err := parseProtocol(proto)
	return model.SlicePort{Name: text(p.Name), Protocol: n, Port: port}, err
}

// endpoints takes over the endpoints that have a usable address. An address given twice belongs to the
// endpoint that is better off: a pod that ended may still be listed beside its successor.
func endpoints(r *remarks, s *model.Slice, list []discoveryv1.Endpoint) []model.Endpoint {
	all := make([]model.Endpoint, len(list))
	owner := map[netip.Addr]int{}
	for i, o := range list {
		all[i] = endpoint(s.Name.Namespace, o)
		for j, text := range o.Addresses {
			field := fmt.Sprintf("endpoints[%d].addresses[%d]", i, j)
			a, err := endpointAddr(s.Family, text)
			if err != nil {
				r.add(field, "%s", err)
				continue
			}
			before, twice := owner[a]
			if twice {
				r.add(field, "%s is given twice: one endpoint alone has it", a)
			}
			if !twice || rank(all[i]) > rank(all[before]) {
				owner[a] = i
			}
		}
	}
	for i, o := range list {
		for _, text := range o.Addresses {
			if a, err := endpointAddr(s.Family, text); err == nil && owner[a] == i && !slices.Contains(all[i].Addrs, a) {
				all[i].Addrs = append(all[i].Addrs, a)
			}
		}
	}
	return slices.DeleteFunc(all, func(e model.Endpoint) bool { return len(e.Addrs) == 0 })
}

// rank orders endpoints by how fit they are for traffic.
func rank(e model.Endpoint) int {
	switch {
	case e.Ready:
		return 2
	case e.Serving:
		return 1
	}
	return 0
}

func endpointAddr(f model.Family, s string) (netip.Addr, error) {
	a, err := parseUnicast(s)
	if err != nil {
		return a, err
	}
	if model.FamilyOf(a) != f {
		return netip.Addr{}, fmt.Errorf("%s ignored: the slice is of %s", a, f)
	}
	return a, nil
}

// endpoint takes over everything but the addresses.
func endpoint(namespace string, o discoveryv1.Endpoint) model.Endpoint {
	e := model.Endpoint{
		Ready:       truth(o.Conditions.Ready, true),
		Serving:     truth(o.Conditions.Serving, true),
		Terminating: truth(o.Conditions.Terminating, false),
		Node:        text(o.NodeName),
		Zone:        text(o.Zone),
	}
	if t := o.TargetRef; t != nil && t.Kind == "Pod" {
		e.Pod = model.Name{Namespace: cmp.Or(t.Namespace, namespace), Name: t.Name}
	}
	if o.Hints != nil && len(o.Hints.ForZones)+len(o.Hints.ForNodes) > 0 {
		e.Hints = &model.Hints{}
		for _, z := range o.Hints.ForZones {
			e.Hints.ForZones = append(e.Hints.ForZones, z.Name)
		}
		for _, n := range o.Hints.ForNodes {
			e.Hints.ForNodes = append(e.Hints.ForNodes, n.Name)
		}
	}
	return e
}
