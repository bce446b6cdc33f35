package kube

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/model"
)

// The default and the most of spec.sessionAffinityConfig.clientIP.timeoutSeconds, as the API says.
const (
	affinityDefault = 3 * time.Hour
	affinityMost    = 24 * time.Hour
)

// anotherProxy tells whether a Service is left to another program, be it to none by name: the label says that the cluster's usual one
// shall keep off.
func anotherProxy(labels map[string]string) bool {
	name, said := labels[labelProxyName]
	return said && name != ourProxyName
}

// ConvertService takes over what the network needs of a Service.
func ConvertService(o *corev1.Service) *model.Service {
	s := &model.Service{
		Name:         model.Name{Namespace: o.Namespace, Name: o.Name},
		UID:          string(o.UID),
		Created:      o.CreationTimestamp.Time,
		Selector:     o.Spec.Selector,
		Labels:       o.Labels,
		AnotherProxy: anotherProxy(o.Labels),
		Class:        text(o.Spec.LoadBalancerClass),
	}
	r := &remarks{object: s.Ref()}
	s.Type = serviceType(r, o.Spec.Type)
	s.ClusterIPs, s.Headless = clusterIPs(r, o)
	s.ExternalIPs = r.addrs("spec.externalIPs[%d]", o.Spec.ExternalIPs)
	s.Ingress = ingress(r, o.Status.LoadBalancer.Ingress)
	s.Families, s.DualStack = families(r, o)
	s.Ports = servicePorts(r, o.Spec.Ports)
	s.Internal, s.External = trafficPolicies(r, o)
	s.HealthPort = healthPort(r, o.Spec.HealthCheckNodePort)
	s.Affinity = affinity(r, o)
	s.Sources = sources(r, o.Spec.LoadBalancerSourceRanges)
	if o.Spec.LoadBalancerIP != "" {
		s.Requested = r.addrs("spec.loadBalancerIP", []string{o.Spec.LoadBalancerIP})
	}
	serviceOptions(s, r, o.Annotations)
	s.Remarks = r.list
	return s
}

func serviceType(r *remarks, t corev1.ServiceType) model.ServiceType {
	switch t {
	case "":
		return model.ClusterIP
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName:
		return model.ServiceType(t)
	}
	r.add("spec.type", "unknown type %q: served as ClusterIP", string(t))
	return model.ClusterIP
}

// clusterIPs are the cluster addresses, at most one of each family, and whether the Service is headless.
func clusterIPs(r *remarks, o *corev1.Service) ([]netip.Addr, bool) {
	_, headless := o.Labels[labelHeadless]
	list, field := o.Spec.ClusterIPs, "spec.clusterIPs[%d]"
	if len(list) == 0 && o.Spec.ClusterIP != "" {
		list, field = []string{o.Spec.ClusterIP}, "spec.clusterIP"
	}
	if slices.Contains(list, corev1.ClusterIPNone) {
		return nil, true
	}
	var good []netip.Addr
	for i, s := range list {
		if s == "" {
			continue
		}
		a, err := parseUnicast(s)
		same := func(b netip.Addr) bool { return model.FamilyOf(b) == model.FamilyOf(a) }
		switch {
		case err != nil:
			r.add(element(field, i), "%s", err)
		case slices.ContainsFunc(good, same):
			r.add(element(field, i), "%s ignored: a second address of %s", a, model.FamilyOf(a))
		default:
			good = append(good, a)
		}
	}
	return good, headless
}

// ingress are the load balancer's addresses. An entry with a host name alone is served by a balancer
// elsewhere and is nothing to remark on.
func ingress(r *remarks, list []corev1.LoadBalancerIngress) []model.Ingress {
	var good []model.Ingress
	for i, in := range list {
		if in.IP == "" {
			continue
		}
		field := fmt.Sprintf("status.loadBalancer.ingress[%d]", i)
		a, err := parseUnicast(in.IP)
		if err != nil {
			r.add(field+".ip", "%s", err)
			continue
		}
		if slices.ContainsFunc(good, func(g model.Ingress) bool { return g.Addr == a }) {
			r.add(field+".ip", "%s ignored: already given", a)
			continue
		}
		good = append(good, model.Ingress{Addr: a, Proxy: proxyMode(r, field, in.IPMode)})
	}
	return good
}

// proxyMode tells whether the balancer forwards by itself (KEP-1860); absent means VIP.
func proxyMode(r *remarks, field string, m *corev1.LoadBalancerIPMode) bool {
	if m == nil || *m == corev1.LoadBalancerIPModeVIP {
		return false
	}
	if *m != corev1.LoadBalancerIPModeProxy {
		r.add(field+".ipMode", "unknown mode %q: taken as Proxy, so the address is left to the balancer", string(*m))
	}
	return true
}

func families(r *remarks, o *corev1.Service) ([]model.Family, string) {
	var list []model.Family
	for i, f := range o.Spec.IPFamilies {
		switch f {
		case corev1.IPv4Protocol:
			list = append(list, model.IPv4)
		case corev1.IPv6Protocol:
			list = append(list, model.IPv6)
		default:
			r.add(fmt.Sprintf("spec.ipFamilies[%d]", i), "unknown family %q ignored", string(f))
		}
	}
	if o.Spec.IPFamilyPolicy == nil {
		return list, string(corev1.IPFamilyPolicySingleStack)
	}
	return list, string(*o.Spec.IPFamilyPolicy)
}

func servicePorts(r *remarks, list []corev1.ServicePort) []model.ServicePort {
	var good []model.ServicePort
	for i, p := range list {
		field := fmt.Sprintf("spec.ports[%d]", i)
		proto, err := parseProtocol(p.Protocol)
		if err != nil {
			r.add(field+".protocol", "port %d ignored: %s", p.Port, err)
			continue
		}
		port, err := parsePort(p.Port)
		if err != nil {
			r.add(field+".port", "ignored: %s", err)
			continue
		}
		sp := model.ServicePort{Name: p.Name, Protocol: proto, Port: port}
		if why := clash(good, sp); why != "" {
			r.add(field, "ignored: %s", why)
			continue
		}
		sp.NodePort = nodePort(r, field, p.NodePort, proto, good)
		good = append(good, sp)
	}
	return good
}

// clash tells why a port can't stand beside the ones before it, or is empty. Two ports of one name
// would take each other's endpoints.
func clash(before []model.ServicePort, p model.ServicePort) string {
	for _, b := range before {
		if b.Protocol == p.Protocol && b.Port == p.Port {
			return fmt.Sprintf("%d/%s is given twice", p.Port, p.Protocol)
		}
		if b.Name == p.Name {
			return fmt.Sprintf("a port named %q is given twice", p.Name)
		}
	}
	return ""
}

func nodePort(r *remarks, field string, n int32, proto model.Protocol, before []model.ServicePort) model.Port {
	if n == 0 {
		return 0
	}
	port, err := parsePort(n)
	if err != nil {
		r.add(field+".nodePort", "ignored: %s", err)
		return 0
	}
	for _, b := range before {
		if b.NodePort == port && b.Protocol == proto {
			r.add(field+".nodePort", "ignored: %d/%s is given twice", port, proto)
			return 0
		}
	}
	return port
}

func trafficPolicies(r *remarks, o *corev1.Service) (internal, external model.TrafficPolicy) {
	var in string
	if o.Spec.InternalTrafficPolicy != nil {
		in = string(*o.Spec.InternalTrafficPolicy)
	}
	return trafficPolicy(r, "spec.internalTrafficPolicy", in),
		trafficPolicy(r, "spec.externalTrafficPolicy", string(o.Spec.ExternalTrafficPolicy))
}

func trafficPolicy(r *remarks, field, p string) model.TrafficPolicy {
	switch model.TrafficPolicy(p) {
	case model.Local:
		return model.Local
	case model.Cluster, "":
	default:
		r.add(field, "unknown policy %q: taken as Cluster", p)
	}
	return model.Cluster
}

func healthPort(r *remarks, n int32) model.Port {
	if n == 0 {
		return 0
	}
	p, err := parsePort(n)
	if err != nil {
		r.add("spec.healthCheckNodePort", "ignored: %s", err)
	}
	return p
}

func affinity(r *remarks, o *corev1.Service) time.Duration {
	switch o.Spec.SessionAffinity {
	case corev1.ServiceAffinityNone, "":
		return 0
	case corev1.ServiceAffinityClientIP:
	default:
		r.add("spec.sessionAffinity", "unknown affinity %q: served without", string(o.Spec.SessionAffinity))
		return 0
	}
	c := o.Spec.SessionAffinityConfig
	if c == nil || c.ClientIP == nil || c.ClientIP.TimeoutSeconds == nil {
		return affinityDefault
	}
	d := time.Duration(*c.ClientIP.TimeoutSeconds) * time.Second
	if d <= 0 || d > affinityMost {
		r.add("spec.sessionAffinityConfig.clientIP.timeoutSeconds", "%d is not from 1 to 86400: taken as %d",
			*c.ClientIP.TimeoutSeconds, int(affinityDefault.Seconds()))
		return affinityDefault
	}
	return d
}

// sources are the blocks of clients let in. Where ranges were given and none can be read, nobody is let
// in rather than everybody: the list holds one block that no client is in.
func sources(r *remarks, list []string) []netip.Prefix {
	good := r.prefixes("spec.loadBalancerSourceRanges[%d]", list)
	if len(good) == 0 && slices.ContainsFunc(list, func(s string) bool { return strings.TrimSpace(s) != "" }) {
		r.add("spec.loadBalancerSourceRanges", "no range can be read: no client is let in")
		return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 32)}
	}
	return good
}
