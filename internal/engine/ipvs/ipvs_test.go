package ipvs

import (
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/engine"
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

var vip = netip.MustParseAddr("192.0.2.7")

func front(port uint16, change func(*intent.Service)) *intent.Service {
	s := &intent.Service{Front: intent.Front{Addr: vip, Port: port, Protocol: 6}, Kind: intent.ExternalFront, Owner: intent.Name{Namespace: "default", Name: "web"}}
	s.Backends = []intent.Backend{{Addr: netip.MustParseAddr("10.1.0.2"), Port: port}}
	change(s)
	return s
}

func plain(*intent.Service)  {}
func dsr(s *intent.Service)  { s.DSR = true }
func far(s *intent.Service)  { s.Far = true }
func node(s *intent.Service) { s.Kind = intent.NodeFront }

// TestAnAddressInItsPlace is what the frontends at one address and what the address is to this node decide together: who keeps direct
// server return, who needs a mark, and what brings the packets here.
func TestAnAddressInItsPlace(t *testing.T) {
	a, b := front(80, plain), front(81, plain)
	for name, c := range map[string]struct {
		at     []*intent.Service
		place  engine.Place
		direct string // ports that keep direct server return
		marked string // "port side"
		brings string // kinds of rows
	}{
		"two plain ones":               {[]*intent.Service{a, b}, engine.Place{}, "[]", "[]", "[link addr route]"},
		"near clients go elsewhere":    {[]*intent.Service{front(80, far), b}, engine.Place{}, "[]", "[80 near]", "[link addr route]"},
		"one answers directly":         {[]*intent.Service{front(80, dsr), b}, engine.Place{}, "[80]", "[80 all 81 all]", "[route rule rule rule]"},
		"directly, pods on our bridge": {[]*intent.Service{front(80, dsr)}, engine.Place{Bridge: true}, "[80]", "[80 all]", "[route rule route rule]"},
		"this node's own":              {[]*intent.Service{front(80, dsr), b}, engine.Place{Own: true}, "[]", "[]", "[]"},
		"another node's own":           {[]*intent.Service{front(80, dsr), b}, engine.Place{Elsewhere: true}, "[]", "[80 all 81 all]", "[route rule rule]"},
		"a node port":                  {[]*intent.Service{front(30000, node)}, engine.Place{}, "[]", "[]", "[]"},
		"none any more":                {nil, engine.Place{}, "[]", "[]", "[]"},
	} {
		e := Engine{}
		next := uint32(0)
		c.place.Mark = func(engine.Owner) uint32 { next++; return next }
		var at []*intent.Service
		direct, marked, brings := []uint16{}, []string{}, []string{}
		for _, s := range c.at {
			s = e.Served(s, c.place)
			at = append(at, s)
			if s.DSR {
				direct = append(direct, s.Port)
			}
		}
		for _, o := range e.Marked(at, c.place) {
			marked = append(marked, fmt.Sprint(o.Port, " ", []string{"all", "near"}[o.Side]))
		}
		for _, r := range e.Address(at, c.place).Linux {
			switch r.(type) {
			case row.Link:
				brings = append(brings, "link")
			case row.Addr:
				brings = append(brings, "addr")
			case row.Route:
				brings = append(brings, "route")
			case row.Rule:
				brings = append(brings, "rule")
			}
		}
		if fmt.Sprint(direct) != c.direct || fmt.Sprint(marked) != c.marked || fmt.Sprint(brings) != c.brings {
			t.Errorf("%s: direct %v, marked %v, brings %v; want %s, %s, %s", name, direct, marked, brings, c.direct, c.marked, c.brings)
		}
	}
}

// TestServedLeavesTheIntentAlone: what others hold of the intent stays as it was planned.
func TestServedLeavesTheIntentAlone(t *testing.T) {
	s := front(80, dsr)
	if got := (Engine{}).Served(s, engine.Place{Own: true}); got.DSR || !s.DSR {
		t.Errorf("served with %t, planned with %t", got.DSR, s.DSR)
	}
}
