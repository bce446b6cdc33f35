package nft

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// policyRows are a guarded pod, a peer, and all that stands around them.
func policyRows() []row.Nft {
	set, named := intent.SetID{Hash: "aa"}, intent.SetID{Hash: "bb", Named: true}
	addrs := []netip.Addr{netip.MustParseAddr("10.244.1.5"), netip.MustParseAddr("fd00:244::5")}
	spans := []intent.Span{{First: netip.MustParseAddr("10.0.0.0"), Last: netip.MustParseAddr("10.0.0.99")}, {First: netip.MustParseAddr("10.1.0.0"), Last: netip.MustParseAddr("10.1.0.0")}}
	in := intent.NewNetworkTier(intent.ToPod, []intent.Match{
		{Set: set, Ports: []intent.PortRange{{Protocol: 6, First: 80, Last: 90}, {Protocol: 132, First: 0, Last: 65535}}}, {Block: spans},
	})
	out := intent.NewNetworkTier(intent.FromPod, []intent.Match{{Set: named}, {Block: []intent.Span{{First: netip.MustParseAddr("::"), Last: netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}}}})
	rows := FirewallBase(&intent.FirewallBase{V4: true, V6: true, Bridge: true, Bridges: []string{"cni0"}, OwnFronts: true,
		Ranges:     []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("fd00:244::/64")},
		Broadcasts: []netip.Addr{netip.MustParseAddr("10.244.1.255")}})
	for _, more := range [][]row.Nft{
		Tier(in), Tier(out), Firewall(&intent.Firewall{Pod: "a/web", Addrs: addrs, Ingress: []*intent.Tier{in}, Egress: []*intent.Tier{out}}),
		PeerSet(&intent.PeerSet{ID: set}), PeerSet(&intent.PeerSet{ID: named}),
		Membership(&intent.Membership{Pod: "a/peer", Addrs: addrs, Sets: []intent.SetID{set}, Named: []intent.NamedMember{{Set: named, Protocol: 6, Port: 80}}}),
	} {
		rows = append(rows, more...)
	}
	return rows
}

// TestUsersCanListPolicies: nft lists the rules of policies in words that people read.
func TestUsersCanListPolicies(t *testing.T) {
	w := newWorld(t)
	rows := map[row.NftKey]row.Nft{}
	for _, r := range policyRows() {
		rows[r.Key()] = r
	}
	w.must(w.table.Apply(context.Background(), additions(policyRows())))
	var text []byte
	var err error
	w.within(w.node, func() { text, err = w.nft("list table inet " + row.NftTable) })
	w.must(err)
	out := string(text)
	for _, part := range []string{
		`iifname "kube-bridge" jump policy-beside`, `iifname "cni0" ip6 saddr fe80::/10 jump policy-beside-judge`, "ip daddr 10.244.1.255 goto policy-beside-judge",
		"ct state new ip saddr @policy-guarded-in4 goto policy-midway", `log prefix "to a/web " group 100 snaplen 128`, "icmpv6 type nd-neighbor-solicit accept",
	} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in\n%s", part, out)
		}
	}
	have, err := w.table.Dump(context.Background())
	w.must(err)
	if len(have) != len(rows) {
		t.Errorf("the kernel has %d rows, want %d", len(have), len(rows))
	}
}
