package nft

import (
	"fmt"
	"slices"
	"unique"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Service renders one front: its head, its slots and the chain of its class. A front without endpoints has
// a place among the refused instead, or, where others have some, a class that drops.
func Service(s *intent.Service) []row.Nft {
	f := familyOf(s.Addr)
	var rows []row.Nft
	if s.Kind != intent.NodeFront {
		rows = append(rows, elementsOf(f.vips()).key(row.NftWire{}.Addr(s.Addr)))
	}
	if len(s.Backends) == 0 && !s.Silent {
		return append(rows, elementsOf(f.none()).key(frontWire(s)))
	}
	c := classOf(s)
	rows = append(rows, c.rows()...)
	rows = append(rows, c.ways(s)...)
	rows = append(rows, elementsOf(f.heads()).data(frontWire(s), c.wire()))
	rows = append(rows, backendRows(s, f.everybody(), s.Backends, c.pick)...)
	if s.Far {
		rows = append(rows, backendRows(s, f.near(), s.Near, c.near)...)
	}
	rows = append(rows, hairpinRows(f, s)...)
	return append(rows, sourceRows(f, s)...)
}

// Ahead renders a front for which nftables chooses ahead of IPVS: what Service does, but for the guard of its address.
// What is sent there for another port may be IPVS's, and the ipvs engine has a guard of its own.
func Ahead(s *intent.Service) []row.Nft {
	guard := unique.Make(familyOf(s.Addr).vips())
	return slices.DeleteFunc(Service(s), func(r row.Nft) bool {
		e, ok := r.(row.NftElement)
		return ok && e.Of == guard
	})
}

// backendRows are the slots of one list of backends and, where affinity must know them, the backends.
func backendRows(s *intent.Service, l list, backends []intent.Backend, p pick) []row.Nft {
	var rows []row.Nft
	slots := elementsOf(l.slots)
	for i, b := range p.fill(spread(s.Scheduler, backends)) {
		rows = append(rows, slots.data(frontWire(s).Host(uint32(i)), backendWire(nil, b)))
	}
	if p.sticky > 0 {
		valid := elementsOf(l.valid)
		for _, b := range backends {
			rows = append(rows, valid.key(backendWire(frontWire(s), b)))
		}
	}
	return rows
}

func hairpinRows(f family, s *intent.Service) []row.Nft {
	var rows []row.Nft
	e := elementsOf(f.hairpin())
	for _, list := range [][]intent.Backend{s.Backends, s.Near} {
		for _, b := range list {
			if b.Local {
				rows = append(rows, e.key(row.NftWire{}.Addr(b.Addr).Addr(b.Addr)))
			}
		}
	}
	return rows
}

func sourceRows(f family, s *intent.Service) []row.Nft {
	var rows []row.Nft
	e := elementsOf(f.sources())
	for _, p := range disjoint(f, s.Sources) {
		rows = append(rows, e.span(frontWire(s).Addr(p.Addr()), frontWire(s).Addr(lastOf(p))))
	}
	return rows
}

func frontWire(s *intent.Service) row.NftWire {
	return make(row.NftWire, 0, 48).Addr(s.Addr).Proto(s.Protocol).Port(s.Port)
}

func backendWire(w row.NftWire, b intent.Backend) row.NftWire { return w.Addr(b.Addr).Port(b.Port) }

// ServiceRemarks tells what nftables can't do for a front and what it does instead.
func ServiceRemarks(s *intent.Service) []string {
	var list []string
	if k := kindOf(s); k == "random" && s.Scheduler != "" && s.Scheduler != "fo" {
		list = append(list, fmt.Sprintf("scheduler %s needs the ipvs engine, which counts connections: random by weight is used", s.Scheduler))
	}
	if s.DSR {
		list = append(list, "direct server return needs the ipvs engine: replies go through the node")
	}
	return list
}
