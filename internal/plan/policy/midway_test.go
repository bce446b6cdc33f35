package policy_test

import (
	"net/netip"
	"testing"

	"kube-router/internal/model"
	"kube-router/internal/row"
)

// TestMidway: a packet that begins nothing passes from neither end of what policies forbid, and from both ends
// of what they allow but the one that could be a server in disguise.
func TestMidway(t *testing.T) {
	addr := func(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }
	pod := func(name, a string) *model.Pod {
		return &model.Pod{Name: model.Name{Namespace: "x", Name: name}, Node: "n1", Addrs: addr(a), Labels: map[string]string{"pod": name}}
	}
	one := model.Selector{Requirements: []model.Requirement{{Key: "pod", Op: model.In, Values: []string{"server"}}}}
	friend := model.Selector{Requirements: []model.Requirement{{Key: "pod", Op: model.In, Values: []string{"friend"}}}}
	n := newNode(settings("n1"), &model.Namespace{Name: "x"}, pod("server", "10.1.0.1"), pod("friend", "10.1.0.2"), pod("other", "10.1.0.3"),
		&model.Policy{Name: model.Name{Namespace: "x", Name: "p"}, Pods: one, Ingress: &model.Rules{Rules: []model.Rule{
			{Peers: []model.PolicyPeer{{Pods: &friend}}, AnyPort: true}}}})
	for _, c := range []struct {
		from, to string
		proto    uint8
		midway   bool
		want     bool
	}{
		{"10.1.0.2", "10.1.0.1", 6, false, true},
		{"10.1.0.2", "10.1.0.1", 6, true, true},
		{"10.1.0.3", "10.1.0.1", 6, true, false},
		{"10.1.0.1", "10.1.0.3", 6, true, false},
		{"10.1.0.1", "10.1.0.3", 132, true, false},
		{"10.1.0.1", "10.1.0.3", 6, false, true},
		{"10.1.0.1", "10.1.0.3", 132, false, true},
		{"10.1.0.1", "10.1.0.3", 17, false, true},
		{"10.1.0.3", "10.1.0.2", 6, true, true},
	} {
		trail, err := n.tracer().Trace(row.NftForward, "policy-", row.NftPacket{
			Src: addr(c.from)[0], Dst: addr(c.to)[0], Protocol: c.proto, SrcPort: 80, DstPort: 4000, State: row.NftStateNew, Midway: c.midway,
		})
		if err != nil {
			t.Fatal(err)
		}
		if trail.Accepted() != c.want {
			t.Errorf("%+v: %s", c, trail)
		}
	}
}

// TestBeside: what no policy can name ends as long as a pod is isolated, whoever sends it.
func TestBeside(t *testing.T) {
	isolated := &model.Policy{Name: model.Name{Namespace: "x", Name: "p"}, Ingress: &model.Rules{}}
	s := settings("n1")
	s.Router = true
	n := newNode(s, &model.Namespace{Name: "x"}, &model.Pod{Name: model.Name{Namespace: "x", Name: "a"}, Node: "n1", Addrs: []netip.Addr{netip.MustParseAddr("10.1.0.1")}})
	for _, closed := range []bool{false, true, false} {
		if closed {
			n.change(map[model.Ref]model.Object{isolated.Ref(): isolated})
		} else {
			n.change(map[model.Ref]model.Object{isolated.Ref(): nil})
		}
		for _, c := range []struct {
			from, to string
			proto    uint8
			icmp     uint8
			in       string
			ends     bool
		}{
			{"fe80::1", "fe80::2", 6, 0, "kube-bridge", true},
			{"fd00::1", "fe80::2", 17, 0, "kube-bridge", true},
			{"10.1.0.9", "224.0.0.251", 17, 0, "kube-bridge", true},
			{"10.1.0.9", "255.255.255.255", 17, 0, "kube-bridge", true},
			{"10.1.0.9", "224.0.0.22", 2, 0, "kube-bridge", false},
			{"fe80::1", "ff02::1:ff00:2", 58, 135, "kube-bridge", false},
			{"fe80::1", "ff02::1", 58, 134, "kube-bridge", true},
			{"fe80::1", "fe80::2", 6, 0, "virbr0", false},
			{"10.1.0.9", "10.1.0.8", 6, 0, "kube-bridge", false},
		} {
			trail, err := n.tracer().Trace(row.NftForward, "policy-", row.NftPacket{
				Src: netip.MustParseAddr(c.from), Dst: netip.MustParseAddr(c.to), Protocol: c.proto, ICMPType: c.icmp, State: row.NftStateNew, Iif: c.in,
			})
			if err != nil {
				t.Fatal(err)
			}
			if trail.Accepted() == (c.ends && closed) {
				t.Errorf("isolated: %t: %+v: %s", closed, c, trail)
			}
		}
	}
}
