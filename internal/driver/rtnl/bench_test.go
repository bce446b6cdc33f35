package rtnl

import (
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/model"
	"kube-router/internal/plan/route"
	"kube-router/internal/render/linux"
	"kube-router/internal/row"
)

// BenchmarkNodes takes the routes to 5,000 nodes from their Node objects to the kernel, from cold.
func BenchmarkNodes(b *testing.B) {
	m := model.New(overlay("vxlan", "subnet"))
	m.Settings.Node = "n0"
	m.Put(&model.Link{Name: "eth0", MTU: 1500, Up: true, Addrs: []netip.Prefix{pfx("10.0.0.1/24"), pfx("fd00::1/64")}})
	for i := range 5001 {
		m.Put(&model.Node{
			Name: fmt.Sprint("n", i),
			InternalIPs: []netip.Addr{
				netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), netip.AddrFrom16([16]byte{0: 0xfd, 3: byte(i >> 8), 4: byte(i), 15: 1}),
			},
			PodCIDRs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 128 + byte(i>>8), byte(i), 0}), 24)},
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		k := newKernel(b)
		b.StartTimer()
		rows := map[row.LinuxKey]row.Linux{}
		for name := range m.Nodes {
			routes, _ := route.Node(m, name)
			for _, r := range routes {
				for _, x := range linux.Route(r) {
					rows[x.Key()] = x
				}
			}
		}
		b.ReportMetric(float64(len(rows)), "rows")
		var list []change
		for key, r := range rows {
			list = append(list, change{Key: key, New: &r})
		}
		k.must(k.Apply(b.Context(), list))
	}
}
