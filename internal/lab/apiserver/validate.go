package apiserver

import (
	"net/netip"
	"reflect"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// oneOf refuses any value but those listed.
func oneOf[T ~string](path *field.Path, value T, allowed ...T) field.ErrorList {
	switch {
	case slices.Contains(allowed, value):
		return nil
	case value == "":
		return field.ErrorList{field.Required(path, "")}
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

func protocol(path *field.Path, p corev1.Protocol) field.ErrorList {
	return oneOf(path, p, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
}

// portNumber turns the messages about a port number, 1 to 65535, into errors.
func portNumber(path *field.Path, port int32) (errs field.ErrorList) {
	for _, why := range validation.IsValidPortNum(int(port)) {
		errs = append(errs, field.Invalid(path, port, why))
	}
	return errs
}

// reachable refuses what is no address, and the addresses that no endpoint and no externalIP may have: they would lead the traffic of
// others to the node itself.
func reachable(path *field.Path, text string) field.ErrorList {
	ip, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return field.ErrorList{field.Invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")}
	case ip.IsUnspecified():
		return field.ErrorList{field.Invalid(path, text, "may not be unspecified (0.0.0.0 or ::)")}
	case ip.IsLoopback():
		return field.ErrorList{field.Invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")}
	case ip.IsLinkLocalUnicast():
		return field.ErrorList{field.Invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")}
	case ip.IsLinkLocalMulticast():
		return field.ErrorList{field.Invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")}
	}
	return nil
}

func cidr(path *field.Path, text string) field.ErrorList {
	if _, err := netip.ParsePrefix(text); err != nil {
		return field.ErrorList{field.Invalid(path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")}
	}
	return nil
}

// fixed refuses a change of a field that can't change.
func fixed(path *field.Path, now, was any) field.ErrorList {
	if !reflect.DeepEqual(now, was) {
		return field.ErrorList{field.Invalid(path, now, "field is immutable")}
	}
	return nil
}

func selector(path *field.Path, s *metav1.LabelSelector) field.ErrorList {
	return metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, path)
}

// validateNode: pod CIDRs are at most one of each family, and once set they stay.
func validateNode(now, was Object) (errs field.ErrorList) {
	spec, path := now.(*corev1.Node).Spec, field.NewPath("spec", "podCIDRs")
	for i, text := range spec.PodCIDRs {
		errs = append(errs, cidr(path.Index(i), text)...)
	}
	if len(spec.PodCIDRs) > 0 && spec.PodCIDR != spec.PodCIDRs[0] {
		errs = append(errs, field.Invalid(path, spec.PodCIDRs, "podCIDRs[0] must be the same as podCIDR"))
	}
	if len(spec.PodCIDRs) > 2 || len(errs) == 0 && len(spec.PodCIDRs) == 2 && sameFamily(spec.PodCIDRs) {
		errs = append(errs, field.Invalid(path, spec.PodCIDRs, "may specify no more than one CIDR for each IP family"))
	}
	if old, ok := was.(*corev1.Node); ok && len(old.Spec.PodCIDRs) > 0 && !slices.Equal(old.Spec.PodCIDRs, spec.PodCIDRs) {
		errs = append(errs, field.Forbidden(path, "node updates may not change podCIDR except from \"\" to valid"))
	}
	return errs
}

func sameFamily(cidrs []string) bool {
	a, b := netip.MustParsePrefix(cidrs[0]), netip.MustParsePrefix(cidrs[1])
	return a.Addr().Is4() == b.Addr().Is4()
}

func validatePod(now, was Object) (errs field.ErrorList) {
	pod := now.(*corev1.Pod)
	errs = podSpec(field.NewPath("spec"), &pod.Spec)
	for i, ip := range pod.Status.PodIPs {
		if _, err := netip.ParseAddr(ip.IP); err != nil {
			errs = append(errs, field.Invalid(field.NewPath("status", "podIPs").Index(i), ip.IP, "must be a valid IP address"))
		}
	}
	if old, ok := was.(*corev1.Pod); ok && !reflect.DeepEqual(settled(&pod.Spec, &old.Spec), old.Spec) {
		errs = append(errs, field.Forbidden(field.NewPath("spec"), "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, "+
			"`spec.activeDeadlineSeconds`, `spec.tolerations`, `spec.terminationGracePeriodSeconds`, or `spec.nodeName` of a pod without a node"))
	}
	return errs
}

// settled is a pod's spec with what may change put back. Binding to a node is done here too: the lab's scheduler is no more than that.
func settled(now, was *corev1.PodSpec) corev1.PodSpec {
	spec := *now.DeepCopy()
	for i := range min(len(spec.Containers), len(was.Containers)) {
		spec.Containers[i].Image = was.Containers[i].Image
	}
	for i := range min(len(spec.InitContainers), len(was.InitContainers)) {
		spec.InitContainers[i].Image = was.InitContainers[i].Image
	}
	spec.ActiveDeadlineSeconds, spec.Tolerations, spec.TerminationGracePeriodSeconds = was.ActiveDeadlineSeconds, was.Tolerations, was.TerminationGracePeriodSeconds
	if was.NodeName == "" {
		spec.NodeName = ""
	}
	return spec
}

func podSpec(path *field.Path, spec *corev1.PodSpec) (errs field.ErrorList) {
	if len(spec.Containers) == 0 {
		errs = append(errs, field.Required(path.Child("containers"), ""))
	}
	seen := map[string]bool{}
	for i, c := range spec.Containers {
		at := path.Child("containers").Index(i)
		for _, why := range validation.IsDNS1123Label(c.Name) {
			errs = append(errs, field.Invalid(at.Child("name"), c.Name, why))
		}
		if seen[c.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		}
		seen[c.Name] = true
		if c.Image == "" {
			errs = append(errs, field.Required(at.Child("image"), ""))
		}
		for j, p := range c.Ports {
			errs = append(errs, portNumber(at.Child("ports").Index(j).Child("containerPort"), p.ContainerPort)...)
			errs = append(errs, protocol(at.Child("ports").Index(j).Child("protocol"), p.Protocol)...)
		}
	}
	return errs
}

func validateDeployment(now, was Object) field.ErrorList {
	d := now.(*appsv1.Deployment)
	errs := workload(d.Spec.Selector, &d.Spec.Template)
	if d.Spec.Replicas != nil && *d.Spec.Replicas < 0 {
		errs = append(errs, field.Invalid(field.NewPath("spec", "replicas"), *d.Spec.Replicas, "must be greater than or equal to 0"))
	}
	if old, ok := was.(*appsv1.Deployment); ok {
		errs = append(errs, fixed(field.NewPath("spec", "selector"), d.Spec.Selector, old.Spec.Selector)...)
	}
	return errs
}

func validateDaemonSet(now, _ Object) field.ErrorList {
	d := now.(*appsv1.DaemonSet)
	return workload(d.Spec.Selector, &d.Spec.Template)
}

// workload: a controller must select the pods that it makes.
func workload(s *metav1.LabelSelector, template *corev1.PodTemplateSpec) field.ErrorList {
	path := field.NewPath("spec")
	if s == nil {
		return field.ErrorList{field.Required(path.Child("selector"), "")}
	}
	errs := append(selector(path.Child("selector"), s), podSpec(path.Child("template", "spec"), &template.Spec)...)
	if sel, err := metav1.LabelSelectorAsSelector(s); err == nil && (sel.Empty() || !sel.Matches(labels.Set(template.Labels))) {
		errs = append(errs, field.Invalid(path.Child("template", "metadata", "labels"), template.Labels, "`selector` does not match template `labels`"))
	}
	return errs
}

func validateSlice(now, was Object) (errs field.ErrorList) {
	slice := now.(*discoveryv1.EndpointSlice)
	errs = oneOf(field.NewPath("addressType"), slice.AddressType, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN)
	for i, ep := range slice.Endpoints {
		errs = append(errs, endpointAddresses(field.NewPath("endpoints").Index(i).Child("addresses"), slice.AddressType, ep.Addresses)...)
	}
	seen := map[string]bool{}
	for i, p := range slice.Ports {
		path := field.NewPath("ports").Index(i)
		if seen[*p.Name] {
			errs = append(errs, field.Duplicate(path.Child("name"), *p.Name))
		}
		seen[*p.Name] = true
		errs = append(errs, protocol(path.Child("protocol"), *p.Protocol)...)
		if p.Port != nil {
			errs = append(errs, portNumber(path.Child("port"), *p.Port)...)
		}
	}
	if old, ok := was.(*discoveryv1.EndpointSlice); ok {
		errs = append(errs, fixed(field.NewPath("addressType"), slice.AddressType, old.AddressType)...)
	}
	return errs
}

func endpointAddresses(path *field.Path, typ discoveryv1.AddressType, addresses []string) (errs field.ErrorList) {
	if len(addresses) == 0 || len(addresses) > 100 {
		return field.ErrorList{field.Required(path, "must contain at least 1 and at most 100 addresses")}
	}
	for i, text := range addresses {
		if typ == discoveryv1.AddressTypeFQDN {
			errs = append(errs, validation.IsFullyQualifiedDomainName(path.Index(i), text)...)
			continue
		}
		errs = append(errs, reachable(path.Index(i), text)...)
		if ip, err := netip.ParseAddr(text); err == nil && ip.Is4() != (typ == discoveryv1.AddressTypeIPv4) {
			errs = append(errs, field.Invalid(path.Index(i), text, "must be of the slice's addressType "+string(typ)))
		}
	}
	return errs
}

func validatePolicy(now, _ Object) (errs field.ErrorList) {
	spec, path := &now.(*networkingv1.NetworkPolicy).Spec, field.NewPath("spec")
	errs = selector(path.Child("podSelector"), &spec.PodSelector)
	for i, typ := range spec.PolicyTypes {
		errs = append(errs, oneOf(path.Child("policyTypes").Index(i), typ, networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress)...)
	}
	for i, rule := range spec.Ingress {
		errs = append(errs, policyRule(path.Child("ingress").Index(i), "from", rule.From, rule.Ports)...)
	}
	for i, rule := range spec.Egress {
		errs = append(errs, policyRule(path.Child("egress").Index(i), "to", rule.To, rule.Ports)...)
	}
	return errs
}

func policyRule(path *field.Path, peers string, to []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) (errs field.ErrorList) {
	for i, p := range ports {
		at := path.Child("ports").Index(i)
		errs = append(errs, protocol(at.Child("protocol"), *p.Protocol)...)
		if p.Port != nil && p.Port.Type == intstr.Int {
			errs = append(errs, portNumber(at.Child("port"), p.Port.IntVal)...)
		}
		if p.EndPort != nil && (p.Port == nil || p.Port.Type == intstr.String || *p.EndPort < p.Port.IntVal) {
			errs = append(errs, field.Invalid(at.Child("endPort"), *p.EndPort, "must be greater than or equal to `port`, which must be a number"))
		}
	}
	for i, peer := range to {
		errs = append(errs, policyPeer(path.Child(peers).Index(i), peer)...)
	}
	return errs
}

func policyPeer(path *field.Path, peer networkingv1.NetworkPolicyPeer) (errs field.ErrorList) {
	if peer.IPBlock != nil && (peer.PodSelector != nil || peer.NamespaceSelector != nil) {
		return field.ErrorList{field.Forbidden(path, "may not specify both ipBlock and another peer")}
	}
	if peer.IPBlock == nil {
		if peer.PodSelector == nil && peer.NamespaceSelector == nil {
			return field.ErrorList{field.Required(path, "must specify a peer")}
		}
		return append(selector(path.Child("podSelector"), peer.PodSelector), selector(path.Child("namespaceSelector"), peer.NamespaceSelector)...)
	}
	block := path.Child("ipBlock")
	errs = cidr(block.Child("cidr"), peer.IPBlock.CIDR)
	outer, err := netip.ParsePrefix(peer.IPBlock.CIDR)
	for i, text := range peer.IPBlock.Except {
		errs = append(errs, cidr(block.Child("except").Index(i), text)...)
		inner, bad := netip.ParsePrefix(text)
		if err == nil && bad == nil && (!outer.Contains(inner.Addr()) || inner.Bits() <= outer.Bits()) {
			errs = append(errs, field.Invalid(block.Child("except").Index(i), text, "must be a strict subset of `cidr`"))
		}
	}
	return errs
}
