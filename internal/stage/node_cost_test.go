package stage

import (
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/model"
	"kube-router/internal/think"
)

// BenchmarkOneNode is the thinking that a changed pod range of one node costs, in small clusters and large ones,
// where routes come from Node objects, and in a full mesh of BGP.
func BenchmarkOneNode(b *testing.B) {
	for _, source := range []string{"api", "bgp"} {
		for _, n := range []int{100, 5000} {
			b.Run(fmt.Sprintf("%s/%d", source, n), func(b *testing.B) {
				th := benchNodes(n, source)
				th.PlanAll()
				here, there := benchNode(7, 7), benchNode(7, n)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					node := there
					if i%2 == 0 {
						node = here
					}
					th.put(node)
				}
			})
		}
	}
}

// benchNodes has n nodes of both families.
func benchNodes(n int, source string) thinking {
	l := NewLedgers()
	s := model.Settings{Node: "node-0", Router: true, IPv4: true, IPv6: true}
	s.Routes.Source, s.Routes.PodEgress = source, true
	s.BGP.IBGP, s.BGP.FullMesh, s.BGP.ASN = true, true, 64512
	m := model.New(s)
	m.Put(&model.Link{Name: "eth0", Up: true, MTU: 1500, Addrs: []netip.Prefix{
		netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/64"),
	}})
	for i := range n {
		m.Put(benchNode(i, i))
	}
	return newThinking(m, think.Hooks{}, append([]think.Stage{l.advertStage()}, hostStages(l)...)...)
}

// benchNode is the node number i with the pod ranges number j.
func benchNode(i, j int) *model.Node {
	v6 := func(first, last int) netip.Addr {
		return netip.AddrFrom16([16]byte{0: 0xfd, 3: byte(first), 6: byte(last >> 8), 7: byte(last)})
	}
	own := netip.AddrFrom16([16]byte{0: 0xfd, 3: 1, 14: byte(i >> 8), 15: byte(i)})
	return &model.Node{
		Name:        fmt.Sprintf("node-%d", i),
		InternalIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), own},
		PodCIDRs: []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(j >> 8), byte(j), 0}), 24), netip.PrefixFrom(v6(2, j), 64),
		},
	}
}
