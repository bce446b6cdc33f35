package ipvs

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Marked are the sides of a front that need a mark. Away says that the front's address is not on this node,
// because some front there has direct server return.
func Marked(s *intent.Service, away bool) []MarkOwner {
	var list []MarkOwner
	if away {
		list = append(list, MarkOwner{s.Front, All})
	}
	if s.Far {
		list = append(list, MarkOwner{s.Front, Near})
	}
	return list
}

// Service renders the virtual servers of a front with their destinations. The marks are those of its sides, 0
// where a side has none.
func Service(s *intent.Service, mark func(MarkOwner) uint32) []row.Ipvs {
	first := row.IpvsFront{Addr: s.Addr, Port: s.Port, Protocol: s.Protocol}
	if m := mark(MarkOwner{s.Front, All}); m != 0 {
		first = row.IpvsFront{Mark: m, V6: s.Addr.Is6()}
	}
	if !s.Far {
		return server(s, first, s.Backends, s.Keep)
	}
	rows := server(s, first, s.Near, append(append([]intent.Backend(nil), s.Keep...), s.Backends...))
	if m := mark(MarkOwner{s.Front, Near}); m != 0 {
		near := row.IpvsFront{Mark: m, V6: s.Addr.Is6()}
		rows = append(rows, server(s, near, s.Backends, append(append([]intent.Backend(nil), s.Keep...), s.Near...))...)
	}
	return rows
}

// server renders one virtual server. Endpoints that are to keep their connections stay with weight 0. It stands
// without any destination only for clients that nftables turns away.
func server(s *intent.Service, front row.IpvsFront, backends, keep []intent.Backend) []row.Ipvs {
	if len(backends)+len(keep) == 0 {
		return nil
	}
	head := row.IpvsServer{Front: front, Scheduler: schedulerOf(s), Flags: flagsOf(s), Persist: s.Affinity}
	rows := []row.Ipvs{head}
	seen := map[netip.AddrPort]bool{}
	weights := weights(s.Scheduler, backends)
	for i, b := range backends {
		d := dest(s, front, b)
		d.Weight = weights[i]
		seen[d.To] = true
		rows = append(rows, d)
	}
	// dh would go on choosing a destination of weight 0, and refuse.
	if head.Scheduler == "dh" {
		return rows
	}
	for _, b := range keep {
		d := dest(s, front, b)
		if !seen[d.To] {
			seen[d.To] = true
			d.Grace = b.Grace
			rows = append(rows, d)
		}
	}
	return rows
}

func dest(s *intent.Service, front row.IpvsFront, b intent.Backend) row.IpvsDest {
	d := row.IpvsDest{Front: front, To: netip.AddrPortFrom(b.Addr, b.Port)}
	if s.DSR {
		d.Method = row.IpvsTunnel
	}
	return d
}

// weights are those of the destinations. sh has 256 places, which it gives away in the destinations' order (Linux
// ip_vs_sh.c), so that all must have room there. For ovf the weight is how many connections a destination takes: one that
// nobody gave a weight takes any number.
func weights(s intent.Scheduler, backends []intent.Backend) []uint32 {
	list := make([]uint32, len(backends))
	switch s {
	case "sh":
		for i, n := range intent.Shares(backends, 256) {
			list[i] = uint32(n)
		}
		return list
	case "ovf":
		for i, b := range backends {
			list[i] = cmp.Or(uint32(b.Weight), math.MaxUint16)
		}
		return list
	}
	for i, b := range backends {
		list[i] = max(uint32(b.Weight), 1)
	}
	return list
}

func schedulerOf(s *intent.Service) string {
	if s.Scheduler == "" {
		return "rr"
	}
	return string(s.Scheduler)
}

// flagsOf are the scheduler's flags. sh always falls back, for it gives destinations of weight 0 their share of
// hashes too (Linux ip_vs_sh.c).
func flagsOf(s *intent.Service) row.IpvsFlags {
	var flags row.IpvsFlags
	for _, f := range s.Flags {
		switch f {
		case "mh-fallback", "flag-1":
			flags |= row.IpvsFallback
		case "mh-port", "flag-2":
			flags |= row.IpvsPort
		case "flag-3":
			flags |= row.IpvsFlag3
		}
	}
	if s.Scheduler == "sh" {
		flags |= row.IpvsFallback
	}
	return flags
}

// Ahead tells that nftables chooses the endpoints of a front, ahead of IPVS, whose virtual server stands beside for the
// connections that it has. It does what IPVS can't: hash IPv6 clients well, forget a client of session affinity in its
// time, and pass on datagrams that are larger than the MTU.
func Ahead(s *intent.Service) bool {
	return !s.DSR && (folds(s) || s.Affinity > 0 || s.Protocol == protoUDP)
}

const protoUDP = 17

// folds tells that IPVS would move many more clients than it must when an endpoint goes: mh folds an IPv6 address into
// 32 bits by XOR (Linux ip_vs_mh_hashkey), in which pods of different nodes are often alike.
func folds(s *intent.Service) bool { return s.Scheduler == "mh" && s.Addr.Is6() }

// Remarks tells what IPVS can't do for a front.
func Remarks(s *intent.Service) []string {
	var list []string
	switch {
	case s.Scheduler == "dh" && len(s.Keep) > 0 && !Ahead(s):
		list = append(list, fmt.Sprintf("scheduler dh can't let endpoints finish: connections to %d of them end", len(s.Keep)))
	case folds(s) && !s.DSR:
		list = append(list, "scheduler mh of IPVS is not exact in IPv6: nftables hashes the clients, and IPVS counts no connections")
	case folds(s):
		list = append(list, "scheduler mh of IPVS is not exact in IPv6, and direct server return needs it: up to half of the clients move when an endpoint goes")
	case Ahead(s) && counts(s):
		list = append(list, fmt.Sprintf("scheduler %s is not used for UDP and with session affinity: nftables chooses there, at random by weight", s.Scheduler))
	}
	if s.DSR && s.Affinity > 0 {
		list = append(list, "with direct server return IPVS keeps a client with its endpoint for longer than the timeout, as long as connections of it are remembered, and any number of clients")
	}
	return list
}

// counts tells schedulers that go by the connections that IPVS counts.
func counts(s *intent.Service) bool {
	return !slices.Contains([]intent.Scheduler{"", "rr", "wrr", "fo", "sh", "dh", "mh"}, s.Scheduler)
}
