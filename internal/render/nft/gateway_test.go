package nft

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

func gatewayRows() []row.Nft {
	pfx, ip := netip.MustParsePrefix, netip.MustParseAddr
	base := &intent.GatewayBase{
		V4: true, V6: true, Hidden: true, Here: []netip.Prefix{pfx("10.244.1.0/24")}, Pods: []netip.Prefix{pfx("10.244.1.0/24"), pfx("10.244.2.0/24")},
		Keep: []netip.Prefix{pfx("10.244.0.0/16"), pfx("fe80::/10")},
	}
	rows := Gateways(base, []*intent.Leaving{
		{Addr: ip("203.0.113.7"), Slot: 1, Here: true, Except: []netip.Prefix{pfx("192.0.2.0/24")}},
		{Addr: ip("203.0.113.8"), Slot: 2, Hop: &intent.Hop{Via: ip("10.0.0.2"), Dev: "eth0"}},
		{Addr: ip("2001:db8::8"), Slot: 4095, Hop: &intent.Hop{Via: ip("fd00::2"), Tunnel: &intent.Tunnel{Encap: intent.IPIP, Remote: ip("fd00::2")}}},
		{Addr: ip("2001:db8::9"), Slot: 3},
	})
	return slices.Concat(rows, Leaver(intent.Leaver{Addr: ip("10.244.1.5"), As: ip("203.0.113.7")}), Leaver(intent.Leaver{Addr: ip("fd01::5"), As: ip("2001:db8::8")}))
}

// TestGateways: what one address needs here, by another node, by a tunnel and by nobody.
func TestGateways(t *testing.T) {
	seen := map[row.NftKey]bool{}
	var lines []string
	for _, r := range gatewayRows() {
		if !seen[r.Key()] && r.Key().Kind != row.NftKindSet {
			lines = append(lines, strings.TrimPrefix(r.String(), "add "))
		}
		seen[r.Key()] = true
	}
	have := strings.ReplaceAll(strings.Join(lines, "\n"), "inet kube-router ", "") + "\n"
	file := filepath.Join("testdata", "gateway.golden")
	if *update {
		if err := os.WriteFile(file, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), have); d != "" {
		t.Errorf("want - have +:\n%s", d)
	}
}

// TestGatewaysStand: the kernel takes them, and the nft program lists them.
func TestGatewaysStand(t *testing.T) {
	w := newWorld(t)
	w.must(w.table.Apply(t.Context(), additions(gatewayRows())))
	have, err := w.table.Dump(t.Context())
	w.must(err)
	for _, r := range gatewayRows() {
		if have[r.Key()] != r {
			t.Errorf("%s stands as %v", r, have[r.Key()])
		}
	}
	for _, line := range []string{"list ruleset", "-j list ruleset"} {
		w.within(w.node, func() { _, err = w.nft(line) })
		if err != nil {
			t.Errorf("nft %s: %v", line, err)
		}
	}
}
