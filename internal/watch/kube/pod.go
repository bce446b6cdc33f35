package kube

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"

	"kube-router/internal/model"
)

// ConvertPod takes over what a policy or a graceful end needs of a Pod; all the rest, by far the larger
// part, is dropped.
func ConvertPod(o *corev1.Pod) *model.Pod {
	p := &model.Pod{
		Name:        model.Name{Namespace: o.Namespace, Name: o.Name},
		UID:         string(o.UID),
		Node:        o.Spec.NodeName,
		HostNetwork: o.Spec.HostNetwork,
		Finished:    o.Status.Phase == corev1.PodSucceeded || o.Status.Phase == corev1.PodFailed,
		Labels:      o.Labels,
	}
	r := &remarks{object: p.Ref()}
	p.Addrs = podAddrs(r, o)
	p.Ports = podPorts(r, o)
	if g := o.Spec.TerminationGracePeriodSeconds; g != nil {
		p.Grace = grace(r, *g)
	}
	if ours(o.Annotations) {
		parseAnnotations(p, r, podAnnotations(), o.Annotations)
	}
	limits(p, r, o.Annotations)
	p.Packets = packets(o)
	p.Workload = workload(o)
	p.Remarks = r.list
	return p
}

// workload is the pod's controller. A ReplicaSet that a Deployment made is called as that, with the pods' template hash behind.
func workload(o *corev1.Pod) model.Workload {
	for _, r := range o.OwnerReferences {
		if r.Controller == nil || !*r.Controller {
			continue
		}
		if hash := o.Labels["pod-template-hash"]; r.Kind == "ReplicaSet" && hash != "" {
			if name, ok := strings.CutSuffix(r.Name, "-"+hash); ok {
				return model.Workload{Kind: "Deployment", Name: name}
			}
		}
		return model.Workload{Kind: r.Kind, Name: r.Name}
	}
	return model.Workload{}
}

// limits are the two annotations of Kubernetes for a pod's bandwidth, for runtimes that don't hand them on.
func limits(p *model.Pod, r *remarks, all map[string]string) {
	for _, l := range []struct {
		key string
		to  func(*model.Wish) *uint64
	}{
		{"kubernetes.io/ingress-bandwidth", func(w *model.Wish) *uint64 { return &w.Ingress }},
		{"kubernetes.io/egress-bandwidth", func(w *model.Wish) *uint64 { return &w.Egress }},
	} {
		text, there := all[l.key]
		if !there {
			continue
		}
		q, err := quantity.ParseQuantity(text)
		if err != nil || q.Value() <= 0 {
			r.add("metadata.annotations["+l.key+"]", "%q ignored: not a number of bits a second above 0, such as 10M", text)
			continue
		}
		*l.to(wish(p)) = uint64(q.Value())
	}
}

// wish is what the pod asks for its interface, to be filled in.
func wish(p *model.Pod) *model.Wish {
	if p.Wish == nil {
		p.Wish = &model.Wish{}
	}
	return p.Wish
}

// parseFixed reads fixed addresses. A pod whose wish can't be read gets no other address either: who asks for one relies on it.
func parseFixed(p *model.Pod, in input) {
	w := wish(p)
	for _, text := range strings.Split(in.text, ",") {
		a, err := netip.ParseAddr(strings.TrimSpace(text))
		same := func(b netip.Addr) bool { return a.Is4() == b.Is4() }
		switch {
		case err != nil || a.Zone() != "" || a.Is4In6():
			w.Wrong = fmt.Sprintf("%q is not an address", strings.TrimSpace(text))
		case slices.ContainsFunc(w.Addrs, same):
			w.Wrong = fmt.Sprintf("%q names two addresses of one family", in.text)
		default:
			w.Addrs = append(w.Addrs, a)
		}
	}
	if w.Wrong != "" {
		w.Addrs = nil
		in.wrong("%s, so with --cni-plugin=own the pod doesn't start", w.Wrong)
		w.Wrong = "annotation " + prefix + "fixed-ips: " + w.Wrong
	}
}

// podAnnotations is the table of a Pod's annotations.
func podAnnotations() []annotation[model.Pod] {
	return []annotation[model.Pod]{
		{"fixed-ips", "one address, or one of each family with a comma between", "the pod's addresses, of its node's pod range, with --cni-plugin=own; a pod whose address is taken or isn't in the range does not start", parseFixed},
		{"pod.weight", "1 to 65535", "the pod's share of connections where a Service's scheduler goes by weights (see Services)", parseWeight},
		{"socket-lb", "true or false", "whether the pod's connect() to a Service becomes one to an endpoint at once (--socket-lb); false: Services see its packets",
			func(p *model.Pod, in input) { p.AtSocket = override(in) }},
	}
}

// packets tells what of a pod must see the packets that it sends to Services: proxies of a mesh, which take them over by rules in the
// pod's network namespace and know Services by their addresses; and virtual machines, whose sockets nobody sees from outside.
func packets(o *corev1.Pod) string {
	for _, known := range []struct{ annotation, value, what string }{
		{"sidecar.istio.io/status", "", "Istio's sidecar"},
		{"ambient.istio.io/redirection", "enabled", "Istio's ambient mesh"},
		{"linkerd.io/proxy-version", "", "Linkerd's sidecar"},
		{"kubevirt.io/domain", "", "a virtual machine"},
	} {
		if value, ok := o.Annotations[known.annotation]; ok && (known.value == "" || value == known.value) {
			return known.what
		}
	}
	if o.Labels["kubevirt.io"] == "virt-launcher" {
		return "a virtual machine"
	}
	return ""
}

func parseWeight(p *model.Pod, in input) {
	n, err := strconv.ParseUint(strings.TrimSpace(in.text), 10, 16)
	if err != nil || n == 0 {
		in.wrong("%q ignored: not a number from 1 to 65535", in.text)
		return
	}
	p.Weight = uint16(n)
}

// podAddrs are status.podIPs; an old kubelet may have set status.podIP alone.
func podAddrs(r *remarks, o *corev1.Pod) []netip.Addr {
	if len(o.Status.PodIPs) == 0 && o.Status.PodIP != "" {
		return r.addrs("status.podIP", []string{o.Status.PodIP})
	}
	list := make([]string, len(o.Status.PodIPs))
	for i, a := range o.Status.PodIPs {
		list[i] = a.IP
	}
	return r.addrs("status.podIPs[%d].ip", list)
}

// podPorts are the named ports of the containers that run beside each other: init containers count only
// when they go on running (sidecars, KEP-753). The first of equal names and protocols has it, as for a
// Service's targetPort.
func podPorts(r *remarks, o *corev1.Pod) []model.PodPort {
	var good []model.PodPort
	for i, c := range o.Spec.Containers {
		good = containerPorts(r, good, fmt.Sprintf("spec.containers[%d]", i), c)
	}
	for i, c := range o.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			good = containerPorts(r, good, fmt.Sprintf("spec.initContainers[%d]", i), c)
		}
	}
	return good
}

func containerPorts(r *remarks, good []model.PodPort, container string, c corev1.Container) []model.PodPort {
	for i, p := range c.Ports {
		if p.Name == "" {
			continue
		}
		field := fmt.Sprintf("%s.ports[%d]", container, i)
		proto, err := parseProtocol(p.Protocol)
		if err != nil {
			r.add(field+".protocol", "port %q ignored: %s", p.Name, err)
			continue
		}
		port, err := parsePort(p.ContainerPort)
		if err != nil {
			r.add(field+".containerPort", "port %q ignored: %s", p.Name, err)
			continue
		}
		same := func(g model.PodPort) bool { return g.Name == p.Name && g.Protocol == proto }
		if !slices.ContainsFunc(good, same) {
			good = append(good, model.PodPort{Name: p.Name, Protocol: proto, Port: port})
		}
	}
	return good
}

// grace turns seconds into time; a value that time can't hold is as good as none.
func grace(r *remarks, seconds int64) time.Duration {
	const most = 365 * 24 * 3600
	if seconds < 0 || seconds > most {
		r.add("spec.terminationGracePeriodSeconds", "%d ignored: not from 0 to a year", seconds)
		return 0
	}
	return time.Duration(seconds) * time.Second
}
