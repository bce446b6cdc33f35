package nft

import (
	"net/netip"
	"unique"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// The guard of pods' ports, in family bridge: a frame that comes in at a pod's port bears the Ethernet address and one of
// the addresses of that pod, or it ends there. Nearly all frames pay for one look-up. It comes before bridge netfilter
// (priority 0) hands packets to the hooks of family inet.
const (
	chainGuard     = "guard"
	chainGuardIPv6 = "guard-ip6"       // IPv6 from an address that is the pod's
	chainGuardTell = "guard-advertise" // a neighbour advertisement
	chainGuardPort = "guard-port"      // at a pod's port, and not plainly the pod's
	chainGuardDrop = "guard-drop"
	prioGuard      = -300
)

// Types of ICMPv6 (RFC 4861, RFC 3810).
const (
	ndRouterAdvertisement = 134
	ndSolicitation        = 135
	ndAdvertisement       = 136
	ndRedirect            = 137
	mldReport             = 131
	mldReport2            = 143
)

// GuardBase renders what the guards of ports lean on. Without a port it lets everything pass.
func GuardBase() []row.Nft {
	ip4, ip6 := guardSet(false), guardSet(true)
	unspecified := row.NftStmt{Op: row.NftMatchNet, Key: row.NftKeyOf(row.NftTerm{Op: row.NftSaddr, V6: true}), Prefix: netip.MustParsePrefix("::/128")}
	accept, end := row.NftStmt{Op: row.NftAccept}, row.NftStmt{Op: row.NftGotoChain, Chain: chainGuardDrop}
	entry := []row.NftBody{
		body(isPods(ip4, row.NftTerm{Op: row.NftSaddr}), accept),
		body(isPods(ip6, row.NftTerm{Op: row.NftSaddr, V6: true}), row.NftStmt{Op: row.NftGotoChain, Chain: chainGuardIPv6}),
		body(row.NftStmt{Op: row.NftVmap, Key: row.NftKeyOf(row.NftTerm{Op: row.NftIif}), Set: guardPorts().Name}),
	}
	rows := append([]row.Nft{ip4, ip6, guardPorts()}, ending(row.NftChain{Name: chainGuardDrop, Bridge: true}, "forged", dropping()...)...)
	for _, c := range []struct {
		name  string
		rules []row.NftBody
	}{
		{chainGuardTell, []row.NftBody{body(isPods(ip6, row.NftTerm{Op: row.NftNDTarget, V6: true}), accept), body(end)}},
		{chainGuardIPv6, []row.NftBody{
			body(not(match(row.NftTerm{Op: row.NftL4proto}, protoICMP6)), accept),
			icmp6(ndRouterAdvertisement, end), icmp6(ndRedirect, end),
			icmp6(ndAdvertisement, row.NftStmt{Op: row.NftGotoChain, Chain: chainGuardTell}),
			body(match(row.NftTerm{Op: row.NftL4proto}, protoICMP6), accept), // a later fragment has no type
			body(end),
		}},
		{chainGuardPort, []row.NftBody{
			body(isPods(ip4, row.NftTerm{Op: row.NftArpSaddr}), accept),
			// A pod asks whether an address is another's before it is its own (RFC 4862, section 5.4).
			body(unspecified, match(row.NftTerm{Op: row.NftICMPType, V6: true}, ndSolicitation),
				isPods(ip6, row.NftTerm{Op: row.NftNDTarget, V6: true}), accept),
			// Routers don't listen to what comes from no address (RFC 3590), so nobody misses it.
			body(unspecified, match(row.NftTerm{Op: row.NftICMPType, V6: true}, mldReport), row.NftStmt{Op: row.NftDropPkt}),
			body(unspecified, match(row.NftTerm{Op: row.NftICMPType, V6: true}, mldReport2), row.NftStmt{Op: row.NftDropPkt}),
			body(end),
		}},
	} {
		rows = append(rows, row.NftChain{Name: c.name, Bridge: true})
		rows = append(rows, row.NftBridgeRules(c.name, c.rules...)...)
	}
	rows = append(rows, row.NftChain{Name: chainGuard, Bridge: true, Hook: row.NftPrerouting, Priority: prioGuard})
	return append(rows, row.NftBridgeRules(chainGuard, entry...)...)
}

// GuardPort renders one port: a row that says whose rules hold there, and one for each address.
func GuardPort(p *intent.Port) []row.Nft {
	ports := guardPorts()
	verdict := map[intent.PortKind]row.NftJump{
		intent.PodPort:  {Op: row.NftGotoChain, Chain: chainGuardPort},
		intent.FreePort: {Op: row.NftAccept},
	}[p.Kind]
	rows := []row.Nft{row.NftElement{Of: unique.Make(ports), Elem: string(row.NftWire{}.Ifname(p.Name)), Verdict: verdict}}
	for _, a := range p.Addrs {
		rows = append(rows, row.NftElement{
			Of: unique.Make(guardSet(a.Is6())), Elem: string(row.NftWire{}.Ifname(p.Name).Ether(p.MAC).Addr(a)),
		})
	}
	return rows
}

// guardSet has who may be at which port: port, Ethernet address and address.
func guardSet(v6 bool) row.NftSet {
	f := familyOf(netip.IPv4Unspecified())
	if v6 {
		f = familyOf(netip.IPv6Unspecified())
	}
	return row.NftSet{Name: chainGuard + "-pods" + f.suffix, Bridge: true, Keys: row.NftTypesOf(row.NftIfname, row.NftEther, f.addr)}
}

// guardPorts leads from a port to the rules that hold there.
func guardPorts() row.NftSet {
	return row.NftSet{
		Name: chainGuard + "-ports", Bridge: true, Keys: row.NftTypesOf(row.NftIfname), Values: row.NftTypesOf(row.NftVerdict),
	}
}

// isPods matches a frame of the pod at whose port it comes in, by one of the addresses in it.
func isPods(s row.NftSet, addr row.NftTerm) row.NftStmt {
	return row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(row.NftTerm{Op: row.NftIif}, row.NftTerm{Op: row.NftEtherSaddr}, addr), Set: s.Name}
}

func icmp6(typ uint32, what row.NftStmt) row.NftBody {
	return body(match(row.NftTerm{Op: row.NftICMPType, V6: true}, typ), what)
}

func not(s row.NftStmt) row.NftStmt {
	s.Not = true
	return s
}
