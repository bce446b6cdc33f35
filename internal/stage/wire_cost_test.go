package stage

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/model"
	"kube-router/internal/think"
)

// wireChanges are what happens to one node in a cluster that encrypts; each is made and taken back.
var wireChanges = map[string]func(*model.Node){
	"key":      func(n *model.Node) { n.Options.Wire.Key = benchKey(1 << 20) },
	"next key": func(n *model.Node) { n.Options.Wire.Also = benchKey(1 << 20) },
	"endpoint": func(n *model.Node) { n.Options.Wire.Endpoint = netip.MustParseAddrPort("192.0.2.1:5") },
	"joined":   func(n *model.Node) { n.Options.Wire.Key, n.PodCIDRs, n.InternalIPs = model.WireKey{}, nil, nil },
	"revoked":  func(n *model.Node) { n.Options.Wire.Revoked = []model.WireKey{benchKey(7)} },
}

// BenchmarkOneWirePeer is the thinking that a change of one node's key or endpoint costs, in small clusters and large ones.
func BenchmarkOneWirePeer(b *testing.B) {
	for _, strict := range []bool{false, true} {
		for _, source := range []string{"api", "bgp"} {
			for _, name := range []string{"key", "next key", "endpoint", "revoked", "joined"} {
				for _, n := range []int{100, 1000} {
					b.Run(fmt.Sprintf("%s/%s/%s/%d", mode(strict), source, name, n), func(b *testing.B) {
						turn := benchWire(n, source, strict, wireChanges[name])
						b.ReportAllocs()
						for b.Loop() {
							turn()
						}
					})
				}
			}
		}
	}
}

// TestOneWirePeerCostsOne: what one node's change costs doesn't grow with the cluster.
func TestOneWirePeerCostsOne(t *testing.T) {
	for _, strict := range []bool{false, true} {
		for _, source := range []string{"api", "bgp"} {
			for name, change := range wireChanges {
				few, many := testing.AllocsPerRun(5, benchWire(50, source, strict, change)), testing.AllocsPerRun(5, benchWire(400, source, strict, change))
				if many > 1.3*few {
					t.Errorf("%s, routes by %s, %s: %.0f allocations among 50 nodes, %.0f among 400", mode(strict), source, name, few, many)
				}
			}
		}
	}
}

func mode(strict bool) string {
	if strict {
		return "strict"
	}
	return "permissive"
}

func benchKey(i int) (k model.WireKey) {
	binary.BigEndian.PutUint32(k[4:], uint32(i)+1)
	return k
}

// benchWire is a turn in which one of n nodes that encrypt becomes different, and what it was.
func benchWire(n int, source string, strict bool, change func(*model.Node)) func() {
	l := NewLedgers()
	s := model.Settings{Node: "node-0", Router: true, IPv4: true, IPv6: true}
	s.Routes.Source, s.Routes.PodEgress, s.Routes.ClusterCIDRs = source, true, []netip.Prefix{netip.MustParsePrefix("11.0.0.0/8"), netip.MustParsePrefix("fd00:2::/32")}
	s.BGP.IBGP, s.BGP.FullMesh, s.BGP.ASN = true, true, 64512
	s.Encryption = model.EncryptionSettings{On: true, Strict: strict, Port: 51890, Where: model.WireKernel}
	m := model.New(s)
	m.Put(&model.Link{Name: "eth0", Up: true, MTU: 1500, Addrs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/64")}})
	m.Put(&model.WireIdentity{Key: benchKey(0)})
	of := func(i int) *model.Node {
		node := benchNode(i, i)
		node.Options.Wire.Key, node.Options.Wire.Port = benchKey(i), 51890
		return node
	}
	for i := range n {
		m.Put(of(i))
		m.Put(&model.WireAnswer{Key: benchKey(i)})
	}
	th := newThinking(m, think.Hooks{}, append([]think.Stage{l.advertStage()}, hostStages(l)...)...)
	th.PlanAll()
	was, is := of(7), of(7)
	change(is)
	return func() {
		th.put(is)
		th.put(was)
	}
}
