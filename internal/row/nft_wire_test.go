package row

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func allFields() NftStmt {
	return NftStmt{
		Op: NftUpdate, Not: true, Set: "services-affinity", Chain: "c", Via: "services-slots", Text: "t",
		Num: 1, Last: 1 << 31, Mask: 0xffffffff, Timeout: 3 * time.Hour, Prefix: netip.MustParsePrefix("fd00::/64"),
		Key: NftKeyOf(NftTerm{Op: NftSaddr, V6: true}, NftTerm{Op: NftDport}),
		Data: NftKeyOf(NftTerm{Op: NftHash, V6: true, Mod: 3, Seed: 1 << 30, Hash: NftHashFields{NftSaddr, NftSport}},
			NftTerm{Op: NftNumRandom, Mod: 7}),
	}
}

func TestBodyWire(t *testing.T) {
	stmts := []NftStmt{
		{Op: NftMatchNet, Key: NftKeyOf(NftTerm{Op: NftSaddr}), Prefix: netip.MustParsePrefix("10.0.0.0/8")},
		allFields(),
		{Op: NftAccept},
	}
	body, err := NftBodyOfWire(NftMakeBody(stmts...).Wire())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(stmts, body.Stmts(), cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Error(d)
	}
	if n := len(NftMakeBody(stmts[0], stmts[2]).Wire()); n > 16 {
		t.Errorf("a small rule takes %d bytes", n)
	}
}

func TestBodyWireCutShort(t *testing.T) {
	wire := NftMakeBody(allFields()).Wire()
	for n := 1; n < len(wire); n++ {
		if b, err := NftBodyOfWire(wire[:n]); err == nil {
			t.Errorf("%d of %d bytes read as %s", n, len(wire), b)
		}
	}
}

func FuzzBodyWire(f *testing.F) {
	f.Add(NftMakeBody(allFields(), NftStmt{Op: NftForeign, Text: "handle 3"}).Wire())
	f.Fuzz(func(t *testing.T, wire string) {
		body, err := NftBodyOfWire(wire)
		if err != nil {
			return
		}
		again := NftMakeBody(body.Stmts()...)
		if d := cmp.Diff(body.Stmts(), again.Stmts(), cmpopts.EquateComparable(netip.Prefix{})); d != "" {
			t.Error(d)
		}
		_ = body.String()
	})
}
