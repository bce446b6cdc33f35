package think

import (
	"net/netip"
	"testing"

	"kube-router/internal/model"
)

// TestAStagePlansItsOwnUnitsAlone: a peer that answers bears on its Node and on the paths through it, which are units of the stage of routes.
// The stage of encryption would take a path for this node's own unit and claim under its name, for ever, what was true then.
func TestAStagePlansItsOwnUnitsAlone(t *testing.T) {
	hop, key := netip.MustParseAddr("172.30.0.12"), model.WireKey{7}
	peer := &model.Node{Name: "n2", InternalIPs: []netip.Addr{hop}}
	peer.Options.Wire.Key = key
	m := model.New(model.Settings{Node: "n1", Router: true, Encryption: model.EncryptionSettings{On: true}})
	m.Put(&model.Node{Name: "n1"})
	m.Put(peer)
	m.Put(&model.Path{Prefix: netip.MustParsePrefix("10.244.2.0/24"), NextHops: []netip.Addr{hop}})
	wire, route := &recorder{}, &recorder{}
	kinds := func(s Stage, k ...model.Kind) Stage { s.Units, s.Kinds = nil, k; return s }
	in := NewInbox()
	th := New(m, in, []Stage{
		kinds(wire.stage(Wire, ""), model.KindNode, model.KindSettings),
		kinds(route.stage(Route, ""), model.KindPath, model.KindNode, model.KindSettings),
	}, Hooks{})
	in.Put(&model.WireAnswer{Key: key})
	for th.Once() {
	}
	if got := wire.take() + " " + route.take(); got != "[n2] [10.244.2.0/24 n2]" {
		t.Error(got)
	}
}
