//go:build policy

package policy

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"kube-router/internal/agent"
	"kube-router/internal/config"
	"kube-router/internal/driver/nft"
	"kube-router/internal/lab/netns"
	"kube-router/internal/lab/netpol"
	"kube-router/internal/model"
	"kube-router/internal/row"
	watch "kube-router/internal/watch/kube"
)

// memory is a table of which this test wants to know nothing.
type memory[K comparable, R any] struct {
	mu   sync.Mutex
	rows map[K]R
}

func (m *memory[K, R]) Dump(context.Context) (map[K]R, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.rows), nil
}

func (m *memory[K, R]) Apply(_ context.Context, changes []row.Change[K, R]) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		if c.New == nil {
			delete(m.rows, c.Key)
		} else {
			m.rows[c.Key] = *c.New
		}
	}
	return nil
}

func remembering[K comparable, R any]() *memory[K, R] { return &memory[K, R]{rows: map[K]R{}} }

// tables is a node's daemon over the nftables of a real kernel, in a namespace where nothing else is.
type tables struct {
	*agent.Rig
	driver *nft.Driver
}

func newTables(t *testing.T, node string) *tables {
	t.Helper()
	space, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	d := &tables{}
	if err := space.Do(func() (err error) { d.driver, err = nft.New(0); return err }); err != nil {
		t.Fatal(err)
	}
	o := &config.Options{Settings: model.Settings{Node: node, Firewall: true, IPv4: true, IPv6: true}}
	d.Rig = agent.NewRig(o, agent.Targets{
		Sysctl: remembering[string, row.Sysctl](), Linux: remembering[row.LinuxKey, row.Linux](), Nft: d.driver,
		Flows: remembering[row.FlowsKey, row.Flows](), Health: remembering[uint16, row.HealthPort](), CNI: remembering[string, row.Conflist](),
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	d.Inbox.Put(&model.Link{Name: "eth0", Up: true})
	d.Whole()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = d.driver.Close()
		space.Close()
	})
	return d
}

// tracer follows packets through what the kernel has.
func (d *tables) tracer(t *testing.T) *row.NftTracer {
	t.Helper()
	have, err := d.driver.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return row.NewNftTracer(maps.Values(have))
}

// random is a cluster whose policies, labels and pods change.
type random struct {
	r        netpol.Generator
	oracle   netpol.Oracle
	pods     map[string]*corev1.Pod
	policies map[string]*networkingv1.NetworkPolicy
	nodes    map[string]*tables
}

func (w *random) put(o model.Object) {
	for _, n := range w.nodes {
		n.Inbox.Put(o)
	}
}

func (w *random) pod(i, j int) {
	p := w.r.Pod(i, j)
	w.pods[p.Namespace+"/"+p.Name] = p
	w.put(watch.ConvertPod(p))
}

func (w *random) namespace(name string) {
	n := w.r.Namespace(name)
	w.oracle.Namespaces[name] = n
	w.put(&model.Namespace{Name: name, Labels: n.Labels})
}

// step makes another set of policies out of the one before, and now and then changes who they are about.
func (w *random) step() {
	for key, p := range w.policies {
		if w.r.IntN(3) == 0 {
			delete(w.policies, key)
			for _, n := range w.nodes {
				n.Inbox.Delete(watch.ConvertPolicy(p).Ref())
			}
		}
	}
	for range 1 + w.r.IntN(4) {
		p := w.r.Policy(fmt.Sprintf("p%d", w.r.IntN(6)))
		w.policies[p.Namespace+"/"+p.Name] = p
		w.put(watch.ConvertPolicy(p))
	}
	switch w.r.IntN(4) {
	case 0:
		w.pod(w.r.IntN(3), w.r.IntN(3))
	case 1:
		w.namespace(netpol.Namespaces()[w.r.IntN(3)])
	}
	w.oracle.Pods, w.oracle.Policies = nil, nil
	for _, p := range w.pods {
		w.oracle.Pods = append(w.oracle.Pods, p)
	}
	for _, p := range w.policies {
		w.oracle.Policies = append(w.oracle.Policies, p)
	}
}

// flow makes up one of the flows among pods and strangers.
func (w *random) flow() netpol.Flow {
	v6 := w.r.IntN(2) == 1
	end := func() netip.Addr {
		i, j := w.r.IntN(3), 1+w.r.IntN(4)
		switch {
		case j == 4 && v6:
			return netip.MustParseAddr(netpol.Strangers()[2+w.r.IntN(2)])
		case j == 4:
			return netip.MustParseAddr(netpol.Strangers()[w.r.IntN(2)])
		case v6:
			return netip.MustParseAddr(fmt.Sprintf("fd00::1:%d:%d", i, j))
		}
		return netip.MustParseAddr(fmt.Sprintf("10.1.%d.%d", i, j))
	}
	return netpol.Flow{From: end(), To: end(), Protocol: netpol.Protocols()[w.r.IntN(3)], Port: netpol.Ports()[w.r.IntN(4)]}
}

// allowed follows a flow through the kernels' tables of the nodes that it passes.
func (w *random) allowed(t *testing.T, kernel map[string]*row.NftTracer, f netpol.Flow) bool {
	t.Helper()
	proto := map[corev1.Protocol]uint8{corev1.ProtocolTCP: 6, corev1.ProtocolUDP: 17, corev1.ProtocolSCTP: 132}[f.Protocol]
	for _, a := range []netip.Addr{f.From, f.To} {
		pod := w.oracle.PodAt(a)
		if pod == nil {
			continue
		}
		trail, err := kernel[pod.Spec.NodeName].Trace(row.NftForward, "policy-", row.NftPacket{
			Src: f.From, Dst: f.To, Protocol: proto, SrcPort: 40000, DstPort: uint16(f.Port), State: row.NftStateNew,
		})
		if err != nil {
			t.Fatal(err)
		}
		if !trail.Accepted() {
			return false
		}
	}
	return true
}

// TestTables compares what a real kernel's tables say with the API's words, for a thousand random sets of policies.
func TestTables(t *testing.T) {
	const sets, flows = 1000, 500
	shared.one(t, "a thousand sets", func(t *testing.T) {
		w := &random{
			r: netpol.Generator{Rand: rand.New(rand.NewPCG(11, 4))}, oracle: netpol.Oracle{Namespaces: map[string]*corev1.Namespace{}},
			pods: map[string]*corev1.Pod{}, policies: map[string]*networkingv1.NetworkPolicy{},
			nodes: map[string]*tables{"n1": newTables(t, "n1"), "n2": newTables(t, "n2")},
		}
		for i, ns := range netpol.Namespaces() {
			w.namespace(ns)
			for j := range netpol.Pods() {
				w.pod(i, j)
			}
		}
		denied := 0
		for i := range sets {
			w.step()
			denied += w.agree(t, i, flows)
		}
		t.Logf("%d sets of policies in a real kernel, %d flows agree with the API's words, %d of them denied", sets, sets*flows, denied)
	})
}

// agree waits until all flows are judged as the API's words have it.
func (w *random) agree(t *testing.T, set, n int) (denied int) {
	t.Helper()
	list := make([]netpol.Flow, n)
	for i := range list {
		list[i] = w.flow()
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		kernel := map[string]*row.NftTracer{"n1": w.nodes["n1"].tracer(t), "n2": w.nodes["n2"].tracer(t)}
		denied = 0
		var differs *netpol.Flow
		for i, f := range list {
			want := w.oracle.Allowed(f)
			if !want {
				denied++
			}
			if w.allowed(t, kernel, f) != want {
				differs = &list[i]
				break
			}
		}
		if differs == nil {
			return denied
		}
		if time.Now().After(end) {
			t.Fatalf("set %d: %+v should be allowed: %t", set, *differs, w.oracle.Allowed(*differs))
		}
	}
}
