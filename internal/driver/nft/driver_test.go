package nft

import (
	"context"
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
