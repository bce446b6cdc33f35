package stage

import (
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/model"
	"kube-router/internal/think"
)

// BenchmarkSharedAddress is the thinking about Services that have one external address on ports of their own: of the first
// picture for each, and of a change of one. The figures should be alike.
func BenchmarkSharedAddress(b *testing.B) {
	for _, n := range []int{2000, 4000} {
		b.Run(fmt.Sprintf("all/%d", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				th := sharedThinker(n)
				b.StartTimer()
				th.PlanAll()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/service")
		})
		b.Run(fmt.Sprintf("one/%d", n), func(b *testing.B) {
			th := sharedThinker(n)
			th.PlanAll()
			for i := 0; b.Loop(); i++ {
				s := sharedService(7)
				s.Ports[0].Port += model.Port(30000 * (i % 2))
				th.put(s)
			}
		})
	}
}

// TestOneOfManyAtAnAddress changes Services and slices among many at one address, and counts the units that are planned.
func TestOneOfManyAtAnAddress(t *testing.T) {
	th := sharedThinker(100)
	th.PlanAll()
	touched := func(o model.Object) map[think.ID]int {
		clear(th.planned)
		th.put(o)
		return th.planned
	}
	port, takes, local, more, fewer := sharedService(7), sharedService(8), sharedService(9), benchSlice(7, 10), benchSlice(9, 1)
	port.Ports[0].Port = 30000
	takes.Ports[0].Port = sharedService(3).Ports[0].Port
	local.External = model.Local
	fewer.Endpoints[0].Node = "n2"
	for _, c := range []struct {
		what            string
		object          model.Object
		service, advert int
	}{
		{"another port", port, 1, 1},
		{"a port that another has", takes, 2, 100},
		{"an endpoint more", more, 1, 1},
		{"traffic policy Local", local, 1, 100},
		{"an endpoint of it on another node", fewer, 1, 100},
		{"the same again", benchSlice(7, 10), 0, 0},
	} {
		if have := touched(c.object); have[think.Services] != c.service || have[think.Advert] != c.advert {
			t.Errorf("%s: plans %v, want %d Services and %d advertisements", c.what, have, c.service, c.advert)
		}
	}
}

func sharedService(i int) *model.Service {
	s := newService(fmt.Sprint(i))
	s.ClusterIPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})}
	s.ExternalIPs = []netip.Addr{netip.MustParseAddr("198.51.100.7")}
	s.Families = []model.Family{model.IPv4}
	s.Ports = []model.ServicePort{{Protocol: model.TCP, Port: model.Port(1 + i)}}
	return s
}

func sharedThinker(n int) thinking {
	l := NewLedgers()
	s := newServices(l)
	settings := model.Settings{Node: "n1", Proxy: true, Router: true, IPv4: true}
	settings.Services.Engine = model.EngineNftables
	settings.BGP.AdvertiseExternal, settings.BGP.ASN = true, 64512
	m := model.New(settings)
	m.Put(&model.Node{Name: "n1", InternalIPs: []netip.Addr{netip.MustParseAddr("172.30.0.1")}})
	for i := range n {
		m.Put(sharedService(i))
		m.Put(benchSlice(i, 1))
	}
	return newThinking(m, think.Hooks{Settle: s.settled}, s.stage(), l.advertStage())
}
