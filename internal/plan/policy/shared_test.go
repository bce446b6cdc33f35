package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"kube-router/internal/model"
)

func sharedPod(name string, addr netip.Addr) *model.Pod {
	return &model.Pod{Name: model.Name{Namespace: "x", Name: name}, Node: "n1", Addrs: []netip.Addr{addr}, Labels: map[string]string{"app": name}}
}

// TestAddressChangesHands takes two pods of this node that say to have one address, the one because CNI gave it that, and lets the
// other one's policy guard it as soon, and as long, as it isn't that one's.
func TestAddressChangesHands(t *testing.T) {
	for _, at := range []string{"10.0.0.1", "fd00::1"} {
		addr, away := netip.MustParseAddr(at), netip.MustParseAddr("10.9.9.9")
		if addr.Is6() {
			away = netip.MustParseAddr("fd99::9")
		}
		shut := &model.Policy{Name: model.Name{Namespace: "x", Name: "shut"}, Ingress: &model.Rules{},
			Pods: model.Selector{Requirements: []model.Requirement{{Key: "app", Op: model.In, Values: []string{"a"}}}}}
		a, b := sharedPod("a", addr), sharedPod("b", addr)
		given := &model.Attachment{Container: "c", Ifname: "eth0", Pod: b.Name, Addrs: []netip.Addr{addr}}
		moved := *given
		moved.Addrs = []netip.Addr{addr.Next()}
		finished, host, elsewhere := *b, *b, *b
		finished.Finished, host.HostNetwork, elsewhere.Node = true, true, "n2"
		other := *b
		other.UID = "2"
		first := *given
		first.UID = "1"
		n := newNode(settings("n1"), a, b, given, shut)
		for _, c := range []struct {
			what   string
			object model.Object
			ref    model.Ref // deleted, if there is no object
			open   bool
		}{
			{what: "at first", object: shut, open: true},
			{what: "b has finished", object: &finished},
			{what: "b runs", object: b, open: true},
			{what: "b is the host", object: &host},
			{what: "b is not", object: b, open: true},
			{what: "b is of another node", object: &elsewhere},
			{what: "b is of this node", object: b, open: true},
			{what: "b is gone", ref: b.Ref()},
			{what: "b is back", object: b, open: true},
			{what: "CNI gave b another address", object: &moved},
			{what: "CNI gave b the address again", object: given, open: true},
			{what: "the attachment is of another life", object: &first, open: true},
			{what: "b has another life", object: &other},
		} {
			ref := c.ref
			if c.object != nil {
				ref = c.object.Ref()
			}
			n.change(map[model.Ref]model.Object{ref: c.object})
			if open := allows(t, n.tracer(), away, addr, 6, 80); open != c.open {
				t.Errorf("%s, %s: open %t, want %t", at, c.what, open, c.open)
			}
			n.same(t)
		}
	}
}

// TestAddressesChangeHands changes pods and attachments of few addresses at random, several at once, and compares with a start
// from cold.
func TestAddressesChangeHands(t *testing.T) {
	for seed := range uint64(12) {
		dice := rand.New(rand.NewPCG(seed, 7))
		one := func(list ...string) string { return list[dice.IntN(len(list))] }
		addr := func() netip.Addr { return netip.MustParseAddr(one("10.0.0.1", "10.0.0.2", "fd00::1")) }
		policy := &model.Policy{Name: model.Name{Namespace: "x", Name: "p"}, Ingress: &model.Rules{Rules: []model.Rule{{AnyPort: true,
			Peers: []model.PolicyPeer{{Pods: &model.Selector{Requirements: []model.Requirement{{Key: "app", Op: model.NotIn, Values: []string{"a"}}}}}}}}}}
		n := newNode(settings("n1"), policy)
		for range 25 {
			changes := map[model.Ref]model.Object{}
			for range 1 + dice.IntN(3) {
				pod := sharedPod(one("a", "b", "c"), addr())
				pod.Node, pod.UID = one("n1", "n1", "n1", "n2", ""), one("", "1", "2")
				pod.HostNetwork, pod.Finished = dice.IntN(6) == 0, dice.IntN(6) == 0
				var o model.Object = pod
				if dice.IntN(2) == 0 {
					o = &model.Attachment{Container: fmt.Sprint("c", dice.IntN(3)), Ifname: "eth0", Pod: pod.Name, UID: one("", "1", "2"), Addrs: pod.Addrs}
				}
				changes[o.Ref()] = o
				if dice.IntN(3) == 0 {
					changes[o.Ref()] = nil
				}
			}
			n.change(changes)
			n.same(t)
		}
	}
}
