package apiserver

import (
	"errors"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// inherit completes a Service from its previous version (what was allocated stays), drops what its new type doesn't have, and chooses
// its families. For other kinds it does nothing.
func (c *claims) inherit(obj, was Object, scope scope) field.ErrorList {
	svc, ok := obj.(*corev1.Service)
	if !ok {
		return nil
	}
	old, _ := was.(*corev1.Service)
	if old != nil {
		if scope != scopeStatus {
			dropUnused(svc, old)
		}
		if svc.Spec.Type != corev1.ServiceTypeExternalName && old.Spec.Type != corev1.ServiceTypeExternalName {
			keepAddresses(&svc.Spec, &old.Spec)
		}
		keepPorts(&svc.Spec, &old.Spec)
	}
	syncClusterIP(&svc.Spec)
	return c.chooseFamilies(&svc.Spec)
}

// keepAddresses: an update that names no cluster IP keeps the old one; one that steps back to a single family loses the second.
func keepAddresses(spec, old *corev1.ServiceSpec) {
	if spec.IPFamilyPolicy == nil {
		spec.IPFamilyPolicy = old.IPFamilyPolicy
	}
	if len(spec.IPFamilies) == 0 {
		spec.IPFamilies = slices.Clone(old.IPFamilies)
	}
	if spec.ClusterIP == "" && len(spec.ClusterIPs) == 0 {
		spec.ClusterIP = old.ClusterIP
	}
	if len(spec.ClusterIPs) == 0 && spec.ClusterIP == old.ClusterIP {
		spec.ClusterIPs = slices.Clone(old.ClusterIPs)
	}
	single := spec.IPFamilyPolicy != nil && *spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack
	if single && len(spec.IPFamilies) > 1 && slices.Equal(spec.IPFamilies, old.IPFamilies) {
		spec.IPFamilies = spec.IPFamilies[:1]
	}
	if single && len(spec.ClusterIPs) > 1 && slices.Equal(spec.ClusterIPs, old.ClusterIPs) {
		spec.ClusterIPs = spec.ClusterIPs[:1]
	}
}

// keepPorts: a port that names no node port keeps that of the port of its name, unless another port has it by now.
func keepPorts(spec, old *corev1.ServiceSpec) {
	if wantsHealthCheck(spec) && wantsHealthCheck(old) && spec.HealthCheckNodePort == 0 {
		spec.HealthCheckNodePort = old.HealthCheckNodePort
	}
	if !wantsNodePorts(spec) || !hasNodePorts(old) {
		return
	}
	had, used := map[string]int32{}, map[int32]bool{}
	for _, p := range old.Ports {
		had[p.Name] = p.NodePort
	}
	for _, p := range spec.Ports {
		used[p.NodePort] = true
	}
	for i := range spec.Ports {
		if p := &spec.Ports[i]; p.NodePort == 0 && !used[had[p.Name]] {
			p.NodePort = had[p.Name]
		}
	}
}

func hasNodePorts(spec *corev1.ServiceSpec) bool {
	return spec.Type == corev1.ServiceTypeNodePort || spec.Type == corev1.ServiceTypeLoadBalancer
}

// wantsNodePorts is false for a load balancer that asks for none (KEP-1864).
func wantsNodePorts(spec *corev1.ServiceSpec) bool {
	return hasNodePorts(spec) && (spec.Type == corev1.ServiceTypeNodePort || spec.AllocateLoadBalancerNodePorts == nil || *spec.AllocateLoadBalancerNodePorts)
}

func wantsHealthCheck(spec *corev1.ServiceSpec) bool {
	return spec.Type == corev1.ServiceTypeLoadBalancer && spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// syncClusterIP: clusterIP is the older spelling of clusterIPs[0].
func syncClusterIP(spec *corev1.ServiceSpec) {
	switch {
	case spec.ClusterIP == "" && len(spec.ClusterIPs) > 0:
		spec.ClusterIP = spec.ClusterIPs[0]
	case spec.ClusterIP != "" && len(spec.ClusterIPs) == 0:
		spec.ClusterIPs = []string{spec.ClusterIP}
	}
}

// chooseFamilies fills ipFamilyPolicy and ipFamilies by the rules of dual-stack Services (KEP-563).
func (c *claims) chooseFamilies(spec *corev1.ServiceSpec) field.ErrorList {
	if spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	bare := spec.ClusterIP == corev1.ClusterIPNone && len(spec.Selector) == 0 && len(c.ranges) > 1
	if spec.IPFamilyPolicy == nil {
		policy := corev1.IPFamilyPolicySingleStack
		if len(spec.IPFamilies) > 1 || len(spec.ClusterIPs) > 1 || bare && len(spec.IPFamilies) == 0 {
			policy = corev1.IPFamilyPolicyRequireDualStack
		}
		spec.IPFamilyPolicy = &policy
	}
	dual := *spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack
	path := field.NewPath("spec", "ipFamilies")
	if *spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack && len(c.ranges) < 2 {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "ipFamilyPolicy"), *spec.IPFamilyPolicy, "this cluster is not configured for dual-stack services")}
	}
	for _, text := range spec.ClusterIPs[min(len(spec.IPFamilies), len(spec.ClusterIPs)):] {
		if ip, err := netip.ParseAddr(text); err == nil {
			spec.IPFamilies = append(spec.IPFamilies, familyOf(ip))
		}
	}
	for _, r := range c.ranges {
		if family := r.family(); len(spec.IPFamilies) == 0 || dual && len(spec.IPFamilies) == 1 && !slices.Contains(spec.IPFamilies, family) {
			spec.IPFamilies = append(spec.IPFamilies, family)
		}
	}
	for i, family := range spec.IPFamilies {
		if c.rangeOf(family) == nil {
			return field.ErrorList{field.Invalid(path.Index(i), family, "not configured on this cluster")}
		}
	}
	if !dual && len(spec.IPFamilies) > 1 {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "ipFamilyPolicy"), *spec.IPFamilyPolicy, "must be RequireDualStack or PreferDualStack when multiple ipFamilies are specified")}
	}
	return nil
}

func familyOf(ip netip.Addr) corev1.IPFamily {
	if ip.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// allocate gives a valid Service its cluster IPs and node ports, or says why those it names can't be had. Nothing is held until the
// Service is stored.
func (c *claims) allocate(obj Object) field.ErrorList {
	svc, ok := obj.(*corev1.Service)
	if !ok || svc.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	owner := types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
	var errs field.ErrorList
	if svc.Spec.ClusterIP != corev1.ClusterIPNone {
		errs = c.allocateIPs(owner, &svc.Spec)
	}
	if hasNodePorts(&svc.Spec) {
		errs = append(errs, c.allocatePorts(owner, &svc.Spec)...)
	}
	return errs
}

func (c *claims) allocateIPs(owner types.NamespacedName, spec *corev1.ServiceSpec) field.ErrorList {
	path := field.NewPath("spec", "clusterIPs")
	for i, family := range spec.IPFamilies {
		r := c.rangeOf(family)
		if i < len(spec.ClusterIPs) {
			if why := c.takeIP(owner, r, spec.ClusterIPs[i]); why != "" {
				return field.ErrorList{field.Invalid(path.Index(i), spec.ClusterIPs[i], why)}
			}
			continue
		}
		ip, ok := c.freeIP(r)
		if !ok {
			return field.ErrorList{field.InternalError(path, errors.New("range is full"))}
		}
		spec.ClusterIPs = append(spec.ClusterIPs, ip.String())
	}
	syncClusterIP(spec)
	return nil
}

// allocatePorts gives ports of one number but several protocols the same node port, so that DNS stays one number.
func (c *claims) allocatePorts(owner types.NamespacedName, spec *corev1.ServiceSpec) (errs field.ErrorList) {
	mine, byPort := map[int32]bool{}, map[int32]int32{}
	for i, p := range spec.Ports {
		if p.NodePort == 0 {
			continue
		}
		mine[p.NodePort], byPort[p.Port] = true, p.NodePort
		if err := c.takePort(owner, p.NodePort, field.NewPath("spec", "ports").Index(i).Child("nodePort")); err != nil {
			errs = append(errs, err)
		}
	}
	take := func(port *int32) {
		free, ok := c.freePort(mine)
		if !ok {
			errs = append(errs, field.InternalError(field.NewPath("spec", "ports"), errors.New("range is full")))
		}
		*port, mine[free] = free, true
	}
	for i := range spec.Ports {
		p := &spec.Ports[i]
		switch same := byPort[p.Port]; {
		case p.NodePort != 0 || !wantsNodePorts(spec):
		case same != 0:
			p.NodePort = same
		default:
			take(&p.NodePort)
			byPort[p.Port] = p.NodePort
		}
	}
	if wantsHealthCheck(spec) && spec.HealthCheckNodePort == 0 {
		take(&spec.HealthCheckNodePort)
	} else if wantsHealthCheck(spec) {
		if err := c.takePort(owner, spec.HealthCheckNodePort, field.NewPath("spec", "healthCheckNodePort")); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
