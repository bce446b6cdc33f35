package nft

import (
	"net/netip"
	"time"
	"unique"

	"kube-router/internal/row"
)

func term(op row.NftTermOp) row.NftTerm  { return row.NftTerm{Op: op} }
func term6(op row.NftTermOp) row.NftTerm { return row.NftTerm{Op: op, V6: true} }

func key(ops ...row.NftTermOp) (k row.NftKeyExpr) {
	for i, op := range ops {
		k[i] = term(op)
	}
	return k
}

func key6(ops ...row.NftTermOp) (k row.NftKeyExpr) {
	for i, op := range ops {
		k[i] = term6(op)
	}
	return k
}

func rule1(chain string, pos int, stmts ...row.NftStmt) row.Nft {
	return row.NftRule{Chain: chain, Pos: pos, Body: row.NftMakeBody(stmts...)}
}

func element(s row.NftSet, key row.NftWire, value row.NftWire) row.Nft {
	return row.NftElement{Of: unique.Make(s), Elem: string(key), Value: string(value)}
}

func prefixElement(s row.NftSet, p string) row.Nft {
	first, last := row.NftSpan(netip.MustParsePrefix(p))
	return row.NftElement{Of: unique.Make(s), Elem: first, Last: last}
}

func jump(s row.NftSet, key row.NftWire, chain string) row.Nft {
	return row.NftElement{Of: unique.Make(s), Elem: string(key), Verdict: row.NftJump{Op: row.NftJumpTo, Chain: chain}}
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// service maps, as the services room uses them.
var (
	heads = row.NftSet{
		Name: "services-heads", Keys: row.NftTypesOf(row.NftIPv4, row.NftProto, row.NftPort),
		Values: row.NftTypesOf(row.NftVerdict),
	}
	slotsMap = row.NftSet{
		Name: "services-slots", Keys: row.NftTypesOf(row.NftIPv4, row.NftProto, row.NftPort, row.NftSlot),
		Values: row.NftTypesOf(row.NftIPv4, row.NftPort),
	}
	classed = row.NftSet{
		Name: "services-classed", Keys: row.NftTypesOf(row.NftIPv4, row.NftProto, row.NftPort),
		Values: row.NftTypesOf(row.NftSlot, row.NftSlot, row.NftSlot),
	}
	classes = row.NftSet{
		Name: "services-classes", Keys: row.NftTypesOf(row.NftSlot, row.NftSlot, row.NftSlot),
		Values: row.NftTypesOf(row.NftVerdict),
	}
	affinity = row.NftSet{
		Name: "services-affinity", Keys: row.NftTypesOf(row.NftIPv4, row.NftIPv4, row.NftProto, row.NftPort),
		Values: row.NftTypesOf(row.NftIPv4, row.NftPort), Dynamic: true, Timeout: 3 * time.Hour,
	}
	peers = row.NftSet{Name: "policy-peers", Keys: row.NftTypesOf(row.NftIPv4), Interval: true}
	ports = row.NftSet{
		Name: "policy-ports", Keys: row.NftTypesOf(row.NftIPv6, row.NftProto, row.NftPort), Interval: true,
	}
	hosts = row.NftSet{Name: "policy-hosts", Keys: row.NftTypesOf(row.NftIPv6)}
	// Fields that are not a multiple of four bytes long, alone.
	guess = row.NftSet{Name: "host-ports", Keys: row.NftTypesOf(row.NftPort), Values: row.NftTypesOf(row.NftProto)}
	links = row.NftSet{Name: "host-links", Keys: row.NftTypesOf(row.NftIfname), Size: 100, Count: true}
	spans = row.NftSet{Name: "host-spans", Keys: row.NftTypesOf(row.NftPort), Interval: true}
)

func headKey(vip string, proto uint8, port uint16) row.NftWire {
	return row.NftWire{}.Addr(ip(vip)).Proto(proto).Port(port)
}

func target(addr string, port uint16) row.NftWire { return row.NftWire{}.Addr(ip(addr)).Port(port) }

// sample is a little of everything.
func sample() []row.Nft {
	rows := []row.Nft{
		heads, slotsMap, classed, classes, affinity, peers, ports, hosts, guess, links, spans,
		row.NftChain{Name: "services"}, row.NftChain{Name: "policy-pod"},
		row.NftChain{Name: "services-class-2"},
		row.NftChain{Name: "services-prerouting", Hook: row.NftPrerouting, Nat: true, Priority: -105},
		row.NftChain{Name: "policy-input", Hook: row.NftInput},
		row.NftChain{Name: "policy-forward", Hook: row.NftForward, Drop: true},
		row.NftChain{Name: "services-masquerade", Hook: row.NftPostrouting, Nat: true, Priority: 99},
		rule1("services-prerouting", 0, row.NftStmt{Op: row.NftJumpTo, Chain: "services"}),
		rule1("services", 0, row.NftStmt{
			Op: row.NftVmap, Key: key(row.NftDaddr, row.NftL4proto, row.NftDport), Set: heads.Name,
		}),
		rule1("services-prerouting", 1, row.NftStmt{
			Op: row.NftVmap, Data: key(row.NftDaddr, row.NftL4proto, row.NftDport), Via: classed.Name, Set: classes.Name,
		}),
		element(classed, headKey("10.96.0.11", 6, 80), row.NftWire{}.Host(2).Host(0).Host(20)),
		jump(classes, row.NftWire{}.Host(2).Host(0).Host(20), "services-class-2"),
		rule1("services-class-2", 0, row.NftStmt{Op: row.NftDnatTo, Set: slotsMap.Name, Key: row.NftKeyOf(
			term(row.NftDaddr), term(row.NftL4proto), term(row.NftDport), row.NftTerm{Op: row.NftNumRandom, Mod: 2})}),
		rule1("services-masquerade", 0, row.NftStmt{Op: row.NftMatchNum, Key: key(row.NftPktMark), Mask: 0x4000, Num: 0x4000},
			row.NftStmt{Op: row.NftMasquerade}),
		jump(heads, headKey("10.96.0.1", 6, 443), "services-class-2"),
		jump(heads, headKey("10.96.0.10", 17, 53), "services-class-2"),
		prefixElement(peers, "10.0.0.0/8"), prefixElement(peers, "192.168.1.1/32"), prefixElement(peers, "255.0.0.0/8"),
		prefixElement(peers, "11.0.0.0/8"),
		row.NftElement{
			Of:   unique.Make(ports),
			Elem: string(row.NftWire{}.Addr(ip("fd00::")).Proto(6).Port(1000)),
			Last: string(row.NftWire{}.Addr(ip("fd00::ffff")).Proto(6).Port(2000)),
		},
		element(ports, row.NftWire{}.Addr(ip("fd01::1")).Proto(6).Port(80), nil),
		element(guess, row.NftWire{}.Port(53), row.NftWire{}.Proto(17)),
		element(links, row.NftWire{}.Ifname("kube-bridge"), nil),
		row.NftElement{
			Of: unique.Make(spans), Elem: string(row.NftWire{}.Port(30000)), Last: string(row.NftWire{}.Port(65535)),
		},
		element(spans, row.NftWire{}.Port(80), nil),
		element(hosts, row.NftWire{}.Addr(ip("fd01::1")), nil),
	}
	for i, s := range statements() {
		rows = append(rows, rule1("policy-forward", i, s...))
	}
	rows = append(rows, frames()...)
	for slot := range uint32(2) {
		rows = append(rows,
			element(slotsMap, headKey("10.96.0.1", 6, 443).Host(slot), target("10.0.0.1", 6443+uint16(slot))),
			element(slotsMap, headKey("10.96.0.10", 17, 53).Host(slot), target("10.0.0.2", 53)))
	}
	return rows
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// frames are rows of the table of family bridge, one of them with a name that is in the other table as well.
func frames() []row.Nft {
	senders := row.NftSet{Name: "guard-pods", Bridge: true, Keys: row.NftTypesOf(row.NftIfname, row.NftEther, row.NftIPv4)}
	asked := row.NftSet{Name: "policy-ports", Bridge: true, Keys: row.NftTypesOf(row.NftIfname, row.NftEther, row.NftIPv6)}
	accept, sender := row.NftStmt{Op: row.NftAccept}, []row.NftTerm{term(row.NftIif), term(row.NftEtherSaddr)}
	in := func(s row.NftSet, t row.NftTerm) row.NftStmt {
		return row.NftStmt{Op: row.NftLookup, Set: s.Name, Key: row.NftKeyOf(append(sender[:2:2], t)...)}
	}
	pod := row.NftWire{}.Ifname("veth1").Ether(row.MAC{2, 0, 0, 0, 0, 1})
	rows := []row.Nft{
		senders, asked, row.NftChain{Name: "services", Bridge: true}, row.NftChain{Name: "guard", Bridge: true, Hook: row.NftPrerouting, Priority: -300},
		element(senders, append(pod[:len(pod):len(pod)], 10, 0, 0, 1), nil),
		element(asked, pod[:len(pod):len(pod)].Addr(ip("fd00::1")), nil),
	}
	rows = append(rows, row.NftBridgeRules("guard",
		row.NftMakeBody(in(senders, term(row.NftSaddr)), accept),
		row.NftMakeBody(in(asked, term6(row.NftSaddr)), row.NftStmt{Op: row.NftGotoChain, Chain: "services"}),
		row.NftMakeBody(row.NftStmt{Op: row.NftMatchNum, Key: key(row.NftEthertype), Num: 0x8100}, row.NftStmt{Op: row.NftDropPkt}))...)
	return append(rows, row.NftBridgeRules("services", row.NftMakeBody(in(senders, term(row.NftArpSaddr)), accept),
		row.NftMakeBody(row.NftStmt{Op: row.NftCounter}))...)
}

// statements are rules with every statement that a filter chain takes.
func statements() [][]row.NftStmt {
	tcp := row.NftStmt{Op: row.NftMatchNum, Key: key(row.NftL4proto), Num: 6}
	accept := row.NftStmt{Op: row.NftAccept}
	match := func(op row.NftTermOp, s row.NftStmt) []row.NftStmt {
		s.Key[0] = term(op)
		return []row.NftStmt{s, accept}
	}
	return [][]row.NftStmt{
		match(row.NftSaddr, row.NftStmt{Op: row.NftMatchNet, Prefix: prefix("10.1.2.0/24")}),
		match(row.NftDaddr, row.NftStmt{Op: row.NftMatchNet, Prefix: prefix("10.1.2.3/32"), Not: true}),
		match(row.NftDaddr, row.NftStmt{Op: row.NftMatchNet, Prefix: prefix("10.1.2.128/25")}),
		{{Op: row.NftMatchNet, Key: key6(row.NftSaddr), Prefix: prefix("fd00::/64")}, accept},
		{{Op: row.NftMatchNet, Key: key6(row.NftDaddr), Prefix: prefix("fd00::/63"), Not: true}, accept},
		match(row.NftNfproto, row.NftStmt{Op: row.NftMatchNum, Num: 10}),
		match(row.NftCtDir, row.NftStmt{Op: row.NftMatchNum, Num: 1}),
		match(row.NftPktMark, row.NftStmt{Op: row.NftMatchNum, Num: 0x10000, Mask: 0x10000, Not: true}),
		match(row.NftCtMark, row.NftStmt{Op: row.NftMatchNum, Num: 7}),
		match(row.NftPktMark, row.NftStmt{Op: row.NftMatchRange, Num: 1, Last: 300}),
		{tcp, {Op: row.NftMatchNum, Key: key(row.NftDport), Num: 80}, accept},
		{tcp, {Op: row.NftMatchRange, Key: key(row.NftDport), Num: 8000, Last: 9000, Not: true}, accept},
		{tcp, {Op: row.NftMatchNum, Key: key(row.NftSport), Num: 53}, accept},
		match(row.NftICMPType, row.NftStmt{Op: row.NftMatchNum, Num: 8}),
		{{Op: row.NftMatchNum, Key: key6(row.NftICMPType), Num: 135}, accept},
		match(row.NftTTL, row.NftStmt{Op: row.NftMatchNum, Num: 255}),
		{{Op: row.NftMatchRange, Key: key6(row.NftTTL), Num: 253, Last: 255}, accept},
		match(row.NftTCPFlags, row.NftStmt{Op: row.NftMatchNum, Num: 2, Mask: 0x12}),
		match(row.NftIif, row.NftStmt{Op: row.NftMatchName, Text: "kube-bridge"}),
		match(row.NftOif, row.NftStmt{Op: row.NftMatchName, Text: "veth*", Not: true}),
		{{Op: row.NftMatchState, Num: row.NftStateEstablished | row.NftStateRelated}, accept},
		{{Op: row.NftMatchState, Num: row.NftStateInvalid, Not: true}, accept},
		{{Op: row.NftMatchStatus, Num: row.NftStatusDNAT}, accept},
		{{Op: row.NftMatchStatus, Num: row.NftStatusDNAT | row.NftStatusSNAT, Not: true}, accept},
		match(row.NftDaddr, row.NftStmt{Op: row.NftMatchLocal}),
		match(row.NftSaddr, row.NftStmt{Op: row.NftMatchLocal, Not: true}),
		match(row.NftSaddr, row.NftStmt{Op: row.NftLookup, Set: peers.Name}),
		{{Op: row.NftLookup, Key: key6(row.NftSaddr), Set: hosts.Name, Not: true}, accept},
		{{Op: row.NftLookup, Set: ports.Name, Key: row.NftKeyOf(
			term6(row.NftDaddr), term(row.NftL4proto), term(row.NftDport))}, accept},
		match(row.NftOif, row.NftStmt{Op: row.NftLookup, Set: links.Name}),
		{tcp, {Op: row.NftLookup, Key: key(row.NftDport), Set: spans.Name}, accept},
		match(row.NftCtDaddr, row.NftStmt{Op: row.NftMatchNet, Prefix: prefix("10.96.0.0/12")}),
		{tcp, {Op: row.NftMatchNum, Key: key(row.NftCtDport), Num: 443}, accept},
		match(row.NftCtSaddr, row.NftStmt{Op: row.NftMatchNet, Prefix: prefix("10.244.0.0/16")}),
		match(row.NftNextHop, row.NftStmt{Op: row.NftMatchNet, Prefix: prefix("10.0.0.0/24")}),
		{{Op: row.NftLookup, Key: key6(row.NftCtSaddr), Set: hosts.Name}, accept},
		{{Op: row.NftLookup, Key: key6(row.NftNextHop), Set: hosts.Name}, accept},
		{{Op: row.NftCounter}},
		{{Op: row.NftLimit, Num: 10, Last: 5}, {Op: row.NftLog, Num: 100, Text: "DROP by policy a/b"}},
		{{Op: row.NftLog, Num: 100, Text: "x", Last: 64}},
		{{Op: row.NftSetMark, Num: 0x10000, Mask: 0x30000}},
		{{Op: row.NftSetCtMark, Num: 1}},
		{{Op: row.NftNotrack}},
		{{Op: row.NftMSS, Num: 1360}},
		{{Op: row.NftSetField, Key: key(row.NftDaddr), Data: key(row.NftCtDaddr)}},
		{{Op: row.NftSetField, Key: key6(row.NftDaddr), Data: key6(row.NftCtDaddr)}},
		{tcp, {Op: row.NftSetField, Key: key(row.NftDport), Data: key(row.NftCtDport)}},
		{{Op: row.NftUpdate, Set: affinity.Name, Timeout: time.Hour,
			Key: key(row.NftSaddr, row.NftDaddr, row.NftL4proto, row.NftDport),
			Data: row.NftKeyOf(term(row.NftDaddr), term(row.NftL4proto), term(row.NftDport), row.NftTerm{
				Op: row.NftHash, Mod: 2, Seed: 9, Hash: row.NftHashFields{row.NftSaddr, row.NftSport}}),
			Via: slotsMap.Name}},
		{{Op: row.NftUpdate, Set: affinity.Name, Key: key(row.NftSaddr, row.NftDaddr, row.NftL4proto, row.NftDport),
			Data: row.NftKeyOf(term(row.NftDaddr), term(row.NftDport))}},
		{{Op: row.NftForget, Set: affinity.Name, Key: key(row.NftSaddr, row.NftDaddr, row.NftL4proto, row.NftDport)}},
		{{Op: row.NftReject, Num: 1}},
		{{Op: row.NftReject}},
		{{Op: row.NftRejectAdmin}},
		{{Op: row.NftReturn}},
		{{Op: row.NftGotoChain, Chain: "policy-pod"}},
		{{Op: row.NftDropPkt}},
	}
}
