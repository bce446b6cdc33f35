package kube

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/model"
)

// taintLeaving is what the cluster autoscaler puts on a node that it is about to remove; kube-proxy heeds it (KEP-3836).
const taintLeaving = "ToBeDeletedByClusterAutoscaler"

// ConvertNode takes over what the network needs of a Node.
func ConvertNode(o *corev1.Node) *model.Node {
	n := &model.Node{
		Name:          o.Name,
		UID:           string(o.UID),
		Zone:          o.Labels[labelZone],
		Created:       o.CreationTimestamp.Time,
		Labels:        o.Labels,
		Unschedulable: o.Spec.Unschedulable,
		Leaving:       o.DeletionTimestamp != nil || slices.ContainsFunc(o.Spec.Taints, func(t corev1.Taint) bool { return t.Key == taintLeaving }),
	}
	n.NotReady = slices.ContainsFunc(o.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue
	})
	_, n.ExcludeFromLB = o.Labels[labelExcludeLB]
	r := &remarks{object: n.Ref()}
	n.InternalIPs = nodeAddrs(r, o.Status.Addresses, corev1.NodeInternalIP)
	n.ExternalIPs = nodeAddrs(r, o.Status.Addresses, corev1.NodeExternalIP)
	nodeOptions(n, r, o.Annotations)
	if len(n.PodCIDRs) == 0 {
		n.PodCIDRs = specCIDRs(r, o)
	}
	n.Remarks = r.list
	return n
}

// nodeAddrs are the addresses of one type, in order. The status may list one several times.
func nodeAddrs(r *remarks, list []corev1.NodeAddress, t corev1.NodeAddressType) []netip.Addr {
	var good []netip.Addr
	for i, a := range list {
		if a.Type != t {
			continue
		}
		addr, err := parseUnicast(a.Address)
		if err != nil {
			r.add(fmt.Sprintf("status.addresses[%d]", i), "%s", err)
		} else if !slices.Contains(good, addr) {
			good = append(good, addr)
		}
	}
	return good
}

// specCIDRs are spec.podCIDRs; an old controller may have set spec.podCIDR alone.
func specCIDRs(r *remarks, o *corev1.Node) []netip.Prefix {
	if len(o.Spec.PodCIDRs) == 0 && o.Spec.PodCIDR != "" {
		return collect(r, "spec.podCIDR", []string{o.Spec.PodCIDR}, parseRange)
	}
	return collect(r, "spec.podCIDRs[%d]", o.Spec.PodCIDRs, parseRange)
}

// parseRange reads a range of pods. One of all addresses would take the default route and the masquerade from every
// node, whoever wrote it into a single one.
func parseRange(s string) (netip.Prefix, error) {
	p, err := parsePrefix(s)
	if err == nil && p.Bits() == 0 {
		return netip.Prefix{}, fmt.Errorf("%s ignored: all addresses are no range of pods", p)
	}
	return p, err
}
