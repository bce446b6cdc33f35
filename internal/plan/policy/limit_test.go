package policy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"kube-router/internal/model"
)

// TestTooManyPolicies: the first by name count, whatever order they came in; the others isolate and allow nothing, which is
// told, and count once there is room.
func TestTooManyPolicies(t *testing.T) {
	pod := sharedPod("a", netip.MustParseAddr("10.0.0.1"))
	from := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), 1}) }
	policy := func(i int) *model.Policy {
		return &model.Policy{Name: model.Name{Namespace: "x", Name: fmt.Sprintf("p%04d", i)}, Ingress: &model.Rules{Rules: []model.Rule{
			{AnyPort: true, Peers: []model.PolicyPeer{{Block: netip.PrefixFrom(from(i), 32)}}}}}}
	}
	objects := []model.Object{pod}
	for i := 2002; i >= 0; i-- {
		objects = append(objects, policy(i))
	}
	egress := &model.Policy{Name: model.Name{Namespace: "x", Name: "z"}, Egress: &model.Rules{Rules: []model.Rule{{AnyPort: true, AnyPeer: true}}}}
	n := newNode(settings("n1"), append(objects, egress)...)
	for i, want := range map[int]bool{0: true, 1999: true, 2000: false, 2002: false} {
		if open := allows(t, n.tracer(), from(i), pod.Addrs[0], 6, 80); open != want {
			t.Errorf("policy %d: open %t, want %t", i, open, want)
		}
	}
	if allows(t, n.tracer(), pod.Addrs[0], from(0), 6, 80) {
		t.Error("what the last policy allows is open although it doesn't count")
	}
	list := n.planner.Beyond(pod.Name)
	if len(list) != 1 || list[0].Object != pod.Ref() || !strings.Contains(list[0].Message, "4 NetworkPolicies") || !strings.Contains(list[0].Message, "x/p2000") {
		t.Errorf("remarks %v", list)
	}
	n.same(t)
	for i := range 4 {
		n.change(map[model.Ref]model.Object{policy(i).Ref(): nil})
	}
	if !allows(t, n.tracer(), from(2002), pod.Addrs[0], 6, 80) || len(n.planner.Beyond(pod.Name)) > 0 {
		t.Error("there is room, and the last policies don't count")
	}
	n.same(t)
}

// TestTooManyParts: a policy that doesn't fit any more opens nothing.
func TestTooManyParts(t *testing.T) {
	pod := sharedPod("a", netip.MustParseAddr("10.0.0.1"))
	var list []model.Object
	for i, name := range []string{"a", "b", "c"} {
		peer := model.PolicyPeer{Block: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(11 + i)}), 8)}
		for j := range 9000 {
			peer.Except = append(peer.Except, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(11 + i), byte(j >> 7), byte(j << 1), 0}), 24))
		}
		list = append(list, &model.Policy{Name: model.Name{Namespace: "x", Name: name}, Ingress: &model.Rules{Rules: []model.Rule{{AnyPort: true, Peers: []model.PolicyPeer{peer}}}}})
	}
	n := newNode(settings("n1"), append(list, pod)...)
	for a, want := range map[string]bool{"11.0.1.1": true, "12.0.1.1": true, "13.0.1.1": false, "12.0.2.1": false} {
		if open := allows(t, n.tracer(), netip.MustParseAddr(a), pod.Addrs[0], 6, 80); open != want {
			t.Errorf("from %s: open %t, want %t", a, open, want)
		}
	}
}
