package host

import (
	"net/netip"
	"slices"
	"testing"

	"kube-router/internal/model"
)

// TestAPodIsNoServiceByItsWord is the table of which addresses of Services a pod may send from: those that the Service may
// have and whose daemon sets them up in that pod (direct server return). Whoever may write Services and EndpointSlices
// would else free his pod to send as anybody.
func TestAPodIsNoServiceByItsWord(t *testing.T) {
	pod := model.Name{Namespace: "tenant", Name: "evil"}
	own := netip.MustParseAddr("10.244.1.5")
	for _, c := range []struct {
		name     string
		external string
		edit     func(*model.Service, *model.Slice)
		want     bool
	}{
		{"a Service of its own", "198.51.100.7", nil, true},
		{"an address of no permitted range", "192.0.2.66", nil, false},
		{"a neighbour's address", "10.244.1.6", nil, false},
		{"the cluster's DNS", "10.96.0.10", nil, false},
		{"a Service of another namespace", "198.51.100.7", func(s *model.Service, e *model.Slice) { s.Name.Namespace, e.Service.Namespace = "other", "other" }, false},
		{"not selected", "198.51.100.7", func(s *model.Service, _ *model.Slice) { s.Selector = map[string]string{"app": "web"} }, false},
		{"without direct return", "198.51.100.7", func(s *model.Service, _ *model.Slice) { s.Options.DSR = false }, false},
		{"another proxy's Service", "198.51.100.7", func(s *model.Service, _ *model.Slice) { s.AnotherProxy = true }, false},
	} {
		set := model.Settings{Node: "n1", Proxy: true, Router: true, IPv4: true}
		set.CNI.Socket, set.CNI.Enabled = "/run/cni.sock", true
		set.Services.Engine, set.Services.StrictExternal = model.EngineIPVS, true
		set.Services.ClusterRanges = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}
		set.Services.ExternalRanges = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("10.244.0.0/16")}
		m := model.New(set)
		m.Put(&model.Node{Name: "n1", InternalIPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24")}})
		m.Put(&model.Service{Name: model.Name{Namespace: "kube-system", Name: "dns"}, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.10")}})
		m.Put(&model.Pod{Name: pod, Addrs: []netip.Addr{own}})
		m.Put(&model.Attachment{Container: "c1", Ifname: "eth0", Pod: pod, Port: "veth1", MAC: model.MAC{2, 0, 0, 0, 0, 1}, Addrs: []netip.Addr{own}})
		addr := netip.MustParseAddr(c.external)
		s := &model.Service{
			Name: model.Name{Namespace: "tenant", Name: "s"}, Families: []model.Family{model.IPv4}, ExternalIPs: []netip.Addr{addr},
			Ports: []model.ServicePort{{Port: 80, Protocol: model.TCP}}, Options: model.ServiceOptions{DSR: true},
		}
		e := &model.Slice{
			Name: model.Name{Namespace: "tenant", Name: "s-1"}, Service: s.Name, Family: model.IPv4,
			Endpoints: []model.Endpoint{{Addrs: []netip.Addr{own}, Ready: true, Node: "n1", Pod: pod}},
		}
		if c.edit != nil {
			c.edit(s, e)
		}
		m.Put(s)
		m.Put(e)
		for ref := range m.AttachmentsOf(pod) {
			if have := slices.Contains(Port(m, ref).Addrs, addr); have != c.want {
				t.Errorf("%s: the pod may send from %s: %v, want %v", c.name, addr, have, c.want)
			}
		}
	}
}
