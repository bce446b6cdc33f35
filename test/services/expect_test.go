package services

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kind is the kind of a Service's address.
type kind string

const (
	clusterKind  kind = "cluster IP"
	nodePortKind kind = "node port"
	balancerKind kind = "balancer"
	externalKind kind = "external IP"
)

// policy is a traffic policy.
type policy string

const (
	cluster policy = "Cluster"
	local   policy = "Local"
)

// who is an endpoint or a client: its name, the node that it is on or is ("" outside), and its addresses.
type who struct {
	name  string
	node  string
	pod   bool
	addrs []netip.Addr
}

// question is one row of the table.
type question struct {
	internal, external policy
	kind               kind
	client             who
	entry              who // the node whose proxy the packet meets first
}

// answer is what the API promises for a question.
type answer struct {
	must    []string // each of them answers in time, if it is asked often enough
	may     []string // nobody else ever answers
	nobody  bool     // no answer is right too, or, without anybody in may, the only right one
	sources map[string][]netip.Addr
}

// expect reads the API's text (core/v1 ServiceSpec). Of internalTrafficPolicy: "If set to 'Local', the proxy will assume that pods only
// want to talk to endpoints of the service on the same node as the pod, dropping the traffic if there are no local endpoints." Of
// externalTrafficPolicy: "each node will deliver traffic only to the node-local endpoints of the service, without masquerading the
// client source IP. (Traffic mistakenly sent to a node with no endpoints will be dropped.) […] Note that traffic sent to an External IP
// or LoadBalancer IP from within the cluster will always get 'Cluster' semantics, but clients sending to a NodePort from within the
// cluster may need to take traffic policy into account when picking a node."
func expect(q question, endpoints []who) answer {
	var all, here []string
	for _, e := range endpoints {
		all = append(all, e.name)
		if e.node == q.entry.name {
			here = append(here, e.name)
		}
	}
	inside := q.client.node != ""
	a := answer{must: all, may: all}
	obeyed := q.internal
	switch {
	case q.kind == clusterKind:
	case inside && q.kind != nodePortKind:
		obeyed = cluster
	case inside && q.client.node == q.entry.name && q.external == local:
		// "May need to take traffic policy into account": either is right.
		a.must, a.nobody = here, len(here) == 0
		obeyed = cluster
	default:
		obeyed = q.external
	}
	if obeyed == local {
		a.must, a.may = here, here
	}
	a.nobody = a.nobody || len(a.may) == 0
	a.sources = map[string][]netip.Addr{}
	for _, e := range endpoints {
		a.sources[e.name] = sources(q, obeyed, e)
	}
	return a
}

// sources are the source addresses that an endpoint may see. A node's own traffic has one of the node's addresses. A pod keeps its
// address where its own node's proxy sends it on. Under external policy Local everybody keeps it. All others may be masked by the node
// that they enter at, and must be if the endpoint is elsewhere, or its replies would not come back that way.
func sources(q question, obeyed policy, endpoint who) []netip.Addr {
	own := q.client.node == q.entry.name
	switch {
	case own:
		return q.client.addrs
	case q.kind != clusterKind && obeyed == local:
		return q.client.addrs
	case endpoint.node == q.entry.name:
		return slices.Concat(q.entry.addrs, q.client.addrs)
	}
	return q.entry.addrs
}

// TestExpect holds the reader of the API's text to some sentences of it.
func TestExpect(t *testing.T) {
	at := func(a string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(a)} }
	n1, n3 := who{name: "n1", node: "n1", addrs: at("192.0.2.1")}, who{name: "n3", node: "n3", addrs: at("192.0.2.3")}
	endpoints := []who{{name: "a", node: "n1"}, {name: "b", node: "n2"}}
	pod := who{name: "pod", node: "n3", pod: true, addrs: at("10.0.3.9")}
	outside := who{name: "outside", addrs: at("198.51.100.1")}
	for _, c := range []struct {
		text   string
		q      question
		may    []string
		nobody bool
		saw    []netip.Addr // by endpoint b
	}{
		{"a pod keeps its address", question{cluster, cluster, clusterKind, pod, n3}, []string{"a", "b"}, false, pod.addrs},
		{"internal Local without endpoints", question{local, cluster, clusterKind, pod, n3}, nil, true, pod.addrs},
		{"internal Local means cluster IPs only", question{local, cluster, balancerKind, pod, n3}, []string{"a", "b"}, false, pod.addrs},
		{"a balancer from within is always Cluster", question{cluster, local, balancerKind, pod, n3}, []string{"a", "b"}, false, pod.addrs},
		{"external Local takes local endpoints", question{cluster, local, externalKind, outside, n1}, []string{"a"}, false, outside.addrs},
		{"external Local without endpoints", question{cluster, local, externalKind, outside, n3}, nil, true, outside.addrs},
		{"an outside client is masked", question{cluster, cluster, nodePortKind, outside, n3}, []string{"a", "b"}, false, n3.addrs},
		{"own node's port under Local", question{cluster, local, nodePortKind, pod, n3}, []string{"a", "b"}, true, pod.addrs},
		{"another node's port under Local", question{cluster, local, nodePortKind, pod, n1}, []string{"a"}, false, pod.addrs},
	} {
		got := expect(c.q, endpoints)
		if diff := cmp.Diff(c.may, got.may); diff != "" || got.nobody != c.nobody {
			t.Errorf("%s: may %v, nobody %v, want %v, %v", c.text, got.may, got.nobody, c.may, c.nobody)
		}
		if !slices.Equal(got.sources["b"], c.saw) {
			t.Errorf("%s: sources %v, want %v", c.text, got.sources["b"], c.saw)
		}
	}
}
