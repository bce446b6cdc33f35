package nft

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"unique"

	"kube-router/internal/row"
)

// services makes the elements of many services: one head and perHead slots each.
func services(n, perHead int) (changes []Change) {
	skeleton := []row.Nft{
		heads, slotsMap, row.NftChain{Name: "services-class"}, row.NftChain{Name: "services"},
		rule1("services", 0, row.NftStmt{
			Op: row.NftVmap, Key: key(row.NftDaddr, row.NftL4proto, row.NftDport), Set: heads.Name,
		}),
		rule1("services-class", 0, row.NftStmt{Op: row.NftDnatTo, Set: slotsMap.Name, Key: row.NftKeyOf(
			term(row.NftDaddr), term(row.NftL4proto), term(row.NftDport), row.NftTerm{Op: row.NftNumRandom, Mod: 10})}),
		row.NftChain{Name: "services-prerouting", Hook: row.NftPrerouting, Nat: true, Priority: -105},
		rule1("services-prerouting", 0, row.NftStmt{Op: row.NftJumpTo, Chain: "services"}),
	}
	changes = adds(skeleton...)
	h, s := unique.Make(heads), unique.Make(slotsMap)
	for i := range n {
		head := row.NftWire{}.Addr(address(0x0a600000 + uint32(i))).Proto(6).Port(80)
		changes = append(changes, adds(row.NftElement{
			Of: h, Elem: string(head), Verdict: row.NftJump{Op: row.NftJumpTo, Chain: "services-class"},
		})...)
		for slot := range perHead {
			changes = append(changes, slotChange(s, head, uint32(slot), 0x0a800000+uint32(i*perHead+slot)))
		}
	}
	return changes
}

func address(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

func slotChange(s unique.Handle[row.NftSet], head row.NftWire, slot, addr uint32) Change {
	return adds(row.NftElement{
		Of: s, Elem: string(head.Host(slot)), Value: string(row.NftWire{}.Addr(address(addr)).Port(8080)),
	})[0]
}

// BenchmarkCold loads 10,000 services of ten endpoints each into an empty table.
func BenchmarkCold(b *testing.B) {
	d := newDriver(b, newSpace(b))
	changes := services(10000, 10)
	for b.Loop() {
		if err := d.Apply(b.Context(), changes); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		wipe(b, d)
		b.StartTimer()
	}
}

func wipe(t testing.TB, d *Driver) {
	rows, err := d.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []row.Nft
	for _, r := range rows {
		all = append(all, r)
	}
	if err := d.Apply(t.Context(), removes(all...)); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkEndpoint changes one endpoint of one service among 10,000 services.
func BenchmarkEndpoint(b *testing.B) {
	d := newDriver(b, newSpace(b))
	if err := d.Apply(b.Context(), services(10000, 10)); err != nil {
		b.Fatal(err)
	}
	head := row.NftWire{}.Addr(address(0x0a600000 + 77)).Proto(6).Port(80)
	s := unique.Make(slotsMap)
	old := slotChange(s, head, 3, 0x0a800000+773)
	n := uint32(0)
	b.ReportAllocs()
	for b.Loop() {
		n++
		c := slotChange(s, head, 3, 0x0b000000+n)
		c.Old, old = old.New, c
		if err := d.Apply(b.Context(), []Change{c}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkService adds and removes one service of ten endpoints among 10,000.
func BenchmarkService(b *testing.B) {
	d := newDriver(b, newSpace(b))
	if err := d.Apply(b.Context(), services(10000, 10)); err != nil {
		b.Fatal(err)
	}
	one := services(10001, 10)[8+110000:]
	undo := make([]Change, len(one))
	for i, c := range one {
		undo[i] = Change{Key: c.Key, Old: c.New}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Apply(b.Context(), one); err != nil {
			b.Fatal(err)
		}
		if err := d.Apply(b.Context(), undo); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDump reads 110,000 elements.
func BenchmarkDump(b *testing.B) {
	d := newDriver(b, newSpace(b))
	if err := d.Apply(b.Context(), services(10000, 10)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if rows, err := d.Dump(b.Context()); err != nil || len(rows) != 110008 {
			b.Fatal(len(rows), err)
		}
	}
}
