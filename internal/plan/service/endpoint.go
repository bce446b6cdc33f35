package service

import (
	"cmp"
	"fmt"
	"slices"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// The bounds of what one Service is served with, lest thinking about one keep the others waiting: the endpoints of a port and
// family, fewer where they would be more than mostSlots at all frontends together, but never fewer than leastEndpoints.
const (
	mostEndpoints  = 10_000
	mostSlots      = 40_000
	leastEndpoints = 100
)

// room is how many endpoints of a port and family a Service with so many frontends is served with.
func room(fronts int) int { return min(max(mostSlots/max(fronts, 1), leastEndpoints), mostEndpoints) }

// candidates joins the slices of a Service into the endpoints of one port and family, sorted. A slice's
// port belongs to the Service's port of the same name and protocol; each slice may map it to another
// number. Of several addresses of an endpoint the first is used: they are fungible (discovery.k8s.io/v1).
//
// Of more than most those of this node stay first, then those of the slices that are first by name. It tells how many there are.
func candidates(m *model.Model, s *model.Service, p model.ServicePort, f model.Family, most int) (list []candidate, all int) {
	matching := ported(m, s, p, f)
	for _, sl := range matching {
		all += len(sl.Endpoints)
	}
	list = make([]candidate, 0, min(all, most))
	take := func(want func(model.Endpoint) bool) {
		for _, sl := range matching {
			for _, e := range sl.Endpoints {
				if len(list) < most && want(e) && len(e.Addrs) > 0 && holder.Endpoint(m, e.Addrs[0]) == "" {
					list = append(list, candidateOf(m, e, sl.port))
				}
			}
		}
	}
	if all <= most {
		take(func(model.Endpoint) bool { return true })
		return once(list), all
	}
	slices.SortStableFunc(matching, func(a, b portedSlice) int { return a.Name.Compare(b.Name) })
	take(func(e model.Endpoint) bool { return e.Node == m.Settings.Node })
	take(func(e model.Endpoint) bool { return e.Node != m.Settings.Node })
	return once(list), all
}

// portedSlice is a slice with the number that a port of the Service has there.
type portedSlice struct {
	*model.Slice
	port model.Port
}

// ported are the slices of a family that have a port of the Service.
func ported(m *model.Model, s *model.Service, p model.ServicePort, f model.Family) (list []portedSlice) {
	for _, sl := range m.SlicesOf(s.Name) {
		if sl.Family != f {
			continue
		}
		for _, sp := range sl.Ports {
			if sp.Name == p.Name && sp.Protocol == p.Protocol && sp.Port != 0 {
				list = append(list, portedSlice{sl, sp.Port})
			}
		}
	}
	return list
}

func candidateOf(m *model.Model, e model.Endpoint, port model.Port) candidate {
	zones, nodes := e.For()
	c := candidate{
		Backend: intent.Backend{
			Addr:  e.Addrs[0],
			Port:  uint16(port),
			Local: e.Node != "" && e.Node == m.Settings.Node,
		},
		ready: e.Ready, serving: e.Serving, terminating: e.Terminating,
		zones: zones, nodes: nodes,
	}
	if e.Pod.Name != "" {
		c.Pod = e.Pod.String()
		if p := m.Pods[e.Pod]; p != nil {
			c.Grace, c.Weight = p.Grace, p.Weight
		}
	}
	return c
}

// once sorts the candidates and keeps each address and port in its best state: while an endpoint moves
// from one slice to another it may be in both (discovery.k8s.io/v1). What is left must not depend on the
// order of slices, so every field that counts is compared.
func once(list []candidate) []candidate {
	order := func(a, b candidate) int {
		if c := a.Backend.Compare(b.Backend); c != 0 {
			return c
		}
		return cmp.Or(-cmp.Compare(a.fitness(), b.fitness()),
			slices.Compare(a.nodes, b.nodes), slices.Compare(a.zones, b.zones), cmp.Compare(a.Pod, b.Pod))
	}
	if !slices.IsSortedFunc(list, order) {
		slices.SortFunc(list, order)
	}
	return slices.CompactFunc(list, func(a, b candidate) bool { return a.Backend.Compare(b.Backend) == 0 })
}

// fitness orders the states of an endpoint; among equals, one on this node counts.
func (c candidate) fitness() int {
	n := 0
	for _, b := range []bool{c.ready, c.serving, c.terminating, c.Local} {
		n <<= 1
		if b {
			n |= 1
		}
	}
	return n
}

// misplaced remarks on endpoints that nothing is sent to (package holder).
func misplaced(m *model.Model, s *model.Service) []model.Remark {
	var list []model.Remark
	for _, sl := range m.SlicesOf(s.Name) {
		for _, e := range sl.Endpoints {
			if len(e.Addrs) == 0 {
				continue
			}
			if why := holder.Endpoint(m, e.Addrs[0]); why != "" {
				// The conversion leaves unusable endpoints out, so an index here would not be that of the object.
				list = append(list, model.Remark{Object: sl.Ref(), Field: "endpoints",
					Message: fmt.Sprintf("%s ignored: %s", e.Addrs[0], why)})
			}
		}
	}
	return list
}

// strangers remarks on slices of a family that the Service doesn't have: nobody reaches their endpoints.
func strangers(m *model.Model, s *model.Service) []model.Remark {
	has := holder.Families(&m.Settings, s)
	var list []model.Remark
	for _, sl := range m.SlicesOf(s.Name) {
		// A slice without a family is remarked on by its conversion, one of a family that is off by nobody.
		if len(has) > 0 && m.Settings.Has(sl.Family) && !slices.Contains(has, sl.Family) {
			list = append(list, model.Remark{Object: sl.Ref(), Field: "addressType",
				Message: fmt.Sprintf("slice ignored: it is of %s, and %s is not", sl.Family, s.Ref())})
		}
	}
	return list
}
