package stage

import (
	"fmt"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// A load is the worst that one tenant does to a node, n times, in one batch.
type load struct {
	name  string
	n     int
	world func(n int) []model.Object // what stands before
	storm func(n int) []model.Object // what the tenant does
}

// BenchmarkLoad is what a tenant's load costs this node's thinking: the longest turn, and the time for each object
// with n of them and with twice as many, whose ratio must not be above that of n log n.
//
//	go test -run '^$' -bench BenchmarkLoad -benchtime 1x ./internal/stage
func BenchmarkLoad(b *testing.B) {
	for _, l := range loads() {
		b.Run(l.name, func(b *testing.B) {
			for b.Loop() {
				all, _ := l.run(l.n)
				twice, longest := l.run(2 * l.n)
				b.ReportMetric(float64(all.Milliseconds()), "ms/n")
				b.ReportMetric(float64(twice.Milliseconds()), "ms/2n")
				b.ReportMetric(float64(twice)/float64(2*all), "ratio/object")
				b.ReportMetric(float64(longest.Microseconds())/1000, "ms/longest-turn")
			}
		})
	}
}

func loads() []load {
	nothing := func(int) []model.Object { return nil }
	return []load{
		{"policies-of-one-pod/blocks", 6000, loadPods(1), func(n int) []model.Object { return loadPolicies(n, blockPeer) }},
		{"policies-of-one-pod/pods", 6000, loadPods(100), func(n int) []model.Object { return loadPolicies(n, podPeer) }},
		{"policies-of-a-hundred-pods", 600, loadPods(100), func(n int) []model.Object { return loadPolicies(n, portOf) }},
		{"excepts", 5000, loadPods(1), loadExcepts},
		{"ports", 1000, loadPods(1), loadPorts},
		{"ports-of-many-selectors", 50, loadPods(100), loadPortsOfSelectors},
		{"endpoints", 5000, nothing, loadEndpoints},
		{"endpoints-beyond-the-bound", 50_000, nothing, loadEndpoints},
		{"relabelled-namespace", 10_000, loadNamespace, func(int) []model.Object {
			return []model.Object{&model.Namespace{Name: "tenant", Labels: map[string]string{"team": "b"}}}
		}},
	}
}

// run puts a load on a node and gives the processor's time that thinking took, all of it and its longest turn: others' load
// doesn't count.
func (l load) run(n int) (all, longest time.Duration) {
	th := loadThinker()
	for _, o := range l.world(n) {
		th.model.Put(o)
	}
	th.PlanAll()
	for _, o := range l.storm(n) {
		th.inbox.Put(o)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for more := true; more || !th.Due().IsZero(); {
		begun := spentHere()
		more = th.Once()
		took := spentHere() - begun
		all, longest = all+took, max(longest, took)
	}
	return all, longest
}

// spentHere is the processor's time of this thread.
func spentHere() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(1, &u); err != nil { // RUSAGE_THREAD
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// loaded is a thinker with the rows that it claims.
type loaded struct {
	thinking
	nft *reconcile.Ledger[row.NftKey, row.Nft]
}

// loadThinker has a node's Services and policies.
func loadThinker() loaded {
	l := NewLedgers()
	s, p := newServices(l), newPolicies(l)
	settings := model.Settings{Node: "n1", Proxy: true, Firewall: true, IPv4: true, IPv6: true}
	settings.Services.Engine = model.EngineNftables
	settle := func(m *model.Model) { s.settled(m); p.settle(m); l.Nft.End() }
	return loaded{newThinking(model.New(settings), think.Hooks{Begin: l.Nft.Begin, Settle: settle}, s.stage(), s.rows.stage(), p.stage()), l.Nft}
}

// loadPods are pods of one namespace, here.
func loadPods(n int) func(int) []model.Object {
	return func(int) []model.Object {
		list := []model.Object{&model.Namespace{Name: "tenant", Labels: map[string]string{"team": "a"}}}
		for i := range n {
			list = append(list, loadPod(i, "n1"))
		}
		return list
	}
}

func loadPod(i int, node string) *model.Pod {
	return &model.Pod{
		Name: model.Name{Namespace: "tenant", Name: fmt.Sprint("pod-", i)}, Node: node,
		Addrs:  []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), netip.AddrFrom16([16]byte{0xfd, 14: byte(i >> 8), 15: byte(i)})},
		Labels: map[string]string{"pod": fmt.Sprint(i)},
	}
}

// loadNamespace has n pods elsewhere that a policy knows by their namespace's label.
func loadNamespace(n int) []model.Object {
	list := []model.Object{&model.Namespace{Name: "tenant", Labels: map[string]string{"team": "a"}}}
	for i := range n {
		list = append(list, loadPod(i, "n2"))
	}
	for _, team := range []string{"a", "b"} {
		pod := loadPod(n, "n1")
		pod.Name = model.Name{Namespace: "other", Name: team}
		policy := loadPolicy(0)
		policy.Name = model.Name{Namespace: "other", Name: team}
		policy.Ingress.Rules[0] = model.Rule{AnyPort: true, Peers: []model.PolicyPeer{{Namespaces: labelled("team", team)}}}
		list = append(list, pod, policy)
	}
	return append(list, &model.Namespace{Name: "other"})
}

func labelled(key, value string) *model.Selector {
	return &model.Selector{Requirements: []model.Requirement{{Key: key, Op: model.In, Values: []string{value}}}}
}

// loadPolicy selects all pods of its namespace and has one empty rule.
func loadPolicy(i int) *model.Policy {
	return &model.Policy{Name: model.Name{Namespace: "tenant", Name: fmt.Sprint("policy-", i)}, Ingress: &model.Rules{Rules: make([]model.Rule, 1)}}
}

func loadPolicies(n int, rule func(int) model.Rule) []model.Object {
	var list []model.Object
	for i := range n {
		p := loadPolicy(i)
		p.Ingress.Rules[0] = rule(i)
		list = append(list, p)
	}
	return list
}

func blockPeer(i int) model.Rule {
	a := netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), 0})
	return model.Rule{AnyPort: true, Peers: []model.PolicyPeer{{Block: netip.PrefixFrom(a, 25)}}}
}

func podPeer(i int) model.Rule {
	return model.Rule{AnyPort: true, Peers: []model.PolicyPeer{{Pods: labelled("pod", fmt.Sprint(i))}}}
}

func portOf(i int) model.Rule {
	return model.Rule{AnyPeer: true, Ports: []model.PolicyPort{{Protocol: model.TCP, Port: model.Port(1 + 2*i)}}}
}

func loadExcepts(n int) []model.Object {
	peer := model.PolicyPeer{Block: netip.MustParsePrefix("11.0.0.0/8")}
	for i := range n {
		a := netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), 0})
		peer.Except = append(peer.Except, netip.PrefixFrom(a, 25))
	}
	p := loadPolicy(0)
	p.Ingress.Rules[0] = model.Rule{AnyPort: true, Peers: []model.PolicyPeer{peer}}
	return []model.Object{p}
}

func loadPorts(n int) []model.Object {
	p := loadPolicy(0)
	r := &p.Ingress.Rules[0]
	r.AnyPeer = true
	for i := range n {
		r.Ports = append(r.Ports, model.PolicyPort{Protocol: model.TCP, Port: model.Port(1 + 2*i)})
	}
	return []model.Object{p}
}

// loadPortsOfSelectors are n peers of pods, each with n ports.
func loadPortsOfSelectors(n int) []model.Object {
	list := loadPorts(n)
	r := &list[0].(*model.Policy).Ingress.Rules[0]
	r.AnyPeer = false
	for i := range n {
		r.Peers = append(r.Peers, podPeer(i).Peers...)
	}
	return list
}

func loadEndpoints(n int) []model.Object {
	svc := newService("big")
	svc.ClusterIPs, svc.Families = []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 0, 1})}, []model.Family{model.IPv4}
	svc.Ports = []model.ServicePort{{Protocol: model.TCP, Port: 80}}
	list := []model.Object{svc}
	for i := range n / 1000 {
		s := newSlice(fmt.Sprint("big-", i), "big")
		s.Family, s.Ports = model.IPv4, []model.SlicePort{{Protocol: model.TCP, Port: 8080}}
		for e := range 1000 {
			s.Endpoints = append(s.Endpoints, model.Endpoint{Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 128 + byte(i>>8), byte(i), 0}).Next()}, Ready: true, Serving: true})
			n := i*1000 + e
			s.Endpoints[e].Addrs[0] = netip.AddrFrom4([4]byte{10, byte(128 + n>>16), byte(n >> 8), byte(n)})
		}
		list = append(list, s)
	}
	return list
}
