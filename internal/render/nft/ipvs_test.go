package nft

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/driver/nft"
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

func ipvsParams() IpvsParams {
	return IpvsParams{
		ServiceParams: ServiceParams{IPv4: true, IPv6: true, Inside: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("fd00:244:1::/64")}},
		MTU:           1480,
	}
}

// ipvsFronts are fronts with everything that has rules of its own.
func ipvsFronts() []*intent.Service {
	here := intent.Backend{Addr: netip.MustParseAddr("10.244.1.5"), Port: 80, Local: true}
	far := intent.Backend{Addr: netip.MustParseAddr("10.244.2.5"), Port: 80}
	at := func(a string, port uint16) intent.Front {
		return intent.Front{Addr: netip.MustParseAddr(a), Port: port, Protocol: 6}
	}
	six := intent.Backend{Addr: netip.MustParseAddr("fd00:244:1::5"), Port: 80, Local: true}
	return []*intent.Service{
		{Front: at("10.96.0.1", 80), Backends: []intent.Backend{here, far}},
		{Front: at("10.96.0.2", 80)},
		{Front: at("192.0.2.1", 30080), Kind: intent.NodeFront, Backends: []intent.Backend{far}},
		{Front: at("10.99.0.1", 80), Kind: intent.BalancerFront, Backends: []intent.Backend{far}, Far: true, KeepSource: true,
			Sources: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
		{Front: at("10.98.0.1", 80), Kind: intent.ExternalFront, Backends: []intent.Backend{here}, DSR: true},
		{Front: at("fd00:96::1", 80), Backends: []intent.Backend{six}, Masquerade: true},
	}
}

func ipvsRows() []row.Nft {
	rows := IpvsSkeleton(ipvsParams())
	for _, s := range ipvsFronts() {
		var m IpvsMarks
		if s.DSR {
			m.All = 7
		}
		if s.Far {
			m.Near = 8
		}
		rows = append(rows, Ipvs(s, m, false)...)
	}
	return rows
}

// TestIpvsRowsStandTogether has the fake, which checks as the kernel does, take all rows at once and give them up.
func TestIpvsRowsStandTogether(t *testing.T) {
	want := map[row.NftKey]row.Nft{}
	var changes, back []nft.Change
	for _, r := range ipvsRows() {
		if old, ok := want[r.Key()]; ok && old != r {
			t.Errorf("one key, two rows: %s and %s", old, r)
		}
		want[r.Key()] = r
	}
	for k, r := range want {
		changes = append(changes, nft.Change{Key: k, New: &r})
		back = append(back, nft.Change{Key: k, Old: &r})
	}
	fake := nft.NewFake()
	if err := fake.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	if err := fake.Apply(t.Context(), back); err != nil {
		t.Fatal(err)
	}
	if have, err := fake.Dump(t.Context()); err != nil || len(have) > 0 {
		t.Errorf("left: %v, %v", have, err)
	}
}

// TestIpvsElements: what each front adds to the sets.
func TestIpvsElements(t *testing.T) {
	var lines []string
	for _, r := range ipvsRows() {
		if e, ok := r.(row.NftElement); ok {
			lines = append(lines, strings.TrimPrefix(e.String(), "add element inet kube-router "))
		}
	}
	slices.Sort(lines)
	want := strings.Split(strings.TrimSpace(`
dsr-vips4 { 10.98.0.1 }
ipvs-away4 { 10.99.0.1 . tcp . 80 }
ipvs-fronts4 { 10.96.0.1 . tcp . 80 }
ipvs-fronts4 { 10.96.0.2 . tcp . 80 }
ipvs-fronts4 { 10.98.0.1 . tcp . 80 }
ipvs-fronts4 { 10.99.0.1 . tcp . 80 }
ipvs-fronts4 { 192.0.2.1 . tcp . 30080 }
ipvs-fronts6 { fd00:96::1 . tcp . 80 }
ipvs-hairpin4 { 10.244.1.5 . 10.244.1.5 }
ipvs-hairpin6 { fd00:244:1::5 . fd00:244:1::5 }
ipvs-limited4 { 10.99.0.1 . tcp . 80 }
ipvs-marks4 { 10.98.0.1 . tcp . 80 : 0x7 }
ipvs-masked4 { 10.96.0.1 . tcp . 80 : goto ipvs-mask-outside-v4 }
ipvs-masked4 { 10.99.0.1 . tcp . 80 : goto ipvs-mask-node-v4 }
ipvs-masked4 { 192.0.2.1 . tcp . 30080 : goto ipvs-mask-nopod-v4 }
ipvs-masked6 { fd00:96::1 . tcp . 80 : goto ipvs-mask-all-v6 }
ipvs-near-marks4 { 10.99.0.1 . tcp . 80 : 0x8 }
ipvs-none4 { 10.96.0.2 . tcp . 80 }
ipvs-pods4 { 10.244.1.0-10.244.1.255 }
ipvs-pods6 { fd00:244:1::-fd00:244:1:0:ffff:ffff:ffff:ffff }
ipvs-sources4 { 10.99.0.1 . tcp . 80 . 198.51.100.0-198.51.100.255 }
ipvs-used { 0x7 }
ipvs-used { 0x8 }
ipvs-vips4 { 10.96.0.1 }
ipvs-vips4 { 10.96.0.2 }
ipvs-vips4 { 10.98.0.1 }
ipvs-vips4 { 10.99.0.1 }
ipvs-vips6 { fd00:96::1 }
`), "\n")
	if d := cmp.Diff(want, lines); d != "" {
		t.Errorf("want - have +:\n%s", d)
	}
}

// TestANodesOwnAddressIsNotGuarded: what listens there beside Services is the node's business.
func TestANodesOwnAddressIsNotGuarded(t *testing.T) {
	s := *ipvsFronts()[0]
	s.Kind = intent.ExternalFront
	for _, r := range Ipvs(&s, IpvsMarks{}, true) {
		if strings.HasPrefix(r.Key().Name, "ipvs-vips") {
			t.Errorf("have %s", r)
		}
	}
}

func TestWithoutGuardOtherPortsAreOpen(t *testing.T) {
	p := ipvsParams()
	p.Open = true
	for _, r := range IpvsSkeleton(p) {
		if k := r.Key(); k.Kind == row.NftKindRule && k.Name == ipvsRefuse && strings.Contains(r.String(), "@ipvs-vips") {
			t.Errorf("have %s", r)
		}
	}
}
