package apiserver

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateService(now, was Object) field.ErrorList {
	spec, path := &now.(*corev1.Service).Spec, field.NewPath("spec")
	errs := oneOf(path.Child("type"), spec.Type, corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName)
	errs = append(errs, oneOf(path.Child("sessionAffinity"), spec.SessionAffinity, corev1.ServiceAffinityNone, corev1.ServiceAffinityClientIP)...)
	errs = append(errs, servicePolicies(path, spec)...)
	errs = append(errs, serviceOfBalancer(path, now.(*corev1.Service))...)
	errs = append(errs, servicePorts(path.Child("ports"), spec)...)
	errs = append(errs, serviceAddresses(path, spec)...)
	if old, ok := was.(*corev1.Service); ok {
		errs = append(errs, serviceChange(path, spec, &old.Spec)...)
	}
	return errs
}

func servicePolicies(path *field.Path, spec *corev1.ServiceSpec) (errs field.ErrorList) {
	if p := spec.InternalTrafficPolicy; p != nil {
		errs = oneOf(path.Child("internalTrafficPolicy"), *p, corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal)
	}
	if p := spec.ExternalTrafficPolicy; p != "" {
		errs = append(errs, oneOf(path.Child("externalTrafficPolicy"), p, corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)...)
		if !accessible(spec) {
			errs = append(errs, field.Invalid(path.Child("externalTrafficPolicy"), p, "may only be set for externally-accessible services"))
		}
	}
	if c := spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		if t := *c.ClientIP.TimeoutSeconds; t <= 0 || t > 86400 {
			errs = append(errs, field.Invalid(path.Child("sessionAffinityConfig", "clientIP", "timeoutSeconds"), t, "must be greater than 0 and less than or equal to 86400"))
		}
	}
	return errs
}

// serviceOfBalancer refuses what only load balancers have.
func serviceOfBalancer(path *field.Path, svc *corev1.Service) (errs field.ErrorList) {
	spec := &svc.Spec
	if spec.HealthCheckNodePort != 0 && !wantsHealthCheck(spec) {
		errs = append(errs, field.Invalid(path.Child("healthCheckNodePort"), spec.HealthCheckNodePort,
			"may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
	}
	if spec.Type == corev1.ServiceTypeLoadBalancer {
		return errs
	}
	for name, set := range map[string]bool{
		"allocateLoadBalancerNodePorts": spec.AllocateLoadBalancerNodePorts != nil, "loadBalancerClass": spec.LoadBalancerClass != nil,
		"loadBalancerSourceRanges": len(spec.LoadBalancerSourceRanges) > 0,
	} {
		if set {
			errs = append(errs, field.Forbidden(path.Child(name), "may only be used when `type` is 'LoadBalancer'"))
		}
	}
	return errs
}

func servicePorts(path *field.Path, spec *corev1.ServiceSpec) (errs field.ErrorList) {
	if len(spec.Ports) == 0 && spec.ClusterIP != corev1.ClusterIPNone && spec.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Required(path, ""))
	}
	names, fronts, nodePorts := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i, p := range spec.Ports {
		at := path.Index(i)
		errs = append(errs, servicePort(at, spec, p)...)
		front, nodePort := fmt.Sprint(p.Port, "/", p.Protocol), fmt.Sprint(p.NodePort, "/", p.Protocol)
		switch {
		case p.Name == "" && len(spec.Ports) > 1:
			errs = append(errs, field.Required(at.Child("name"), ""))
		case p.Name != "" && names[p.Name]:
			errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
		case fronts[front]:
			errs = append(errs, field.Duplicate(at, front))
		case p.NodePort != 0 && nodePorts[nodePort]:
			errs = append(errs, field.Duplicate(at.Child("nodePort"), p.NodePort))
		}
		names[p.Name], fronts[front], nodePorts[nodePort] = true, true, true
	}
	return errs
}

func servicePort(path *field.Path, spec *corev1.ServiceSpec, p corev1.ServicePort) field.ErrorList {
	errs := append(portNumber(path.Child("port"), p.Port), protocol(path.Child("protocol"), p.Protocol)...)
	if p.Name != "" {
		for _, why := range validation.IsDNS1123Label(p.Name) {
			errs = append(errs, field.Invalid(path.Child("name"), p.Name, why))
		}
	}
	if p.TargetPort.Type == intstr.Int {
		errs = append(errs, portNumber(path.Child("targetPort"), p.TargetPort.IntVal)...)
	} else {
		for _, why := range validation.IsValidPortName(p.TargetPort.StrVal) {
			errs = append(errs, field.Invalid(path.Child("targetPort"), p.TargetPort.StrVal, why))
		}
	}
	if p.NodePort != 0 && !hasNodePorts(spec) {
		errs = append(errs, field.Forbidden(path.Child("nodePort"), "may not be used when `type` is '"+string(spec.Type)+"'"))
	}
	return errs
}

func serviceAddresses(path *field.Path, spec *corev1.ServiceSpec) (errs field.ErrorList) {
	for i, text := range spec.ExternalIPs {
		errs = append(errs, reachable(path.Child("externalIPs").Index(i), text)...)
	}
	for i, text := range spec.LoadBalancerSourceRanges {
		errs = append(errs, cidr(path.Child("loadBalancerSourceRanges").Index(i), text)...)
	}
	ips := path.Child("clusterIPs")
	switch {
	case spec.Type == corev1.ServiceTypeExternalName:
		if len(spec.ClusterIPs) > 0 {
			errs = append(errs, field.Forbidden(ips, "may not be set when `type` is 'ExternalName'"))
		}
		if spec.ExternalName == "" {
			errs = append(errs, field.Required(path.Child("externalName"), ""))
		}
		return errs
	case spec.ClusterIP == corev1.ClusterIPNone && hasNodePorts(spec):
		errs = append(errs, field.Invalid(ips.Index(0), spec.ClusterIP, "may not be set to 'None' for "+string(spec.Type)+" services"))
	case len(spec.ClusterIPs) > 0 && spec.ClusterIPs[0] != spec.ClusterIP:
		errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "first value must match `clusterIP`"))
	case len(spec.ClusterIPs) > len(spec.IPFamilies):
		errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "may only hold one value for each of `ipFamilies`"))
	}
	for i, text := range spec.ClusterIPs {
		ip, err := netip.ParseAddr(text)
		switch {
		case text == corev1.ClusterIPNone && len(spec.ClusterIPs) == 1:
		case err != nil:
			errs = append(errs, field.Invalid(ips.Index(i), text, "must be a valid IP address"))
		case i < len(spec.IPFamilies) && familyOf(ip) != spec.IPFamilies[i]:
			errs = append(errs, field.Invalid(ips.Index(i), text, fmt.Sprintf("expected an %s value as indicated by `ipFamilies[%d]`", spec.IPFamilies[i], i)))
		}
	}
	return errs
}

// serviceChange: the first cluster IP and the first family stay for as long as the Service has any.
func serviceChange(path *field.Path, now, was *corev1.ServiceSpec) (errs field.ErrorList) {
	if now.Type == corev1.ServiceTypeExternalName || was.Type == corev1.ServiceTypeExternalName || was.ClusterIP == "" {
		return nil
	}
	errs = fixed(path.Child("clusterIP"), now.ClusterIP, was.ClusterIP)
	if len(now.IPFamilies) > 0 && len(was.IPFamilies) > 0 && now.IPFamilies[0] != was.IPFamilies[0] {
		errs = append(errs, field.Invalid(path.Child("ipFamilies").Index(0), now.IPFamilies[0], "primary IP family cannot be changed"))
	}
	return errs
}
