package nft

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

func guardRows() []row.Nft {
	rows := GuardBase()
	rows = append(rows, GuardPort(&intent.Port{Pod: "a/web", Name: "veth1", MAC: [6]byte{2, 0, 0, 0, 0, 1}, Addrs: []netip.Addr{
		netip.MustParseAddr("10.244.1.5"), netip.MustParseAddr("fd00:244::5"), netip.MustParseAddr("fe80::ff:fe00:1"),
	}})...)
	return append(rows, GuardPort(&intent.Port{Pod: "vm/one", Name: "veth2", Kind: intent.FreePort})...)
}

// TestUsersCanListTheGuard: nft lists the guard of pods' ports in words that people read, and it is all that is wanted.
func TestUsersCanListTheGuard(t *testing.T) {
	w := newWorld(t)
	w.must(w.table.Apply(context.Background(), additions(guardRows())))
	var text []byte
	var err error
	w.within(w.node, func() { text, err = w.nft("list table bridge " + row.NftTable) })
	w.must(err)
	out := string(text)
	for _, part := range []string{
		"type filter hook prerouting priority dstnat", "iifname . ether saddr . ip saddr @guard-pods4 accept", "iifname vmap @guard-ports",
		"iifname . ether saddr . ip6 saddr @guard-pods6 goto guard-ip6", `"veth1" . 02:00:00:00:00:01 . 10.244.1.5`,
		`"veth1" : goto guard-port`, `"veth2" : accept`, "icmpv6 type nd-router-advert goto guard-drop",
		"iifname . ether saddr . arp saddr ip @guard-pods4 accept",
	} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in\n%s", part, out)
		}
	}
	rows := map[row.NftKey]row.Nft{}
	for _, r := range guardRows() {
		rows[r.Key()] = r
	}
	have, err := w.table.Dump(context.Background())
	w.must(err)
	for k, r := range rows {
		if have[k] != r {
			t.Errorf("at %s: %v, want %v", k, have[k], r)
		}
	}
	if len(have) != len(rows) {
		t.Errorf("the kernel has %d rows, want %d", len(have), len(rows))
	}
}
