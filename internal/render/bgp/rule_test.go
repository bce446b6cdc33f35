package bgp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// TestRules: what comes and goes with objects: filters, advertisements, and who is asked to use other ways. Names order them.
func TestRules(t *testing.T) {
	pfx := netip.MustParsePrefix
	med := uint32(5)
	e := &intent.Exchange{V4: true, V6: true, NextHopSelf: true, Communities: []uint32{64512<<16 | 1}}
	n := &intent.Neighbor{
		Addr: netip.MustParseAddr("192.0.2.1"), V4: true, V6: true, Shutdown: true, Inside: true, Withhold: true,
		Import: []intent.TaughtRule{
			{Accept: true, Prefixes: []intent.PrefixMatch{{Prefix: pfx("10.0.0.0/8"), Min: 24, Max: 28}, {Prefix: pfx("10.9.0.0/16"), Min: 16, Max: 16}, {Prefix: pfx("fd00::/8"), Min: 8, Max: 8}}},
			{How: "originates", ASN: 65010, Community: 65000<<16 | 666},
		},
	}
	o := &intent.Outlet{
		Name: "public", Created: time.Unix(0, 0), To: []intent.Receiver{{Addr: n.Addr, Inside: true}}, Communities: []uint32{64512<<16 | 1, 64512<<16 | 7}, Large: [][3]uint32{{1, 2, 3}},
		LocalPref: 300, MED: &med,
	}
	var out strings.Builder
	for _, r := range append(filter(n), outlet(e, o)...) {
		fmt.Fprintln(&out, r)
	}
	fmt.Fprintln(&out, Withheld(&intent.Withheld{Peer: n.Addr, Prefix: pfx("fd00:99::7/128")}))
	for _, r := range Announce(&intent.Announce{Kind: intent.AnnounceVIP, Prefix: pfx("10.99.0.7/32"), NextHop: netip.MustParseAddr("10.0.0.1"), Via: "public"}) {
		fmt.Fprintln(&out, r)
	}
	const want = `rule export 0 graceful-shutdown 192.0.2.1 neighbor peer:192.0.2.1 local-pref 1 community add [65535:0] next
rule import 0 graceful-shutdown 192.0.2.1 neighbor peer:192.0.2.1 local-pref 1 next
defined-set taught4:192.0.2.1/00 10.0.0.0/8 24..28
rule import 192.0.2.1/00 taught4:192.0.2.1/00 prefix taught4:192.0.2.1/00 neighbor peer:192.0.2.1 accept
defined-set taught4:192.0.2.1/00 10.9.0.0/16
defined-set taught6:192.0.2.1/00 fd00::/8
rule import 192.0.2.1/00 taught6:192.0.2.1/00 prefix taught6:192.0.2.1/00 neighbor peer:192.0.2.1 accept
rule import 192.0.2.1/01 neighbor peer:192.0.2.1 as-path _65010$ community 65000:666 reject
rule export 0 withheld4:192.0.2.1 prefix withheld4:192.0.2.1 neighbor peer:192.0.2.1 reject
rule export 0 withheld6:192.0.2.1 prefix withheld6:192.0.2.1 neighbor peer:192.0.2.1 reject
defined-set peer:192.0.2.1 192.0.2.1/32
rule export advertise 19700101000000 public to 192.0.2.1 as advertised4:public prefix advertised4:public neighbor peer:192.0.2.1 next-hop self med 5 local-pref 300 community add [64512:1 64512:7] large-community add [1:2:3] accept
rule export advertise 19700101000000 public to 192.0.2.1 as advertised6:public prefix advertised6:public neighbor peer:192.0.2.1 med 5 local-pref 300 community add [64512:1 64512:7] large-community add [1:2:3] accept
defined-set peer:192.0.2.1 192.0.2.1/32
defined-set withheld6:192.0.2.1 fd00:99::7/128
defined-set advertised4:public 10.99.0.7/32
defined-set advertisedvipsdefinedset 10.99.0.7/32
path 10.99.0.7/32 nexthop 10.0.0.1
`
	if out.String() != want {
		t.Errorf("have\n%swant\n%s", out.String(), want)
	}
	if a, ok := row.SetTaught(n.Addr, 3).V6().About(); !ok || a != n.Addr {
		t.Error("a set of a rule doesn't tell whose it is")
	}
}
