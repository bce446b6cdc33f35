package observe

import (
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/model"
)

func pod(name string, addrs ...string) *model.Pod {
	p := &model.Pod{Name: model.Name{Namespace: "a", Name: name}, Node: "n1"}
	for _, a := range addrs {
		p.Addrs = append(p.Addrs, netip.MustParseAddr(a))
	}
	return p
}

// TestNamesChangeHands: whoever was told of last has an address, in whichever order the other goes.
func TestNamesChangeHands(t *testing.T) {
	n := NewNames("n1")
	at := netip.MustParseAddr("10.244.1.5")
	x, y := pod("x", "10.244.1.5"), pod("y", "10.244.1.5")
	n.Heard(nil, x)
	before := n.Of(at)
	n.Heard(nil, y)
	n.Heard(x, nil)
	if before.Pod != "x" || n.Of(at).Pod != "y" {
		t.Errorf("before %+v, after %+v", before, n.Of(at))
	}
	done := *y
	done.Finished = true
	n.Heard(y, &done)
	if o := n.Of(at); o.Pod != "" {
		t.Errorf("the pod has finished: %+v", o)
	}
	n.Heard(nil, &model.Attachment{Pod: model.Name{Namespace: "a", Name: "z"}, Addrs: []netip.Addr{at}})
	if n.Of(at).Pod != "z" || !n.Of(at).Here {
		t.Errorf("attached: %+v", n.Of(at))
	}
	n.Heard(nil, &model.Node{Name: "n2", InternalIPs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.2.0/24")}})
	if o := n.Of(netip.MustParseAddr("10.244.2.1")); o.Node != "n2" { // its kubelet asks pods from there
		t.Errorf("the bridge: %+v", o)
	}
	n.Heard(nil, &model.Link{Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}})
	if o := n.Of(netip.MustParseAddr("10.0.0.2")); o.Node != "n2" || o.Here {
		t.Errorf("%+v", o)
	}
	if o := n.Of(netip.MustParseAddr("10.0.0.1")); o.Node != "n1" || !o.Here {
		t.Errorf("%+v", o)
	}
}

// TestNamesGo: pods that came and went leave nothing behind.
func TestNamesGo(t *testing.T) {
	n := NewNames("n1")
	for i := range 10_000 {
		p := pod(fmt.Sprint("p", i), fmt.Sprintf("10.%d.%d.%d", 1+i/65536, i/256%256, i%256))
		a := &model.Attachment{Pod: p.Name, Addrs: p.Addrs}
		n.Heard(nil, a)
		n.Heard(nil, p)
		n.Heard(a, nil)
		n.Heard(p, nil)
	}
	if n.Size() != 0 || len(n.pods) != 0 {
		t.Errorf("%d addresses, %d pods", n.Size(), len(n.pods))
	}
}
