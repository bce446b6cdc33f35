package gobgp

import (
	"errors"
	"maps"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// TestExtremes gives the speaker the most and the least that settings and annotations can say. What it shows
// must be what was given: a difference would be fixed, and the sessions with it, for ever.
func TestExtremes(t *testing.T) {
	d := driver(t, supervised(t))
	all := rows(1)
	out := row.BgpStatement{Prefixes: row.SetVIPs, Peers: row.SetExternals, Accept: true, HasMED: true, MED: math.MaxUint32,
		PrependAS: math.MaxUint32 - 1, PrependTimes: math.MaxUint8, NCommunities: row.MaxCommunities, NLarge: row.MaxCommunities}
	copy(out.Communities[:], []row.Community{0, math.MaxUint32, 0xffff0000, 0xffff0001, 0xffff0002, 0xffff0003, 0xffff0004, 0xffff0005,
		0xffff0006, 0xffff0007, 0xffff029a, 0xffffff01, 0xffffff02, 0xffffff03, 0xffffff04, 1})
	for i := range out.Large {
		out.Large[i] = row.LargeCommunity{math.MaxUint32 - uint32(i), 0, math.MaxUint32}
	}
	export := row.BgpPolicy{}
	for export.Count < row.MaxStatements {
		export.Statements[export.Count] = out
		export.Count++
	}
	all = append(all, export,
		row.BgpMember{Set: row.SetRejected, Net: pfx("0.0.0.0/0"), Max: 32}, row.BgpMember{Set: row.SetRejected.V6(), Net: pfx("::/0"), Max: 128},
		row.BgpMember{Set: row.SetRejected, Net: pfx("255.255.255.255/32"), Min: 32, Max: 32},
		row.BgpPath{Prefix: pfx("10.0.0.0/8"), NextHop: addr("127.0.0.1"), LocalPref: math.MaxUint32},
		row.BgpPeer{Addr: addr("127.0.1.1"), ASN: math.MaxUint32 - 1, Local: addr("127.0.0.1"), Port: math.MaxUint16, Hold: math.MaxUint16,
			V4: true, V6: true, TTL: math.MaxUint8, Limit: math.MaxInt32, Restart: 4095, Deferral: 64800,
			BFD: row.BgpBFD{Port: math.MaxUint16, Multiplier: math.MaxUint8, Tx: 4294967000, Rx: 4294967000}},
		row.BgpPeer{Addr: addr("127.0.1.2"), ASN: 1, Local: addr("127.0.0.1"), Port: 1, Hold: 3, V4: true, MinTTL: 1, Limit: 1,
			BFD: row.BgpBFD{Port: 1, Multiplier: 1, Tx: 1000, Rx: 1000}},
		row.BgpPeer{Addr: addr("127.0.1.3"), ASN: 64512, Node: "a.very-long.name", Local: addr("127.0.0.1"), Port: 179, Hold: 90, V6: true, Cluster: addr("255.255.255.255"), MinTTL: 255},
	)
	want := conform.Index[row.BgpKey](all)
	if err := d.Apply(t.Context(), conform.Diff(map[row.BgpKey]row.Bgp{}, want)); err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b row.Bgp) bool { return a == b })
	have, err := d.Dump(t.Context())
	if diff := cmp.Diff(want, have, same); err != nil || diff != "" {
		t.Errorf("%v: want - have +:\n%s", err, diff)
	}
	for _, list := range []string{"0.0.0.0", "::", "", "127.0.0.1 ::"} {
		speaker := all[0].(row.BgpSpeaker)
		speaker.Listen = addresses(list)
		next := map[row.BgpKey]row.Bgp{speaker.Key(): speaker}
		if err = d.Apply(t.Context(), conform.Diff(map[row.BgpKey]row.Bgp{speaker.Key(): have[speaker.Key()]}, next)); err != nil {
			t.Errorf("listen at %s: %v", list, err)
			continue
		}
		if have, err = d.Dump(t.Context()); err != nil || have[speaker.Key()] != row.Bgp(speaker) {
			t.Errorf("listen at %s: %v, have %v", list, err, have[speaker.Key()])
		}
	}
}

// addresses are the addresses in a text.
func addresses(text string) (list [row.MaxListen]netip.Addr) {
	for i, s := range strings.Fields(text) {
		list[i] = netip.MustParseAddr(s)
	}
	return list
}

// TestNowhereToListen changes the speaker to listen at an address that the node doesn't have. What stands goes on,
// and other changes arrive, until it has it.
func TestNowhereToListen(t *testing.T) {
	d := driver(t, supervised(t))
	have := conform.Index[row.BgpKey](rows(20))
	if err := d.Apply(t.Context(), conform.Diff(map[row.BgpKey]row.Bgp{}, have)); err != nil {
		t.Fatal(err)
	}
	want := maps.Clone(have)
	speaker := rows(1)[0].(row.BgpSpeaker)
	speaker.Listen = addresses("127.0.0.1 192.0.2.1")
	path := row.BgpPath{Prefix: pfx("10.200.0.0/16"), NextHop: addr("127.0.0.1")}
	want[speaker.Key()], want[path.Key()] = speaker, path
	err := d.Apply(t.Context(), conform.Diff(have, want))
	var failed row.Failed[row.BgpKey]
	if !errors.As(err, &failed) || len(failed) != 1 || !errors.As(failed[speaker.Key()], &row.Foreign{}) {
		t.Errorf("want the speaker to fail alone, have %v", err)
	}
	want[speaker.Key()] = have[speaker.Key()]
	is, err := d.Dump(t.Context())
	if diff := cmp.Diff(want, is, cmp.Comparer(func(a, b row.Bgp) bool { return a == b })); err != nil || diff != "" {
		t.Errorf("%v: want - have +:\n%s", err, diff)
	}
}

// TestSomewhereToListen begins with one of two addresses, since the other one isn't there.
func TestSomewhereToListen(t *testing.T) {
	d := driver(t, supervised(t))
	want := conform.Index[row.BgpKey](rows(20))
	here := rows(1)[0].(row.BgpSpeaker)
	both := here
	both.Listen = addresses("127.0.0.1 192.0.2.1")
	want[here.Key()] = both
	for range 2 { // at first, and when it is tried again
		err := d.Apply(t.Context(), conform.Diff(map[row.BgpKey]row.Bgp{}, want))
		var failed row.Failed[row.BgpKey]
		if !errors.As(err, &failed) || len(failed) != 1 || !errors.As(failed[here.Key()], &row.Foreign{}) {
			t.Errorf("want the speaker to fail alone, have %v", err)
		}
		have, err := d.Dump(t.Context())
		want[here.Key()] = here
		if diff := cmp.Diff(want, have, cmp.Comparer(func(a, b row.Bgp) bool { return a == b })); err != nil || diff != "" {
			t.Errorf("%v: want - have +:\n%s", err, diff)
		}
		want[here.Key()] = both
	}
}

// TestNoSessionWithoutItsPassword gives a standing peer a password that the kernel can't take. The peer goes, for a session that
// seems protected and isn't is worse than none.
func TestNoSessionWithoutItsPassword(t *testing.T) {
	d := driver(t, supervised(t))
	peer := row.BgpPeer{Addr: addr("127.0.1.1"), ASN: 64513, Local: addr("127.0.0.1"), Port: 179, Hold: 90, V4: true}
	have := conform.Index[row.BgpKey](append(rows(1), peer))
	if err := d.Apply(t.Context(), conform.Diff(map[row.BgpKey]row.Bgp{}, have)); err != nil {
		t.Fatal(err)
	}
	want := maps.Clone(have)
	peer.Password = row.BgpSecret(strings.Repeat("x", 81))
	want[peer.Key()] = peer
	err := d.Apply(t.Context(), conform.Diff(have, want))
	var failed row.Failed[row.BgpKey]
	if !errors.As(err, &failed) || failed[peer.Key()] == nil || strings.Contains(err.Error(), "xx") {
		t.Errorf("want the peer to fail, and its password nowhere; have %v", err)
	}
	if is, err := d.Dump(t.Context()); err != nil || is[peer.Key()] != nil {
		t.Errorf("%v: the peer is there still: %v", err, is[peer.Key()])
	}
}
