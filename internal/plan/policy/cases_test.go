package policy_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"kube-router/internal/api/clusterapi"
	"kube-router/internal/lab/netpol"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/watch/kube"
)

// generated is a world that changes: the API's objects, and what two nodes make of them.
type generated struct {
	r     netpol.Generator
	api   netpol.Oracle
	pods  map[string]*corev1.Pod
	ps    map[string]*networkingv1.NetworkPolicy
	cps   map[string]*clusterapi.ClusterNetworkPolicy
	tiers bool
	nodes map[string]*node
}

func newGenerated(seed uint64, tiers, audits, domains bool) *generated {
	g := &generated{
		r: netpol.Generator{Rand: rand.New(rand.NewPCG(seed, 1)), Audits: audits, Domains: domains}, pods: map[string]*corev1.Pod{}, ps: map[string]*networkingv1.NetworkPolicy{},
		cps: map[string]*clusterapi.ClusterNetworkPolicy{}, tiers: tiers,
		nodes: map[string]*node{"n1": newNode(settings("n1")), "n2": newNode(settings("n2"))},
	}
	g.api.Namespaces, g.api.Names = map[string]*corev1.Namespace{}, map[string][]netip.Addr{}
	changes := map[model.Ref]model.Object{}
	for i, ns := range netpol.Namespaces() {
		g.namespace(ns, changes)
		for j := range netpol.Pods() {
			g.pod(i, j, changes)
		}
	}
	g.apply(changes)
	return g
}

func (g *generated) namespace(name string, changes map[model.Ref]model.Object) {
	n := g.r.Namespace(name)
	g.api.Namespaces[name] = n
	o := &model.Namespace{Name: name, Labels: n.Labels}
	changes[o.Ref()] = o
}

func (g *generated) pod(i, j int, changes map[model.Ref]model.Object) {
	p := g.r.Pod(i, j)
	g.pods[p.Namespace+"/"+p.Name] = p
	o := kube.ConvertPod(p)
	changes[o.Ref()] = o
}

// step changes what a cluster's life changes.
func (g *generated) step() {
	changes := map[model.Ref]model.Object{}
	for range 1 + g.r.IntN(4) {
		i, j := g.r.IntN(3), g.r.IntN(3)
		switch g.r.IntN(8) {
		case 0:
			g.pod(i, j, changes)
		case 1:
			g.namespace(netpol.Namespaces()[i], changes)
		case 2, 3:
			for key, p := range g.ps {
				delete(g.ps, key)
				changes[kube.ConvertPolicy(p).Ref()] = nil
				break
			}
		case 4, 5:
			if g.tiers {
				g.cluster(changes)
				break
			}
			fallthrough
		default:
			p := g.r.Policy(fmt.Sprintf("p%d", g.r.IntN(6)))
			g.ps[p.Namespace+"/"+p.Name] = p
			o := kube.ConvertPolicy(p)
			changes[o.Ref()] = o
		}
	}
	g.apply(changes)
}

// cluster changes what ClusterNetworkPolicies there are, or the node that they may name.
func (g *generated) cluster(changes map[model.Ref]model.Object) {
	if g.r.Domains && g.r.IntN(2) == 0 {
		name, addrs := g.r.Domain()
		o := &model.Domain{Name: name, Addrs: addrs}
		if g.api.Names[name], changes[o.Ref()] = addrs, o; len(addrs) == 0 {
			delete(g.api.Names, name)
			changes[o.Ref()] = nil
		}
		return
	}
	name := fmt.Sprintf("c%d", g.r.IntN(6))
	switch g.r.IntN(6) {
	case 0:
		n := g.r.Node()
		g.api.Nodes = []*corev1.Node{n}
		o := kube.ConvertNode(n)
		changes[o.Ref()] = o
	case 1:
		delete(g.cps, name)
		changes[(&model.ClusterPolicy{Name: name}).Ref()] = nil
	default:
		p := g.r.ClusterPolicy(name)
		g.cps[name] = p
		o := kube.ConvertClusterPolicy(p)
		changes[o.Ref()] = o
	}
}

func (g *generated) apply(changes map[model.Ref]model.Object) {
	g.api.Pods, g.api.Policies, g.api.Cluster = nil, nil, slices.Collect(maps.Values(g.cps))
	for _, p := range g.pods {
		g.api.Pods = append(g.api.Pods, p)
	}
	for _, p := range g.ps {
		g.api.Policies = append(g.api.Policies, p)
	}
	for name, n := range g.nodes {
		n.change(changes)
		if err := n.planner.Check(); err != nil {
			panic(name + ": " + err.Error())
		}
	}
}

// ends are all addresses that talk, by family.
func (g *generated) ends(v6 bool) []netip.Addr {
	var list []netip.Addr
	for i := range netpol.Namespaces() {
		for j := range netpol.Pods() {
			text := fmt.Sprintf("10.1.%d.%d", i, j+1)
			if v6 {
				text = fmt.Sprintf("fd00::1:%d:%d", i, j+1)
			}
			list = append(list, netip.MustParseAddr(text))
		}
	}
	for _, s := range netpol.Strangers() {
		if a := netip.MustParseAddr(s); a.Is6() == v6 {
			list = append(list, a)
		}
	}
	return list
}

func number(p corev1.Protocol) uint8 {
	return map[corev1.Protocol]uint8{corev1.ProtocolTCP: 6, corev1.ProtocolUDP: 17, corev1.ProtocolSCTP: 132}[p]
}

// flows visits every flow that is tried.
func (g *generated) flows(f func(netpol.Flow)) {
	for _, v6 := range []bool{false, true} {
		for _, from := range g.ends(v6) {
			for _, to := range g.ends(v6) {
				for _, proto := range netpol.Protocols() {
					for _, port := range netpol.Ports() {
						f(netpol.Flow{From: from, To: to, Protocol: proto, Port: port})
					}
				}
			}
		}
	}
}

// check compares the API's words with the rows of the nodes through which each flow goes.
func (g *generated) check(t *testing.T) (n int) {
	t.Helper()
	tracers, enforced := map[string]*row.NftTracer{}, g.api.Enforced()
	for name, node := range g.nodes {
		tracers[name] = node.tracer()
	}
	g.flows(func(f netpol.Flow) {
		via := map[string]bool{}
		for _, a := range []netip.Addr{f.From, f.To} {
			if p := g.api.PodAt(a); p != nil {
				via[p.Spec.NodeName] = true
			}
		}
		got := true
		for name := range via {
			got = got && allows(t, tracers[name], f.From, f.To, number(f.Protocol), uint16(f.Port))
		}
		n++
		for name := range via {
			if n%8 > 0 {
				break // a part of them will do, for it is slower
			}
			forbids := g.nodes[name].planner.Forbids(policy.Flow{From: f.From, To: f.To, Protocol: model.Protocol(number(f.Protocol)), Port: model.Port(f.Port)})
			if rows := allows(t, tracers[name], f.From, f.To, number(f.Protocol), uint16(f.Port)); forbids == rows {
				t.Fatalf("%s → %s %s/%d: the planner forbids it: %t, the rows allow it: %t", f.From, f.To, f.Protocol, f.Port, forbids, rows)
			}
		}
		if g.r.Audits {
			g.rehearse(t, f, via, tracers, got, n%8 == 0)
		}
		if want := enforced.Allowed(f); want != got {
			t.Fatalf("%s → %s %s/%d: the API says %t, the rows say %t", f.From, f.To, f.Protocol, f.Port, want, got)
		}
	})
	return n
}

// rehearse compares what the rows of a rehearsal count of a flow that passes with what the API says if all policies are enforced.
func (g *generated) rehearse(t *testing.T, f netpol.Flow, via map[string]bool, tracers map[string]*row.NftTracer, passes, judge bool) {
	t.Helper()
	counted := 0
	for name := range via {
		trail, err := tracers[name].Trace(row.NftForward, "policy-", row.NftPacket{
			Src: f.From, Dst: f.To, Protocol: number(f.Protocol), SrcPort: 40000, DstPort: uint16(f.Port), State: row.NftStateNew,
		})
		if err != nil {
			t.Fatal(err)
		}
		here := 0
		for _, r := range trail.Rules {
			if strings.HasPrefix(r.Chain, nft.RehearsedPrefix) && strings.Contains(r.Body.String(), "accept") {
				here++
			}
		}
		counted += here
		flow := policy.Flow{From: f.From, To: f.To, Protocol: model.Protocol(number(f.Protocol)), Port: model.Port(f.Port)}
		if here > 1 || here > 0 && !trail.Accepted() {
			t.Fatalf("%s → %s %s/%d: counted %d times, accepted %t\n%s", f.From, f.To, f.Protocol, f.Port, here, trail.Accepted(), trail)
		}
		if !judge || !trail.Accepted() {
			continue
		}
		egress, ingress := g.nodes[name].planner.Rehearse(flow)
		if would := egress.Here && !egress.Allowed || ingress.Here && !ingress.Allowed; would != (here > 0) {
			t.Fatalf("%s → %s %s/%d: the planner would forbid it: %t, the rows %t\n%s\n%s\n%s", f.From, f.To, f.Protocol, f.Port, would, here > 0, egress, ingress, trail)
		}
	}
	if would := passes && !g.api.Allowed(f); passes && would != (counted > 0) {
		t.Fatalf("%s → %s %s/%d: if all were enforced it would end: %t, counted %d times", f.From, f.To, f.Protocol, f.Port, would, counted)
	}
}

// TestGenerated runs a thousand random sets of policies, each reached by changes from the one before, and
// tries every flow among nine pods and strangers.
func TestGenerated(t *testing.T) { generate(t, 20, false, false, false) }

// tierWorlds are worlds of fifty sets each: 20 of them are a thousand sets.
var tierWorlds = flag.Int("tier-worlds", 4, "worlds of TestGeneratedTiers")

// TestGeneratedTiers does the same with ClusterNetworkPolicies in both tiers around NetworkPolicies.
func TestGeneratedTiers(t *testing.T) { generate(t, *tierWorlds, true, false, false) }

// TestGeneratedAudits does the same where some policies are audited: these change no verdict, and what a rehearsal says is what the API
// says of a world in which they are enforced.
func TestGeneratedAudits(t *testing.T) { generate(t, *tierWorlds, true, true, false) }

// TestGeneratedDomains does the same where ClusterNetworkPolicies name domains, and resolvers tell what these stand for.
func TestGeneratedDomains(t *testing.T) { generate(t, *tierWorlds, true, true, true) }

func generate(t *testing.T, worlds int, tiers, audits, domains bool) {
	const steps = 50
	flows := 0
	for seed := range uint64(worlds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := newGenerated(seed, tiers, audits, domains)
			for i := range steps {
				g.step()
				flows += g.check(t)
				if i%10 == 9 {
					for _, n := range g.nodes {
						n.same(t)
					}
				}
			}
		})
	}
	t.Logf("%d sets of policies, %d flows agree", worlds*steps, flows)
}
