package ipvs

import (
	"net/netip"
	"slices"
	"strings"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Away tells whether an address must not be on this node: some front there has direct server return.
func Away(fronts []*intent.Service) bool {
	return slices.ContainsFunc(fronts, func(s *intent.Service) bool { return s.DSR })
}

// Address renders what brings the packets to one Service address to IPVS. Self is the node's address of the
// family; the node's own packets to the address come from there, not from the address itself. Bridge says that
// pods hang on our bridge. The route names lo, by which the kernel delivers whatever link a local route names: only then
// does IPv4 remember with it the smaller MTU of the way behind the Service (__mkroute_output in net/ipv4/route.c).
func Address(fronts []*intent.Service, mark func(MarkOwner) uint32, self netip.Addr, bridge bool) []row.Linux {
	if len(fronts) == 0 {
		return nil
	}
	vip := netip.PrefixFrom(fronts[0].Addr, fronts[0].Addr.BitLen())
	if !Away(fronts) {
		return []row.Linux{
			row.Link{Name: row.DummyName, Kind: row.LinkDummy},
			row.Addr{Dev: row.DummyName, Net: vip, NoSource: true},
			row.Route{Table: row.TableLocal, Dst: vip, Kind: row.RouteLocal, Hops: row.MakeHops(row.Hop{Dev: "lo"}), Src: self},
		}
	}
	rows := append([]row.Linux{toHere(vip.Addr().Is6())}, direct(vip, bridge)...)
	return append(rows, rulesOf(fronts, mark)...)
}

// Elsewhere renders what brings the packets to the fronts at an address that is not on this node, and no other
// packets to that address: marked ones are all for this node.
func Elsewhere(fronts []*intent.Service, mark func(MarkOwner) uint32) []row.Linux {
	if len(fronts) == 0 {
		return nil
	}
	return append([]row.Linux{toHere(fronts[0].Addr.Is6())}, rulesOf(fronts, mark)...)
}

// toHere is the table for marked packets.
func toHere(v6 bool) row.Linux {
	everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if v6 {
		everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return row.Route{Table: row.TableDSR, Dst: everything, Kind: row.RouteLocal, Hops: row.MakeHops(row.Hop{Dev: "lo"})}
}

func rulesOf(fronts []*intent.Service, mark func(MarkOwner) uint32) []row.Linux {
	var rows []row.Linux
	for _, s := range fronts {
		for _, o := range Marked(s, true) {
			if m := mark(o); m != 0 {
				rows = append(rows, row.Rule{Priority: row.RuleDSR, V6: s.Addr.Is6(), Mark: m, Mask: maxMark, Table: row.TableDSR})
			}
		}
	}
	return rows
}

// direct renders the table of direct server return, with the reference's numbers: the way to the address is the
// bridge, so that what pods send from it passes the check of the way back (RFC 3704).
func direct(vip netip.Prefix, bridge bool) []row.Linux {
	rows := []row.Linux{row.Rule{Priority: row.RuleExternal, V6: vip.Addr().Is6(), Table: row.TableExternal}}
	if bridge {
		rows = append(rows, row.Route{Table: row.TableExternal, Dst: vip, Hops: row.MakeHops(row.Hop{Dev: row.BridgeName})})
	}
	return rows
}

// Sysctls renders the kernel settings that the engine needs: packets of IPVS are tracked, so that rules see
// their connections; connections end with their destination; the node answers ARP for an address on the link
// that has it alone, and announces its own, not a Service's.
func Sysctls(uplinks []string) []row.Sysctl {
	rows := []row.Sysctl{
		vs("conntrack", "1", false),
		vs("expire_nodest_conn", "1", false),
		vs("expire_quiescent_template", "1", false),
		vs("conn_reuse_mode", "0", true),
		{Name: "net/ipv4/conf/all/arp_ignore", Value: "1"},
		{Name: "net/ipv4/conf/all/arp_announce", Value: "2"},
	}
	for _, dev := range append([]string{"all", row.BridgeName, row.DummyName}, uplinks...) {
		rows = append(rows, row.Sysctl{Name: "net/ipv4/conf/" + dev + "/rp_filter", Value: "2", OnlyFrom: "1", Optional: true})
	}
	return rows
}

// Sloppy lets mh with direct server return take connections that began elsewhere: when a router moves a client
// from one node to another, this one picks the same pod.
func Sloppy(s *intent.Service) []row.Sysctl {
	if !s.DSR || s.Scheduler != "mh" {
		return nil
	}
	return []row.Sysctl{vs("sloppy_tcp", "1", true)}
}

func vs(name, value string, optional bool) row.Sysctl {
	return row.Sysctl{Name: "net/ipv4/vs/" + name, Value: value, Optional: optional}
}

// PodVIPs renders what direct server return needs inside the pods of this node.
func PodVIPs(s *intent.Service) []row.PodVIP {
	if !s.DSR {
		return nil
	}
	var rows []row.PodVIP
	seen := map[netip.Addr]bool{}
	for _, list := range [][]intent.Backend{s.Backends, s.Near, s.Keep} {
		for _, b := range list {
			ns, name, ok := strings.Cut(b.Pod, "/")
			if ok && b.Local && !seen[b.Addr] {
				seen[b.Addr] = true
				rows = append(rows, row.PodVIP{Pod: row.KubeName{Namespace: ns, Name: name}, Addr: b.Addr, VIP: s.Addr})
			}
		}
	}
	return rows
}
