package nft

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/driver/nft"
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// crowd is n Services of ten endpoints each.
func crowd(n int) []*intent.Service {
	list := make([]*intent.Service, n)
	for i := range list {
		list[i] = &intent.Service{Front: intent.Front{Addr: netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), Port: 80, Protocol: 6}}
		for b := range 10 {
			list[i].Backends = append(list[i].Backends, intent.Backend{Addr: netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(b)}), Port: 8080})
		}
	}
	return list
}

// BenchmarkRenderService is one Service of ten endpoints, without a kernel.
func BenchmarkRenderService(b *testing.B) {
	s := crowd(1)[0]
	b.ReportAllocs()
	for b.Loop() {
		Service(s)
	}
}

// BenchmarkKernel loads Services into a real kernel, and changes one endpoint of one of them.
func BenchmarkKernel(b *testing.B) {
	for _, n := range []int{100, 10000} {
		all := crowd(n)
		b.Run(fmt.Sprintf("load/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				load(b, all)
			}
		})
		b.Run(fmt.Sprintf("change/%d", n), func(b *testing.B) {
			table := load(b, all)
			other := *all[n/2]
			other.Backends = append([]intent.Backend{}, other.Backends...)
			other.Backends[9].Addr = netip.MustParseAddr("10.244.255.255")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				old, new := all[n/2], &other
				if i%2 == 1 {
					old, new = new, old
				}
				apply(b, table, Service(old), Service(new))
			}
		})
	}
}

func load(b *testing.B, all []*intent.Service) *nft.Driver {
	b.Helper()
	w := &world{TB: b}
	table, err := nft.New(int(w.namespace()))
	w.must(err)
	b.Cleanup(func() { table.Close() })
	rows := ServiceSkeleton(ServiceParams{IPv4: true})
	for _, s := range all {
		rows = append(rows, Service(s)...)
	}
	apply(b, table, nil, rows)
	return table
}

// apply makes the table from old to new, which are of one owner.
func apply(b *testing.B, table *nft.Driver, old, new []row.Nft) {
	b.Helper()
	changes := make(map[row.NftKey]nft.Change, len(new))
	for _, r := range old {
		changes[r.Key()] = nft.Change{Key: r.Key(), Old: &r}
	}
	for _, r := range new {
		c := changes[r.Key()]
		c.Key, c.New = r.Key(), &r
		changes[c.Key] = c
	}
	var list []nft.Change
	for _, c := range changes {
		if c.Old == nil || c.New == nil || *c.Old != *c.New {
			list = append(list, c)
		}
	}
	if err := table.Apply(context.Background(), list); err != nil {
		b.Fatal(err)
	}
}
