package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	checkLabel = "kube-router.io/check" // on the namespace, so that one that was left is found
	checkPort  = 8080
	roleLabel  = "role"
)

// stage is the namespace of a check with what is in it.
type stage struct {
	*Cluster
	nodes     []Node
	image     string
	namespace string
	probes    []*corev1.Pod // one on each node, and one more on the first
	shut      *corev1.Pod   // takes only what comes from the first
	service   *corev1.Service
	own       *corev1.Service // leads to the first pod alone
}

// build makes everything and waits until the pods are ready.
func (s *stage) build(ctx context.Context, tell func(string)) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "kube-router-check-", Labels: map[string]string{
		checkLabel: "true", "pod-security.kubernetes.io/enforce": "restricted",
	}}}
	if err := s.core().Post().Resource("namespaces").Body(ns).Do(ctx).Into(ns); err != nil {
		return fmt.Errorf("namespace of the check: %w", err)
	}
	s.namespace = ns.Name
	tell(fmt.Sprintf("namespace %s: a pod on each of %d nodes, image %s", ns.Name, len(s.nodes), s.image))
	for i, n := range append(s.nodes[:len(s.nodes):len(s.nodes)], s.nodes[0]) {
		s.probes = append(s.probes, s.pod("probe-"+strconv.Itoa(i), n.Name, "probe"))
	}
	s.shut = s.pod("shut", s.nodes[len(s.nodes)-1].Name, "shut")
	s.service, s.own = s.serviceOf("probe", corev1.ServiceTypeNodePort, map[string]string{roleLabel: "probe"}), s.serviceOf("own", corev1.ServiceTypeClusterIP, map[string]string{"name": "probe-0"})
	if err := s.create(ctx, "networking.k8s.io", "networkpolicies", s.policy()); err != nil {
		return err
	}
	for _, service := range []*corev1.Service{s.service, s.own} {
		if err := s.create(ctx, "", "services", service); err != nil {
			return err
		}
	}
	for _, pod := range append(s.probes[:len(s.probes):len(s.probes)], s.shut) {
		if err := s.create(ctx, "", "pods", pod); err != nil {
			return err
		}
	}
	return s.wait(ctx, tell)
}

func (s *stage) create(ctx context.Context, group, resource string, obj runtime.Object) error {
	if err := s.groups[group].Post().Namespace(s.namespace).Resource(resource).Body(obj).Do(ctx).Into(obj); err != nil {
		return fmt.Errorf("%s of the check: %w", resource, err)
	}
	return nil
}

// pod is a pod server bound to a node, as small and as unprivileged as can be, whatever taints the node has.
func (s *stage) pod(name, node, role string) *corev1.Pod {
	yes, no, user, grace := true, false, int64(65534), int64(1)
	port := strconv.Itoa(checkPort)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace, Labels: map[string]string{roleLabel: role, "name": name}},
		Spec: corev1.PodSpec{
			NodeName: node, TerminationGracePeriodSeconds: &grace, AutomountServiceAccountToken: &no,
			Tolerations:     []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: &user, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: "server", Image: s.image, ImagePullPolicy: corev1.PullIfNotPresent,
				Command: []string{program, "lab", "pod-server", "--tcp", port, "--udp", port, "--pod", s.namespace + "/" + name, "--node", node},
				Ports: []corev1.ContainerPort{
					{Name: "tcp", ContainerPort: checkPort, Protocol: corev1.ProtocolTCP}, {Name: "udp", ContainerPort: checkPort, Protocol: corev1.ProtocolUDP},
				},
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			}},
		},
	}
}

func (s *stage) serviceOf(name string, kind corev1.ServiceType, selector map[string]string) *corev1.Service {
	both, port := corev1.IPFamilyPolicyPreferDualStack, intstr.FromInt32(checkPort)
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace},
		Spec: corev1.ServiceSpec{Type: kind, Selector: selector, IPFamilyPolicy: &both, Ports: []corev1.ServicePort{
			{Name: "tcp", Port: 80, TargetPort: port, Protocol: corev1.ProtocolTCP}, {Name: "udp", Port: 80, TargetPort: port, Protocol: corev1.ProtocolUDP},
		}},
	}
}

// policy has the shut pod take what comes from the first probe alone.
func (s *stage) policy() *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "shut", Namespace: s.namespace},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{roleLabel: "shut"}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{
				{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"name": "probe-0"}}},
			}}},
		},
	}
}

// wait waits until all pods are ready, and takes their addresses.
func (s *stage) wait(ctx context.Context, tell func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, starting)
	defer cancel()
	told := ""
	for {
		var pods corev1.PodList
		if err := s.list(ctx, "", "pods", s.namespace, metav1.ListOptions{}, &pods); err != nil {
			return err
		}
		var waiting []string
		for i := range pods.Items {
			pod := &pods.Items[i]
			if why, ready := readiness(pod); !ready {
				waiting = append(waiting, fmt.Sprintf("%s on %s%s", pod.Name, pod.Spec.NodeName, why))
			}
			for j, p := range s.probes {
				if p.Name == pod.Name {
					s.probes[j] = pod
				}
			}
			if pod.Name == s.shut.Name {
				s.shut = pod
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		if text := strings.Join(waiting, ", "); text != told {
			told = text
			tell("waiting for " + text)
		}
		if err := nap(ctx); err != nil {
			return fmt.Errorf("the pods of the check don't get ready: %s: %w", told, err)
		}
	}
}

// readiness tells whether a pod is ready, and if not why, as far as its status says.
func readiness(pod *corev1.Pod) (why string, ready bool) {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return "", true
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil {
			why += " (" + strings.TrimSpace(w.Reason+" "+w.Message) + ")"
		}
	}
	return why, false
}

// questions are what probe i asks.
func (s *stage) questions(i int) (list []CheckResult) {
	from := s.probes[i]
	add := func(check, expect, proto, ip string, port int32, to, want string) {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			return
		}
		family := "IPv4"
		if addr.Is6() {
			family = "IPv6"
		}
		list = append(list, CheckResult{Check: check, Family: family, From: from.Spec.NodeName, To: to, want: want,
			Probe: expect + ":" + proto + "/" + net.JoinHostPort(ip, strconv.Itoa(int(port)))})
	}
	name := func(p *corev1.Pod) string { return s.namespace + "/" + p.Name }
	for j, p := range s.probes {
		check := "pod to pod, other node"
		if p.Spec.NodeName == from.Spec.NodeName {
			check = "pod to pod, same node"
		}
		for _, ip := range p.Status.PodIPs {
			if j == i {
				continue
			}
			add(check, "ok", "tcp", ip.IP, checkPort, p.Spec.NodeName, name(p))
			add(check, "ok", "udp", ip.IP, checkPort, p.Spec.NodeName, name(p))
			add(check+", 300 kB", "big", "tcp", ip.IP, checkPort, p.Spec.NodeName, "")
			add(check+", fragments", "big", "udp", ip.IP, checkPort, p.Spec.NodeName, "")
		}
	}
	for _, ip := range s.service.Spec.ClusterIPs {
		add("pod to Service", "ok", "tcp", ip, 80, "Service", "")
		add("pod to Service", "ok", "udp", ip, 80, "Service", "")
	}
	for _, ip := range s.own.Spec.ClusterIPs {
		check := "pod to Service of one pod"
		if i == 0 {
			check = "pod to itself by its Service"
		}
		add(check, "ok", "tcp", ip, 80, "Service", name(s.probes[0]))
	}
	for _, n := range s.nodes {
		for _, a := range n.Object.Status.Addresses {
			for _, port := range s.service.Spec.Ports {
				if a.Type == corev1.NodeInternalIP {
					add("pod to node port", "ok", strings.ToLower(string(port.Protocol)), a.Address, port.NodePort, n.Name, "")
				}
			}
		}
	}
	for _, ip := range s.shut.Status.PodIPs {
		if i == 0 {
			add("what a policy allows", "ok", "tcp", ip.IP, checkPort, s.shut.Spec.NodeName, name(s.shut))
		} else {
			add("what a policy forbids", "no", "tcp", ip.IP, checkPort, s.shut.Spec.NodeName, "")
			add("what a policy forbids", "no", "udp", ip.IP, checkPort, s.shut.Spec.NodeName, "")
		}
	}
	return list
}
