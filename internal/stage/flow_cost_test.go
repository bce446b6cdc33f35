package stage

import (
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/model"
	"kube-router/internal/think"
)

// BenchmarkOneEndpoint is the thinking that one change of one endpoint costs, among few and many Services, with
// each engine. The figures of an engine should be alike: nothing walks over the world.
func BenchmarkOneEndpoint(b *testing.B) {
	for _, engine := range []model.Engine{model.EngineNftables, model.EngineIPVS} {
		for _, n := range []int{100, 10000} {
			b.Run(fmt.Sprintf("%s/%d", engine, n), func(b *testing.B) {
				th := benchThinker(engine, n)
				th.PlanAll()
				small, big := benchSlice(7, 9), benchSlice(7, 10)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					s := big
					if i%2 == 0 {
						s = small
					}
					th.put(s)
				}
			})
		}
	}
}

// BenchmarkAll is the thinking that the first picture costs, for each front. The figures should be alike.
func BenchmarkAll(b *testing.B) {
	for _, engine := range []model.Engine{model.EngineNftables, model.EngineIPVS} {
		for _, n := range []int{1000, 20000} {
			b.Run(fmt.Sprintf("%s/%d", engine, n), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					th := benchThinker(engine, n)
					b.StartTimer()
					th.PlanAll()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/front")
			})
		}
	}
}

// benchThinker has n Services of ten endpoints.
func benchThinker(engine model.Engine, n int) thinking {
	s := newServices(NewLedgers())
	settings := model.Settings{Node: "n1", Proxy: true, IPv4: true}
	settings.Services.Engine = engine
	m := model.New(settings)
	for i := range n {
		svc := newService(fmt.Sprint(i))
		svc.ClusterIPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})}
		svc.Families = []model.Family{model.IPv4}
		svc.Ports = []model.ServicePort{{Protocol: model.TCP, Port: 80}}
		m.Put(svc)
		m.Put(benchSlice(i, 10))
	}
	return newThinking(m, think.Hooks{Settle: s.settled}, s.stage(), s.rows.stage())
}

func benchSlice(i, endpoints int) *model.Slice {
	s := newSlice(fmt.Sprintf("%d-x", i), fmt.Sprint(i))
	s.Family = model.IPv4
	s.Ports = []model.SlicePort{{Protocol: model.TCP, Port: 8080}}
	for e := range endpoints {
		a := netip.AddrFrom4([4]byte{10, 244, byte(i), byte(e + 2)})
		s.Endpoints = append(s.Endpoints, model.Endpoint{Addrs: []netip.Addr{a}, Ready: true, Serving: true})
	}
	return s
}
