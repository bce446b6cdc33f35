package service

import (
	"fmt"
	"slices"
	"strings"

	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// scheduler reads the scheduler and its flags. flag-1 and flag-2 are IP_VS_SVC_F_SCHED1 and 2, which mh
// calls mh-fallback and mh-port (Linux net/netfilter/ipvs/ip_vs_mh.c); flag-3 means nothing to it. In place of one that this
// node's kernel doesn't have stands rr.
func scheduler(m *model.Model, s *model.Service, r *remarks) (intent.Scheduler, []string) {
	const field = "kube-router.io/service.scheduler"
	name := s.Options.Scheduler
	if name != "" && !slices.Contains(model.Schedulers(), name) {
		r.add(field, "%q is no scheduler: the default is used", name)
		name = ""
	}
	if m.Lacks[name] != nil && m.Settings.Services.Engine.Can().Schedulers {
		r.add(field, "rr is used on node %s: its kernel has no %s (module ip_vs_%s)", m.Settings.Node, name, name)
		name = "rr"
	}
	if name != "mh" {
		return intent.Scheduler(name), nil
	}
	var flags []string
	for _, f := range s.Options.SchedulerFlags {
		switch f {
		case "flag-1":
			f = "mh-fallback"
		case "flag-2":
			f = "mh-port"
		}
		flags = append(flags, f)
	}
	return intent.Scheduler(name), flags
}

// dsr decides whether replies of a front go straight from the pods. Only IPVS tunnels; packets keep the
// front's port on their way, so the pod must listen there; and the address must be set up inside the pod,
// which a pod on the host's network has no place for.
func (t *template) dsr(index int, out *intent.Service) {
	if !t.s.Options.DSR || out.Kind != intent.BalancerFront && out.Kind != intent.ExternalFront {
		return
	}
	const field = "kube-router.io/service.dsr"
	if !t.m.Settings.Services.Engine.Can().Direct {
		t.add(field, "ignored: direct server return needs the ipvs engine")
		return
	}
	for _, b := range slices.Concat(out.Backends, out.Near) {
		if b.Port != out.Port {
			t.add(field, "ignored for %s: the pods listen on port %d, which must be the Service's", portField(index), b.Port)
			return
		}
		if t.hostNetwork(b) {
			t.add(field, "ignored for %s: pod %s is on the host's network", portField(index), b.Pod)
			return
		}
	}
	out.DSR = true
	for _, list := range []*[]intent.Backend{&out.Backends, &out.Near, &out.Keep} {
		*list = slices.DeleteFunc(slices.Clone(*list), func(b intent.Backend) bool { return t.foreign(index, b) })
	}
}

// foreign tells that a backend is a pod that is not the Service's own. Direct server return changes the network of the pod,
// so it isn't for whatever pod an EndpointSlice names.
func (t *template) foreign(index int, b intent.Backend) bool {
	namespace, name, ok := strings.Cut(b.Pod, "/") // neither holds one (RFC 1123)
	if !ok {
		return false // it is not entered
	}
	why := holder.Enters(t.m, t.s, model.Name{Namespace: namespace, Name: name}, b.Addr)
	if why != "" {
		t.add("kube-router.io/service.dsr", "endpoint %s ignored for %s: %s", b.Addr, portField(index), why)
	}
	return why != ""
}

func (t *template) hostNetwork(b intent.Backend) bool {
	for _, p := range t.m.PodsAt(b.Addr) {
		if p.Name.String() == b.Pod {
			return p.HostNetwork
		}
	}
	return false
}

func portField(index int) string { return fmt.Sprintf("spec.ports[%d]", index) }
