package nft

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/row"
)

func adds(rows ...row.Nft) (changes []Change) {
	for _, r := range rows {
		changes = append(changes, Change{Key: r.Key(), New: &r})
	}
	return changes
}

func removes(rows ...row.Nft) (changes []Change) {
	for _, r := range rows {
		changes = append(changes, Change{Key: r.Key(), Old: &r})
	}
	return changes
}

func dumped(t testing.TB, d row.Target[row.NftKey, row.Nft]) map[row.NftKey]string {
	t.Helper()
	rows, err := d.Dump(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return printed(rows)
}

func printed(rows map[row.NftKey]row.Nft) map[row.NftKey]string {
	text := map[row.NftKey]string{}
	for k, r := range rows {
		text[k] = r.String()
	}
	return text
}

func index(rows []row.Nft) map[row.NftKey]row.Nft {
	m := map[row.NftKey]row.Nft{}
	for _, r := range rows {
		m[r.Key()] = r
	}
	return m
}

func TestSampleComesBack(t *testing.T) {
	s := newSpace(t)
	d := newDriver(t, s)
	rows := sample()
	if err := d.Apply(t.Context(), adds(rows...)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(printed(index(rows)), dumped(t, d)); d != "" {
		t.Error(d)
	}
	if err := d.Apply(t.Context(), removes(rows...)); err != nil {
		t.Fatal(err)
	}
	if left := dumped(t, d); len(left) > 0 {
		t.Error(left)
	}
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

// TestElementsShareMessages: the kernel walks through all sets for each message, so it gets few; and a list of
// elements can't be longer than an attribute.
func TestElementsShareMessages(t *testing.T) {
	var rows []row.Nft
	sets := []row.NftSet{heads, slotsMap}
	for i := range 9_000 {
		for k, s := range sets {
			w := row.NftWire{}.Addr(address(uint32(i))).Proto(6).Port(80)
			if k == 0 {
				rows = append(rows, jump(s, w, "services-class"))
			} else {
				rows = append(rows, element(s, w.Host(1), row.NftWire{}.Addr(address(7)).Port(80)))
			}
		}
	}
	d := &Driver{sock: &socket{most: 8 << 20}}
	batches := d.build(newPlan(makeEdits(adds(rows...))).ops())
	messages, longest := 0, 0
	for _, b := range batches {
		messages += len(b.owners)
		for rest := b.buf; len(rest) > 0; {
			n := int(binary.NativeEndian.Uint32(rest))
			longest, rest = max(longest, n), rest[n:]
		}
	}
	if messages > 40 || longest > 1<<16 {
		t.Errorf("%d elements of %d sets in %d messages, the longest of %d bytes", len(rows), len(sets), messages, longest)
	}
}

// TestDumpIsWhole reads many elements while the kernel still spreads its hash for them.
func TestDumpIsWhole(t *testing.T) {
	for range 4 {
		d := newDriver(t, newSpace(t))
		if err := d.Apply(t.Context(), services(10_000, 10)); err != nil {
			t.Fatal(err)
		}
		if rows, err := d.Dump(t.Context()); err != nil || len(rows) != 110_008 {
			t.Errorf("%d rows, %v; want 110,008", len(rows), err)
		}
	}
}
