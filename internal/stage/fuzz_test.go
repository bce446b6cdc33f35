package stage

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	ipvsdrv "kube-router/internal/driver/ipvs"
	nftdrv "kube-router/internal/driver/nft"
	"kube-router/internal/driver/rtnl"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// FuzzObjects takes objects as tenants and peers may make them through model, plan and render into fake kernels: nothing panics, no
// object takes long, the tables of the firewall and of Services take every row, and what changes lead to is what a
// start from cold leads to.
func FuzzObjects(f *testing.F) {
	seeds := []uint64{ // what changes led to was wrong once
		45, 74, 89, 119, 125, 150, 165, 232, 261, 282, 399, 432, 575, 599, 619, 623, 729,
	}
	for seed := range uint64(100) {
		seeds = append(seeds, seed)
	}
	for _, seed := range seeds {
		dice, b := rand.New(rand.NewPCG(seed, 1)), make([]byte, 300)
		for i := range b {
			b[i] = byte(dice.Uint32())
		}
		f.Add(b, seed%2 == 1)
	}
	f.Fuzz(func(t *testing.T, b []byte, ipvs bool) {
		n, g := newFuzzNode(ipvs), &objects{b: b}
		n.th.PlanAll()
		for len(g.b) > 0 {
			begun := time.Now()
			for range 1 + g.n(3) {
				if o := g.object(); g.n(4) == 0 {
					delete(n.known, o.Ref())
					n.inbox.Delete(o.Ref())
				} else {
					n.known[o.Ref()] = o
					n.inbox.Put(o)
				}
			}
			n.drain(t)
			if took := time.Since(begun); took > 10*time.Second {
				t.Fatalf("a few small objects took %s", took)
			}
			n.write(t)
		}
		cold := newFuzzNode(ipvs)
		for _, o := range n.known {
			cold.model.Put(o)
		}
		cold.th.PlanAll()
		cold.drain(t)
		if d := cmp.Diff(cold.lines(), n.lines()); d != "" {
			t.Errorf("changes lead elsewhere than a cold start; cold -, changed +:\n%s", d)
		}
	})
}

// fuzzNode is a daemon's thinking with fake kernels.
type fuzzNode struct {
	th    *think.Thinker
	inbox *think.Inbox
	model *model.Model
	fail  func(think.ID, model.Ref, string, []byte)
	known map[model.Ref]model.Object
	l     Ledgers
	nft   *nftdrv.Fake
	linux *rtnl.Fake
	ipvs  *ipvsdrv.Driver
}

func newFuzzNode(ipvs bool) *fuzzNode {
	s := model.Settings{Node: "n1", Proxy: true, Firewall: true, Router: true, IPv4: true, IPv6: true}
	s.Services.Engine = model.EngineNftables
	if ipvs {
		s.Services.Engine = model.EngineIPVS
	}
	l := NewLedgers()
	network := New(l)
	n := &fuzzNode{model: model.New(s), inbox: think.NewInbox(), known: map[model.Ref]model.Object{}, l: l, nft: nftdrv.NewFake(), linux: rtnl.NewFake(nil), ipvs: ipvsdrv.New(ipvsdrv.NewFake(), ipvsdrv.Options{})}
	n.th = think.New(n.model, n.inbox, network.Stages(), think.Hooks{
		Begin: network.Begin, Settle: func(m *model.Model) { network.Settle(m, n.th.Contain) },
		Failed: func(s think.ID, u model.Ref, what string, stack []byte) { n.fail(s, u, what, stack) },
	})
	return n
}

// drain thinks until nothing waits.
func (n *fuzzNode) drain(t *testing.T) {
	t.Helper()
	n.fail = func(stage think.ID, u model.Ref, what string, stack []byte) {
		t.Fatalf("%s of %s: %s\n%s", stage, u, what, stack)
	}
	for more := true; more || !n.th.Due().IsZero(); {
		more = n.th.Once()
	}
}

// write makes the fake kernels hold what is wanted. Routes may be refused, as the kernel refuses a way that is none.
func (n *fuzzNode) write(t *testing.T) {
	t.Helper()
	if err := apply(t, n.l.Nft, n.nft); err != nil {
		t.Errorf("nft: %v", err)
	}
	if err := apply(t, n.l.Ipvs, n.ipvs); err != nil {
		t.Errorf("ipvs: %v", err)
	}
	_ = apply(t, n.l.Linux, n.linux)
}

func apply[K comparable, R row.Row[K]](t *testing.T, l *reconcile.Ledger[K, R], to row.Target[K, R]) error {
	t.Helper()
	have, err := to.Dump(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := maps.Collect(l.All)
	var changes []row.Change[K, R]
	for k, r := range want {
		if old, ok := have[k]; !ok {
			changes = append(changes, row.Change[K, R]{Key: k, New: &r})
		} else if old != r {
			changes = append(changes, row.Change[K, R]{Key: k, Old: &old, New: &r})
		}
	}
	for k, r := range have {
		if _, ok := want[k]; !ok {
			changes = append(changes, row.Change[K, R]{Key: k, Old: &r})
		}
	}
	return to.Apply(context.Background(), changes)
}

// lines are all rows wanted, sorted.
func (n *fuzzNode) lines() []string {
	var list []string
	for _, r := range n.l.Nft.All {
		list = append(list, r.String())
	}
	for _, r := range n.l.Linux.All {
		list = append(list, r.String())
	}
	for _, r := range n.l.BGP.All {
		list = append(list, r.String())
	}
	for _, r := range n.l.Ipvs.All {
		list = append(list, r.String())
	}
	for _, r := range n.l.Pods.All {
		list = append(list, r.String())
	}
	slices.Sort(list)
	return list
}

// objects makes objects of bytes: of few names and addresses, so that they meet.
type objects struct{ b []byte }

func (g *objects) n(k int) int {
	if len(g.b) == 0 {
		return 0
	}
	v := int(g.b[0]) % k
	g.b = g.b[1:]
	return v
}

func (g *objects) name() model.Name {
	return model.Name{Namespace: []string{"x", "y"}[g.n(2)], Name: []string{"a", "b", "c"}[g.n(3)]}
}

// addr is a pod's, a node's, a Service's or anybody's.
func (g *objects) addr(v6 bool) netip.Addr {
	last := byte(1 + g.n(4))
	if v6 {
		return netip.AddrFrom16([16]byte{0xfd, byte(g.n(4)), 15: last})
	}
	return netip.AddrFrom4([4]byte{[]byte{10, 10, 192, 203}[g.n(4)], byte(g.n(3)), 0, last})
}

func (g *objects) addrs() []netip.Addr {
	list := []netip.Addr{g.addr(false), g.addr(true)}
	return list[g.n(2):]
}

func (g *objects) prefix() netip.Prefix {
	a := g.addr(g.n(2) == 0)
	return netip.PrefixFrom(a, g.n(a.BitLen()+1)).Masked()
}

func (g *objects) labels() map[string]string {
	return map[string]string{"app": []string{"a", "b"}[g.n(2)], "team": []string{"a", "b"}[g.n(2)]}
}

func (g *objects) selector() *model.Selector {
	s := &model.Selector{Invalid: g.n(16) == 15}
	for range g.n(3) {
		s.Requirements = append(s.Requirements, model.Requirement{Key: []string{"app", "team"}[g.n(2)],
			Op: []model.Operator{model.In, model.NotIn, model.Exists, model.DoesNotExist}[g.n(4)], Values: []string{[]string{"a", "b"}[g.n(2)]}})
	}
	return s
}

func (g *objects) protocol() model.Protocol {
	return []model.Protocol{model.TCP, model.UDP, model.SCTP}[g.n(3)]
}

func (g *objects) traffic() model.TrafficPolicy {
	return []model.TrafficPolicy{model.Cluster, model.Local}[g.n(2)]
}

func (g *objects) object() model.Object {
	switch g.n(9) {
	case 0:
		return g.node()
	case 1:
		return &model.Link{Name: fmt.Sprint("eth", g.n(2)), Index: 2 + g.n(2), Kind: []string{"device", "bridge", "veth"}[g.n(3)],
			MTU: 1280 + g.n(3)*110, Up: g.n(4) > 0, Addrs: []netip.Prefix{netip.PrefixFrom(g.addr(g.n(2) == 0), 24)}}
	case 2:
		return &model.Namespace{Name: []string{"x", "y"}[g.n(2)], Labels: g.labels()}
	case 3:
		return &model.Pod{Name: g.name(), Node: []string{"n1", "n2", ""}[g.n(3)], Addrs: g.addrs(), Labels: g.labels(), HostNetwork: g.n(8) == 7, Finished: g.n(8) == 7, Weight: uint16(g.n(3) * g.n(300)),
			Ports: []model.PodPort{{Name: "web", Protocol: g.protocol(), Port: model.Port(80 + g.n(3))}}}
	case 4:
		return &model.Attachment{Container: fmt.Sprint("c", g.n(3)), Ifname: "eth0", Pod: g.name(), Addrs: g.addrs()}
	case 5:
		return g.policy()
	case 6:
		return g.service()
	case 7:
		return g.slice()
	}
	return &model.Path{Prefix: g.prefix(), NextHops: g.addrs(), External: g.n(2) == 0, Kept: g.n(4) == 3}
}

func (g *objects) node() model.Object {
	n := &model.Node{Name: []string{"n1", "n2", "n3"}[g.n(3)], InternalIPs: g.addrs(), Zone: []string{"", "z"}[g.n(2)], Labels: g.labels()}
	for range g.n(3) {
		n.PodCIDRs = append(n.PodCIDRs, g.prefix())
	}
	return n
}

func (g *objects) policy() model.Object {
	p := &model.Policy{Name: g.name(), Pods: *g.selector()}
	for _, side := range []**model.Rules{&p.Ingress, &p.Egress} {
		if g.n(3) == 0 {
			continue
		}
		*side = &model.Rules{}
		for range g.n(3) {
			(*side).Rules = append((*side).Rules, g.rule())
		}
	}
	return p
}

func (g *objects) rule() model.Rule {
	r := model.Rule{AnyPeer: g.n(4) == 0, AnyPort: g.n(3) == 0}
	for range g.n(3) {
		peer := model.PolicyPeer{Pods: g.selector()}
		switch g.n(3) {
		case 0:
			peer = model.PolicyPeer{Block: g.prefix(), Except: []netip.Prefix{g.prefix(), g.prefix()}[:g.n(3)]}
		case 1:
			peer.Namespaces = g.selector()
		}
		r.Peers = append(r.Peers, peer)
	}
	for range g.n(3) {
		p := model.PolicyPort{Protocol: g.protocol(), Port: model.Port(80 + g.n(4))}
		if g.n(3) == 0 {
			p.Port, p.PortName = 0, "web"
		} else if g.n(3) == 0 {
			p.EndPort = p.Port + model.Port(g.n(3))
		}
		r.Ports = append(r.Ports, p)
	}
	return r
}

func (g *objects) service() model.Object {
	s := &model.Service{Name: g.name(), ClusterIPs: g.addrs(), ExternalIPs: g.addrs()[:1], Internal: g.traffic(), External: g.traffic(),
		Affinity: time.Duration(g.n(2)*(1+g.n(3))) * time.Hour, Created: time.Unix(int64(g.n(3)), 0)}
	for i := range 1 + g.n(2) {
		s.Ports = append(s.Ports, model.ServicePort{Name: fmt.Sprint("p", i), Protocol: g.protocol(), Port: model.Port(80 + g.n(3)), NodePort: model.Port(g.n(2) * (30000 + g.n(3)))})
	}
	if g.n(4) == 0 {
		s.Sources = []netip.Prefix{g.prefix(), g.prefix()}
	}
	s.Options.Scheduler = []string{"", "rr", "mh", "sh", "dh", "lc", "wrr", "fo", "ovf"}[g.n(9)]
	s.Options.DSR = g.n(4) == 0
	return s
}

func (g *objects) slice() model.Object {
	s := &model.Slice{Name: g.name(), Service: g.name(), Family: model.IPv4}
	if g.n(2) == 0 {
		s.Family = model.IPv6
	}
	for i := range 2 {
		s.Ports = append(s.Ports, model.SlicePort{Name: fmt.Sprint("p", i), Protocol: g.protocol(), Port: model.Port(g.n(2) * (8080 + g.n(2)))})
	}
	for range g.n(4) {
		s.Endpoints = append(s.Endpoints, model.Endpoint{Addrs: []netip.Addr{g.addr(s.Family == model.IPv6)}, Ready: g.n(3) > 0, Serving: g.n(3) > 0,
			Terminating: g.n(4) == 0, Node: strings.TrimSpace([]string{"n1", "n2", ""}[g.n(3)])})
	}
	return s
}
