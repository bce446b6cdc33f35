package think

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"kube-router/internal/model"
)

// TestANodeTouchesTheServicesInItsRanges takes pod ranges that come, go and change around addresses that Services name, and
// around endpoints that may stand for a whole range.
func TestANodeTouchesTheServicesInItsRanges(t *testing.T) {
	prefixes := func(list ...string) (ps []netip.Prefix) {
		for _, p := range list {
			ps = append(ps, netip.MustParsePrefix(p))
		}
		return ps
	}
	node := func(ip string, ranges ...string) model.Object {
		return &model.Node{Name: "n2", InternalIPs: []netip.Addr{netip.MustParseAddr(ip)}, PodCIDRs: prefixes(ranges...)}
	}
	m := model.New(model.Settings{Node: "n1", IPv4: true, IPv6: true})
	for _, o := range []struct{ name, external, endpoint string }{
		{"a", "203.0.113.1", "10.0.0.1"}, {"b", "2001:db8::1", "10.0.7.255"}, {"c", "198.51.100.1", "203.0.113.1"}, {"d", "198.51.100.2", "192.0.2.9"},
	} {
		s := &model.Service{Name: model.Name{Namespace: "x", Name: o.name}, ExternalIPs: []netip.Addr{netip.MustParseAddr(o.external)}}
		m.Put(s)
		m.Put(&model.Slice{Name: s.Name, Service: s.Name, Endpoints: []model.Endpoint{{Addrs: []netip.Addr{netip.MustParseAddr(o.endpoint)}}}})
	}
	for _, c := range []struct {
		old, new model.Object
		want     string
	}{
		{nil, node("192.0.2.2", "10.0.8.0/24"), "[]"},
		{nil, node("192.0.2.2", "10.0.7.0/24"), "[Service x/b]"},
		{nil, node("192.0.2.2", "203.0.113.0/24"), "[Service x/a Service x/c]"},
		{nil, node("192.0.2.2", "203.0.113.0/31"), "[Service x/a Service x/c]"},
		{node("192.0.2.2", "203.0.0.0/8"), nil, "[Service x/a Service x/c]"},
		{node("192.0.2.2", "2001:db8::/64"), node("192.0.2.2"), "[Service x/b]"},
		{node("192.0.2.2", "203.0.113.0/24"), node("192.0.2.2", "203.0.113.0/24"), "[]"},
		{node("192.0.2.2"), node("192.0.2.9"), "[Service x/d]"},
		{node("192.0.2.9"), nil, "[Service x/d]"},
	} {
		var touched []string
		nodeClaims(m, Change{Old: c.old, New: c.new}, func(u model.Ref) { touched = append(touched, u.String()) })
		slices.Sort(touched)
		if got := fmt.Sprint(slices.Compact(touched)); got != c.want {
			t.Errorf("%v to %v: touched %s, want %s", c.old, c.new, got, c.want)
		}
	}
}
