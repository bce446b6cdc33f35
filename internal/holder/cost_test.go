package holder

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kube-router/internal/model"
)

// crowd has n Services at one external address: on ports of their own or, contested, all on one.
func crowd(n int, contested bool, line string) *model.Model {
	m := world()
	for i := range n {
		s := service(line + " external=198.51.100.7")
		s.Name.Name = fmt.Sprint(i)
		s.Created = s.Created.Add(-time.Duration(i) * time.Second)
		s.ClusterIPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})}
		if !contested {
			s.Ports[0].Port = model.Port(1 + i)
		}
		m.Put(s)
	}
	return m
}

// BenchmarkSharedAddress asks all that planners ask about a Service, for each of n Services at one external address. The
// figures per Service should be alike.
func BenchmarkSharedAddress(b *testing.B) {
	for _, kind := range []struct {
		name, line string
		contested  bool
	}{{"ports", "s", false}, {"local", "s local", false}, {"one-port", "s", true}} {
		for _, n := range []int{5000, 10000, 20000} {
			b.Run(fmt.Sprintf("%s/%d", kind.name, n), func(b *testing.B) {
				m := crowd(n, kind.contested, kind.line)
				for b.Loop() {
					memo := &Memo{}
					for _, s := range m.Services {
						Addresses(m, s)
						Lost(m, s, Frontend{s.ExternalIPs[0], s.Ports[0].Port, model.TCP})
						Has(m, s, s.ExternalIPs[0])
						memo.Served(m, s.ExternalIPs[0])
						Endpoint(m, s.ExternalIPs[0])
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/service")
			})
		}
	}
}

// TestSways has Services come to an address where others are, and tells where these must ask anew.
func TestSways(t *testing.T) {
	const at = "198.51.100.7"
	for _, c := range []struct {
		name, others, comes string
		want                bool
	}{
		{"one more on a port of its own", "a", "b port=81", false},
		{"on a port that another wants", "a", "b", true},
		{"the only one that binds it to no nodes", "a local", "b port=81", true},
		{"one that binds it to nodes", "a", "b port=81 local", true},
		{"one whose cluster address it is", "a", "b port=81 cluster=" + at, true},
		{"beside one that is not ours", "a another", "b port=81", true},
	} {
		m := world()
		m.Put(service(c.others + " external=" + at))
		s := service(c.comes + " external=" + at)
		for _, when := range []string{"gone", "there"} {
			if when == "there" {
				m.Put(s)
			}
			if have := Sways(m, s, addr(at)); have != c.want {
				t.Errorf("%s, %s: %v", c.name, when, have)
			}
		}
	}
}
