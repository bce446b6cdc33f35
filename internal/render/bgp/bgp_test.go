package bgp

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

var update = flag.Bool("update", false, "rewrite the golden file")

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// plans are what the golden file shows.
func plans() map[string]*intent.BGP {
	med := uint32(0)
	speaker := &intent.Speaker{ASN: 64512, RouterID: addr("10.0.0.1"), Port: 179, Listen: []netip.Addr{addr("10.0.0.1"), addr("fd00::1")}}
	return map[string]*intent.BGP{
		"plain": {
			Speaker: speaker, Exchange: &intent.Exchange{V4: true, PodsOutside: true},
			Neighbors: []*intent.Neighbor{{Addr: addr("10.0.0.2"), ASN: 64512, Node: "b", Local: addr("10.0.0.1"), Port: 179, Hold: 90 * time.Second, V4: true}},
			Announces: []*intent.Announce{{Kind: intent.AnnouncePods, Prefix: pfx("10.244.1.0/24"), NextHop: addr("10.0.0.1")}},
		},
		"rich": {
			Speaker: speaker,
			Exchange: &intent.Exchange{
				V4: true, V6: true, PodsOutside: true, Aggregate: true, Reflect: true, NextHopSelf: true, PrependAS: 64600, PrependTimes: 3,
				MED: &med, Communities: []uint32{64512<<16 | 17}, Large: [][3]uint32{{4200000001, 1, 2}}, Reject: []netip.Prefix{pfx("203.0.112.0/20")},
			},
			Neighbors: []*intent.Neighbor{
				{
					Addr: addr("fd00::2"), ASN: 65001, Local: addr("fd00::1"), Port: 1179, TTL: 4, Hold: 2500 * time.Millisecond, V4: true, V6: true,
					Restart: 90 * time.Second, Deferral: time.Second, Password: "secret",
					BFD: &intent.BFD{Port: 3784, Multiplier: 3, Tx: 300 * time.Millisecond, Rx: 200 * time.Millisecond},
				},
				{Addr: addr("10.0.0.3"), ASN: 64512, Node: "c", Local: addr("10.0.0.1"), Port: 179, Hold: 90 * time.Second, V4: true, V6: true, Cluster: addr("0.0.0.17")},
			},
			Announces: []*intent.Announce{
				{Kind: intent.AnnouncePods, Prefix: pfx("fd01::/64"), NextHop: addr("fd00::1"), LocalPref: 250},
				{Kind: intent.AnnouncePodsOut, Prefix: pfx("10.244.0.0/16"), NextHop: addr("10.0.0.1")},
				{Kind: intent.AnnounceVIP, Prefix: pfx("10.98.0.5/32"), NextHop: addr("10.0.0.1")},
			},
		},
	}
}

func TestGolden(t *testing.T) {
	var b strings.Builder
	for _, name := range []string{"plain", "rich"} {
		fmt.Fprintf(&b, "== %s\n", name)
		for _, r := range Speaker(plans()[name]) {
			// One statement a line.
			fmt.Fprintln(&b, strings.ReplaceAll(r.String(), "; ", ";\n    "))
		}
	}
	const file = "testdata/bgp.golden"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("want - have +:\n%s", d)
	}
	if strings.Contains(b.String(), "secret\n") || strings.Contains(b.String(), `"secret"`) {
		t.Error("a password shows")
	}
}

// TestKeys has no two rows of one key, and policies that fit.
func TestKeys(t *testing.T) {
	for name, plan := range plans() {
		seen := map[row.BgpKey]row.Bgp{}
		for _, r := range Speaker(plan) {
			if was, twice := seen[r.Key()]; twice && was != r {
				t.Errorf("%s: %v and %v have one key", name, was, r)
			}
			seen[r.Key()] = r
		}
	}
}

// TestSecret never prints, whatever the verb.
func TestSecret(t *testing.T) {
	p := row.BgpPeer{Addr: addr("10.0.0.2"), Local: addr("10.0.0.1"), Password: "hunter2"}
	var r row.Bgp = p
	for _, text := range []string{fmt.Sprint(p), fmt.Sprintf("%v %+v %#v %s %q", p, p, p, p.Password, p.Password), r.String(), fmt.Sprintf("%v", row.Change[row.BgpKey, row.Bgp]{New: &r})} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the password shows: %s", text)
		}
	}
}
