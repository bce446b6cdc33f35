package row

import (
	"fmt"
	"net/netip"
	"strings"
)

// KubeName names a namespaced object of the Kubernetes API.
type KubeName struct{ Namespace, Name string }

// String prints namespace/name.
func (n KubeName) String() string { return n.Namespace + "/" + n.Name }

// KubeIngress is what we write into status.loadBalancer.ingress of a Service: at most one address of each
// family. The zero Addr is none.
type KubeIngress struct {
	Service KubeName
	V4, V6  netip.Addr
	Stale   string // addresses of ours beside them that have to go, separated by commas; only in what is there
}

// Key is the Service.
func (r KubeIngress) Key() KubeName { return r.Service }

// Addrs are the addresses, IPv4 first.
func (r KubeIngress) Addrs() []netip.Addr {
	var list []netip.Addr
	for _, a := range []netip.Addr{r.V4, r.V6} {
		if a.IsValid() {
			list = append(list, a)
		}
	}
	return list
}

// String prints the Service with its addresses as the EXTERNAL-IP column of kubectl shows them.
func (r KubeIngress) String() string {
	var list []string
	for _, a := range r.Addrs() {
		list = append(list, a.String())
	}
	text := fmt.Sprintf("service %s external-ip %s", r.Service, strings.Join(list, ","))
	if r.Stale != "" {
		text += " stale " + r.Stale
	}
	return text
}

// KubeCondition is one condition of a Node that we report.
type KubeCondition struct {
	Node    string
	Type    string // NetworkUnavailable
	Status  bool
	Message string
}

// KubeConditionKey identifies a condition.
type KubeConditionKey struct{ Node, Type string }

// Key is the Node and the condition's type.
func (r KubeCondition) Key() KubeConditionKey { return KubeConditionKey{r.Node, r.Type} }

// String prints the condition as kubectl describe does.
func (r KubeCondition) String() string {
	status := "False"
	if r.Status {
		status = "True"
	}
	return fmt.Sprintf("node %s condition %s %s %s", r.Node, r.Type, status, r.Message)
}

// KubeAnnotation is an annotation of this daemon's own Node.
type KubeAnnotation struct{ Node, Name, Value string }

// KubeAnnotationKey identifies an annotation of a Node.
type KubeAnnotationKey struct{ Node, Name string }

// Key is the Node and the annotation's name.
func (r KubeAnnotation) Key() KubeAnnotationKey { return KubeAnnotationKey{r.Node, r.Name} }

// String prints the annotation as kubectl annotate takes it.
func (r KubeAnnotation) String() string {
	return fmt.Sprintf("node %s annotation %s=%s", r.Node, r.Name, r.Value)
}

// The annotations that the daemon writes on its own Node.
const (
	AnnotationWireKey  = "kube-router.io/wireguard-key"
	AnnotationWireAlso = "kube-router.io/wireguard-also"
	AnnotationWirePort = "kube-router.io/wireguard-port"
)

// KubeEvent is a remark on an object, told as a Kubernetes Event of type Warning.
type KubeEvent struct {
	Kind      string // Service
	Namespace string // empty for objects of the cluster
	Name      string
	UID       string // kubectl describe finds events by it
	Note      string // the remark: field and message
}

// Key is the event itself: nothing about it ever changes.
func (r KubeEvent) Key() KubeEvent { return r }

// String prints the event as kubectl get events does.
func (r KubeEvent) String() string {
	object := r.Name
	if r.Namespace != "" {
		object = r.Namespace + "/" + r.Name
	}
	return fmt.Sprintf("event Warning Ignored %s %s: %s", strings.ToLower(r.Kind), object, r.Note)
}
