package kube

import (
	"slices"
	"strconv"
	"strings"

	"kube-router/internal/model"
)

// serviceOptions applies the annotations of a Service.
func serviceOptions(s *model.Service, r *remarks, all map[string]string) {
	if ours(all) {
		parseAnnotations(s, r, serviceAnnotations(), all)
	}
}

// serviceAnnotations is the table of a Service's annotations.
func serviceAnnotations() []annotation[model.Service] {
	return []annotation[model.Service]{
		{"service.dsr", "tunnel", "direct server return for external and load balancer addresses", parseDSR},
		{"service.scheduler", strings.Join(model.Schedulers(), ", "), "how connections are spread over endpoints, as IPVS names it; rr when absent", parseScheduler},
		{"service.schedflags", "list of flag-1, flag-2, flag-3", "options of the mh scheduler (flag-1: fallback, flag-2: port)", parseSchedulerFlags},
		{"service.hairpin", "any", "a pod reaches itself through the cluster address and node port", func(s *model.Service, in input) {
			s.Options.Hairpin = present(in)
		}},
		{"service.hairpin.externalips", "any", "and through external and load balancer addresses", func(s *model.Service, in input) {
			s.Options.HairpinExternal = present(in)
		}},
		{"service.local", "true or false", "external traffic goes to endpoints of the receiving node only", func(s *model.Service, in input) {
			s.Options.Local = flag(in)
		}},
		{"service.skiplbips", "any", "load balancer addresses are neither served nor advertised (deprecated: use ipMode Proxy)", func(s *model.Service, in input) {
			s.Options.SkipLBIPs = present(in)
		}},
		{"service.advertise.clusterip", "true or false", "overrides --advertise-cluster-ip", func(s *model.Service, in input) {
			s.Options.AdvertiseCluster = override(in)
		}},
		{"service.advertise.externalip", "true or false", "overrides --advertise-external-ip", func(s *model.Service, in input) {
			s.Options.AdvertiseExternal = override(in)
		}},
		{"service.advertise.loadbalancerip", "true or false", "overrides --advertise-loadbalancer-ip", func(s *model.Service, in input) {
			s.Options.AdvertiseLB = override(in)
		}},
		{"service.loadbalancer-ips", "list of addresses", "load balancer addresses that are asked for, one for each family", parseRequested},
		{"service.pool", "name of an AddressPool", "the pool that load balancer addresses come from", func(s *model.Service, in input) {
			s.Pool = strings.TrimSpace(in.text)
		}},
		{"service.sharing-key", "text", "Services of one namespace and key may share an address on different ports", func(s *model.Service, in input) {
			s.SharingKey = strings.TrimSpace(in.text)
		}},
	}
}

func parseDSR(s *model.Service, in input) {
	if s.Options.DSR = in.text == "tunnel"; !s.Options.DSR {
		in.wrong("%q ignored: the only mode is tunnel", in.text)
	}
}

func parseScheduler(s *model.Service, in input) {
	if !slices.Contains(model.Schedulers(), in.text) {
		in.wrong("unknown scheduler %q: rr is used", in.text)
		return
	}
	s.Options.Scheduler = in.text
}

func parseSchedulerFlags(s *model.Service, in input) {
	if scheduler, _ := in.other("service.scheduler"); scheduler != "mh" {
		in.wrong("ignored: only the mh scheduler has flags")
		return
	}
	for _, f := range csv(in.text) {
		switch {
		case f != "flag-1" && f != "flag-2" && f != "flag-3":
			in.wrong("unknown flag %q ignored", f)
		case !slices.Contains(s.Options.SchedulerFlags, f):
			s.Options.SchedulerFlags = append(s.Options.SchedulerFlags, f)
		}
	}
	slices.Sort(s.Options.SchedulerFlags)
}

// parseRequested adds addresses to spec.loadBalancerIP, which the API deprecates.
func parseRequested(s *model.Service, in input) {
	for _, a := range in.remarks.addrs(in.field(), csv(in.text)) {
		if !slices.Contains(s.Requested, a) {
			s.Requested = append(s.Requested, a)
		}
	}
}

// present is for annotations that count by being there, whatever they hold. Whoever writes "false" is told.
func present(in input) bool {
	if b, err := strconv.ParseBool(in.text); err == nil && !b {
		in.wrong("%q switches it on: the annotation counts by its presence; remove it to switch off", in.text)
	}
	return true
}

// flag reads a boolean; anything else is false.
func flag(in input) bool {
	b, err := strconv.ParseBool(strings.TrimSpace(in.text))
	if err != nil {
		in.wrong("%q is neither true nor false: taken as false", in.text)
	}
	return b
}

func override(in input) *bool {
	b := flag(in)
	return &b
}
