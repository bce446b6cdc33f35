package row

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// KubeName names a namespaced object of the Kubernetes API.
type KubeName struct{ Namespace, Name string }

// String prints namespace/name.
func (n KubeName) String() string { return n.Namespace + "/" + n.Name }

// KubeIngress is what we write into status.loadBalancer.ingress of a Service: at most one address of each
// family. The zero Addr is none.
type KubeIngress struct {
	Service KubeName
	UID     string // of the Service: one that was made anew has nothing of what was written before
	V4, V6  netip.Addr
	Shares  bool   // the Service has a sharing key: others that have one may have the same addresses
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

// KubePool is what we write into the status of an AddressPool.
type KubePool struct {
	Name       string
	Generation int64      // of the object that it is about
	V4, V6     KubeUsage  // the zero value: the pool has no address of the family
	Ready      KubeReason // true: the pool gives addresses
	Conflict   KubeReason // true: older pools have some of its addresses
	Exhausted  KubeReason // true: nothing is left in a family
}

// KubeUsage counts the addresses of one family.
type KubeUsage struct {
	Has                        bool // the pool has addresses of the family
	Total, Assigned, Available int64
}

// KubeReason is a condition of an object: whether it holds, and why.
type KubeReason struct {
	Is     bool
	Reason string // in one word, as the API wants it
	Why    string
}

// Key is the pool.
func (r KubePool) Key() string { return r.Name }

// String prints the status in the words of kubectl.
func (r KubePool) String() string {
	text := fmt.Sprintf("addresspool %s generation %d", r.Name, r.Generation)
	for i, u := range []KubeUsage{r.V4, r.V6} {
		if u.Has {
			text += fmt.Sprintf(" ipv%d total=%d assigned=%d available=%d", 4+2*i, u.Total, u.Assigned, u.Available)
		}
	}
	for _, c := range []struct {
		name string
		KubeReason
	}{{"Ready", r.Ready}, {"Conflicting", r.Conflict}, {"Exhausted", r.Exhausted}} {
		text += fmt.Sprintf(" %s=%t", c.name, c.Is)
		if c.Why != "" {
			text += " (" + c.Why + ")"
		}
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
	AnnotationLacking  = "kube-router.io/policies-not-in-force"
)

// KubeEvent is a remark on an object, or something that happened to it, told as a Kubernetes Event.
type KubeEvent struct {
	Kind      string // Service
	Namespace string // empty for objects of the cluster
	Name      string
	UID       string // kubectl describe finds events by it
	Note      string // the remark: field and message
	Reason    string // one word for why it is told; empty: what the remark is about is ignored
	Normal    bool   // nothing is wrong; else it is a Warning

	At time.Time // when it happened, so that the same may happen again; zero: it is so
}

// Key is the event itself: nothing about it ever changes.
func (r KubeEvent) Key() KubeEvent { return r }

// Type is the event's type: Normal or Warning.
func (r KubeEvent) Type() string {
	if r.Normal {
		return "Normal"
	}
	return "Warning"
}

// String prints the event as kubectl get events does.
func (r KubeEvent) String() string {
	object := r.Name
	if r.Namespace != "" {
		object = r.Namespace + "/" + r.Name
	}
	return fmt.Sprintf("event %s %s %s %s: %s", r.Type(), cmp.Or(r.Reason, "Ignored"), strings.ToLower(r.Kind), object, r.Note)
}

// KubeVerdict is what we write into the status of an object about BGP.
type KubeVerdict struct {
	Object     KubeObject
	Generation int64 // of the object that it is about
	Nodes      int64 // that it selects
	Accepted   KubeReason
}

// KubeObject identifies an object of a kind of ours.
type KubeObject struct{ Kind, Name string }

// Key is the object.
func (r KubeVerdict) Key() KubeObject { return r.Object }

// String prints the status in the words of kubectl.
func (r KubeVerdict) String() string {
	text := fmt.Sprintf("%s %s generation %d nodes=%d Accepted=%t", strings.ToLower(r.Object.Kind), r.Object.Name, r.Generation, r.Nodes, r.Accepted.Is)
	if r.Accepted.Why != "" {
		text += " (" + r.Accepted.Why + ")"
	}
	return text
}
