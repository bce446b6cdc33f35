package policy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/row"
)

const namesSpec = `{tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {ns: x}}}, egress: [
  {action: Accept, to: [{domainNames: ["*.example.com", exact.org]}]}, {action: Deny, to: [{networks: [0.0.0.0/0, "::/0"]}]}]}`

func domain(name string, addrs ...string) *model.Domain {
	d := &model.Domain{Name: name}
	for _, a := range addrs {
		d.Addrs = append(d.Addrs, netip.MustParseAddr(a))
	}
	return d
}

func (n *node) put(o model.Object) { n.change(map[model.Ref]model.Object{o.Ref(): o}) }

func (n *node) reaches(t *testing.T, to string) bool {
	t.Helper()
	from := "10.1.0.1"
	if strings.Contains(to, ":") {
		from = "fd00::1"
	}
	return allows(t, n.tracer(), netip.MustParseAddr(from), netip.MustParseAddr(to), 6, 443)
}

// TestDomainShares: an address stays while one name stands for it, whatever becomes of others; what lapses ends no flow that stands.
func TestDomainShares(t *testing.T) {
	p := clusterPolicy(t, "p", namesSpec)
	n := tierWorld(t, p)
	n.put(domain("a.example.com", "192.0.2.1", "2001:db8::1"))
	n.put(domain("b.example.com", "192.0.2.1"))
	if !n.reaches(t, "192.0.2.1") || !n.reaches(t, "2001:db8::1") || n.reaches(t, "192.0.2.2") {
		t.Fatal("names open something else than what they stand for")
	}
	n.put(domain("b.example.com", "192.0.2.2"))
	if !n.reaches(t, "192.0.2.1") {
		t.Error("an address went with one of its names")
	}
	lapsed := domain("a.example.com")
	lapsed.Lapsed = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	n.put(lapsed)
	flow := policy.Flow{From: netip.MustParseAddr("10.1.0.1"), To: netip.MustParseAddr("192.0.2.1"), Protocol: model.TCP, Port: 443}
	if egress, _ := n.planner.Judge(flow); n.reaches(t, "192.0.2.1") || egress.Allowed || n.planner.Forbids(flow) {
		t.Errorf("after its time: begins %t, %s, ends what stands %t", n.reaches(t, "192.0.2.1"), egress, n.planner.Forbids(flow))
	}
	n.same(t)
	n.change(map[model.Ref]model.Object{p.Ref(): nil})
	for _, l := range lines(n) {
		if strings.Contains(l, "policy-resolvers") || strings.Contains(l, "policy-learners") || strings.Contains(l, "queue") || strings.Contains(l, "192.0.2.2") {
			t.Errorf("a policy that is gone leaves: %s", l)
		}
	}
}

// TestDomainsOpenNoNode: no name opens a node, nor a pod unless it is the cluster's, whoever was there first.
func TestDomainsOpenNoNode(t *testing.T) {
	n := tierWorld(t, clusterPolicy(t, "p", strings.Replace(namesSpec, "exact.org", `"*.svc.cluster.local"`, 1)))
	n.put(domain("a.example.com", "192.0.2.1", "10.1.1.1"))
	if !n.reaches(t, "192.0.2.1") || n.reaches(t, "10.1.1.1") {
		t.Error("a name opens a pod")
	}
	node := &model.Node{Name: "n7", InternalIPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	n.put(node)
	if n.reaches(t, "192.0.2.1") {
		t.Error("a name opens a node that came later")
	}
	n.same(t)
	n.change(map[model.Ref]model.Object{node.Ref(): nil})
	if !n.reaches(t, "192.0.2.1") {
		t.Error("the address of a node that is gone stays shut")
	}
	n.put(domain("b.y.svc.cluster.local", "10.1.1.1"))
	if !n.reaches(t, "10.1.1.1") {
		t.Error("a pod's own name doesn't open it")
	}
	n.same(t)
}

// TestResolvers: the answers of the cluster's DNS count, by its Service and by its endpoints, and those of whom a flag names; towards pods whose
// policies name domains, and while there are any.
func TestResolvers(t *testing.T) {
	s := settings("n1")
	s.Policy.Names.Resolvers = []netip.Addr{netip.MustParseAddr("169.254.20.10")}
	dns := &model.Service{Name: model.Name{Namespace: "kube-system", Name: "whatever"}, Labels: map[string]string{"k8s-app": "kube-dns"},
		ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.10")}, Ports: []model.ServicePort{{Name: "dns", Protocol: model.UDP, Port: 53}, {Name: "metrics", Protocol: model.TCP, Port: 9153}}}
	slice := &model.Slice{Name: model.Name{Namespace: "kube-system", Name: "whatever-1"}, Service: dns.Name,
		Ports: []model.SlicePort{{Name: "dns", Protocol: model.UDP, Port: 5353}, {Name: "metrics", Protocol: model.TCP, Port: 9153}}, Endpoints: []model.Endpoint{{Addrs: []netip.Addr{netip.MustParseAddr("10.1.7.7")}}}}
	other := &model.Service{Name: model.Name{Namespace: "x", Name: "kube-dns"}, Labels: dns.Labels, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.66")}, Ports: dns.Ports}
	p := clusterPolicy(t, "p", namesSpec)
	n := newNode(s, &model.Namespace{Name: "x", Labels: map[string]string{"ns": "x"}}, &model.Namespace{Name: "y"}, tierPod("x", "a", "10.1.0.1"), tierPod("y", "b", "10.1.1.1"), other)
	if n.planner.Resolvers() != nil {
		t.Error("answers are held though no policy names a domain")
	}
	n.put(p)
	if got := fmt.Sprint(n.planner.Resolvers().At); got != "[169.254.20.10 tcp/53 169.254.20.10 udp/53]" {
		t.Error(got)
	}
	n.put(dns)
	n.put(slice)
	if got := fmt.Sprint(n.planner.Resolvers().At); got != "[10.1.7.7 udp/5353 10.96.0.10 udp/53 169.254.20.10 tcp/53 169.254.20.10 udp/53]" {
		t.Error(got)
	}
	var learners []string
	for _, r := range n.all() {
		if e, ok := r.(row.NftElement); ok && strings.HasPrefix(e.Of.Value().Name, "policy-learners") {
			learners = append(learners, e.String())
		}
	}
	if len(learners) != 1 || !strings.Contains(learners[0], "10.1.0.1") {
		t.Errorf("who learns: %v", learners)
	}
	n.same2(t, dns, slice, other)
	n.change(map[model.Ref]model.Object{slice.Ref(): nil, dns.Ref(): nil})
	if got := fmt.Sprint(n.planner.Resolvers().At); got != "[169.254.20.10 tcp/53 169.254.20.10 udp/53]" {
		t.Error(got)
	}
}

// same2 is a cold start beside Services.
func (n *node) same2(t *testing.T, more ...model.Object) {
	t.Helper()
	var objects []model.Object
	for _, o := range n.m.Pods {
		objects = append(objects, o)
	}
	for _, o := range n.m.Namespaces {
		objects = append(objects, o)
	}
	for _, o := range n.m.Cluster {
		objects = append(objects, o)
	}
	cold := newNode(n.m.Settings, append(objects, more...)...)
	if a, b := strings.Join(lines(cold), "\n"), strings.Join(lines(n), "\n"); a != b {
		t.Errorf("cold:\n%s\nchanged:\n%s", a, b)
	}
}

// TestDomainCost: what an answer touches doesn't grow with the names that are known.
func TestDomainCost(t *testing.T) {
	n := tierWorld(t, clusterPolicy(t, "p", namesSpec))
	var touched [2]int
	for i, many := range []int{10, 5000} {
		for j := range many {
			n.put(domain(fmt.Sprintf("n%d.example.com", j), fmt.Sprintf("198.18.%d.%d", j/250, j%250)))
		}
		begun := time.Now()
		n.put(domain(fmt.Sprintf("last%d.example.com", i), "192.0.2.1"))
		touched[i] = n.touched
		t.Logf("%d names: %d units in %s", many, n.touched, time.Since(begun))
	}
	if touched[0] != touched[1] || touched[0] != 1 {
		t.Errorf("one answer touches %v units", touched)
	}
}
