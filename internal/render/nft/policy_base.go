package nft

import (
	"net/netip"
	"unique"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// The base chains of policies, and what stands between them and the pods' tiers. They come at priority 0:
// after destination NAT, so on pods' ports, and before source NAT, so with the client's address.
const (
	chainPolicyForward = "policy-forward"
	chainPolicyInput   = "policy-input"
	chainPolicyOutput  = "policy-output"
	chainPolicyICMP4   = "policy-icmp4"
	chainPolicyICMP6   = "policy-icmp6"
	chainUnknownFrom   = "policy-unknown-from"
	chainUnknownTo     = "policy-unknown-to"
)

const protoICMP, protoICMP6 = 1, 58

// FirewallBase renders what stands around the pods' tiers.
func FirewallBase(b *intent.FirewallBase) []row.Nft {
	rows := common(b)
	forward, input, output := []row.NftBody{passing()}, []row.NftBody{passing()}, []row.NftBody{passing()}
	toForward, toInput, more := beside(b)
	rows = append(rows, more...)
	forward, input = append(forward, toForward...), append(input, toInput...)
	middle, more := midway(b)
	rows = append(rows, more...)
	forward, output = append(forward, middle...), append(output, middle...)
	input = append(input, own()...)
	output = append(output, own()...)
	for _, f := range (ServiceParams{IPv4: b.V4, IPv6: b.V6}).families() {
		from, to := wayOf(intent.FromPod), wayOf(intent.ToPod)
		rows = append(rows, f.known(), f.self(), f.toChain(from.vmap), f.toChain(to.vmap), f.toChain(from.log), f.toChain(to.log))
		var strangers, unknown []row.NftBody
		if list := disjoint(f, b.Ranges); len(list) > 0 {
			rows = append(rows, f.ranges("policy-range", list)...)
			unknown = []row.NftBody{f.unknown(row.NftSaddr, chainUnknownFrom)}
			strangers = append(unknown, f.unknown(row.NftDaddr, chainUnknownTo))
		}
		exempt, more := f.fronts(b)
		rows = append(rows, more...)
		input = append(append(append(input, unknown...), exempt...), f.judge(from))
		strangers = append(strangers, f.itself(), f.judge(from), f.judge(to))
		forward, output = append(forward, strangers...), append(output, strangers...)
	}
	if b.Rehearsal {
		rows = append(rows, rehearsal(b)...)
		try := body(row.NftStmt{Op: row.NftJumpTo, Chain: chainRehearsal})
		forward, input, output = append(forward, try), append(input, try), append(output, try)
	}
	for _, c := range []struct {
		name  string
		hook  row.NftHook
		rules []row.NftBody
	}{{chainPolicyForward, row.NftForward, forward}, {chainPolicyInput, row.NftInput, input}, {chainPolicyOutput, row.NftOutput, output}} {
		rows = append(rows, row.NftChain{Name: c.name, Hook: c.hook})
		rows = append(rows, row.NftRules(c.name, c.rules...)...)
	}
	return rows
}

// passing lets flows go on that have been judged: every packet but a flow's first pays this alone.
func passing() row.NftBody {
	return body(row.NftStmt{Op: row.NftMatchState, Num: row.NftStateEstablished | row.NftStateRelated}, row.NftStmt{Op: row.NftAccept})
}

// own lets the node speak, with itself and with its pods (probes). In the output chain the others are
// clients that IPVS has just sent on to an endpoint.
func own() []row.NftBody {
	var list []row.NftBody
	for _, v6 := range []bool{false, true} {
		list = append(list, body(
			row.NftStmt{Op: row.NftMatchLocal, Key: row.NftKeyOf(row.NftTerm{Op: row.NftSaddr, V6: v6})},
			row.NftStmt{Op: row.NftAccept}))
	}
	return list
}

// judge hands the packet to the first tier of its pod.
func (f family) judge(w way) row.NftBody {
	return body(row.NftStmt{Op: row.NftVmap, Key: row.NftKeyOf(row.NftTerm{Op: w.pod, V6: f.v6}), Set: f.toChain(w.vmap).Name})
}

// itself lets a pod reach itself.
func (f family) itself() row.NftBody {
	return body(row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.saddr(), f.daddr()), Set: f.self().Name}, row.NftStmt{Op: row.NftAccept})
}

// unknown finds addresses of the node's pod ranges that are no known pod's: of one that has just been made,
// or has just gone.
func (f family) unknown(end row.NftTermOp, chain string) row.NftBody {
	key := row.NftKeyOf(row.NftTerm{Op: end, V6: f.v6})
	return body(
		row.NftStmt{Op: row.NftLookup, Key: key, Set: "policy-range" + f.suffix},
		row.NftStmt{Op: row.NftLookup, Not: true, Key: key, Set: f.known().Name},
		row.NftStmt{Op: row.NftGotoChain, Chain: chain})
}

func (f family) ranges(name string, list []netip.Prefix) []row.Nft {
	s := f.set(name, []row.NftType{f.addr}, nil)
	s.Interval = true
	rows := []row.Nft{s}
	of := unique.Make(s)
	for _, p := range list {
		e := row.NftElement{Of: of}
		e.Elem, e.Last = row.NftSpan(p)
		rows = append(rows, e)
	}
	return rows
}

// fronts lets packets for Services pass that IPVS, which comes later in the same hook, will send on.
func (f family) fronts(b *intent.FirewallBase) (bodies []row.NftBody, rows []row.Nft) {
	if b.OwnFronts {
		s := ipvsFamily{f}.fronts()
		known := row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(f.frontKey()...), Set: s.Name}
		return []row.NftBody{body(f.is(), known, row.NftStmt{Op: row.NftAccept})}, []row.Nft{s}
	}
	daddr := row.NftKeyOf(f.daddr())
	if list := disjoint(f, b.Fronts); len(list) > 0 {
		rows = f.ranges("policy-fronts", list)
		bodies = append(bodies, body(
			row.NftStmt{Op: row.NftLookup, Key: daddr, Set: "policy-fronts" + f.suffix}, row.NftStmt{Op: row.NftAccept}))
	}
	if b.LastPort == 0 {
		return bodies, rows
	}
	s := row.NftSet{Name: "policy-node-ports", Keys: row.NftTypesOf(row.NftProto, row.NftPort), Interval: true}
	rows = append(rows, s)
	for _, proto := range []uint8{6, 17, 132} {
		rows = append(rows, row.NftElement{
			Of: unique.Make(s), Elem: string(row.NftWire{}.Proto(proto).Port(b.FirstPort)),
			Last: string(row.NftWire{}.Proto(proto).Port(b.LastPort)),
		})
	}
	return append(bodies, body(f.is(),
		row.NftStmt{Op: row.NftLookup, Key: row.NftKeyOf(row.NftTerm{Op: row.NftL4proto}, row.NftTerm{Op: row.NftDport}), Set: s.Name},
		row.NftStmt{Op: row.NftMatchLocal, Key: daddr}, row.NftStmt{Op: row.NftAccept})), rows
}

// common are the chains that tiers lead through.
func common(b *intent.FirewallBase) []row.Nft {
	icmp4, icmp6 := icmpTypes(b)
	chains := []struct {
		name  string
		rules []row.NftBody
	}{
		{chainPolicyICMP4, tried(b, row.NftTerm{Op: row.NftICMPType}, icmp4)},
		{chainPolicyICMP6, tried(b, row.NftTerm{Op: row.NftICMPType, V6: true}, icmp6)},
		{chainCommon, []row.NftBody{
			body(row.NftStmt{Op: row.NftMatchState, Num: row.NftStateInvalid}, row.NftStmt{Op: row.NftCounter}, row.NftStmt{Op: row.NftDropPkt}),
			body(match(row.NftTerm{Op: row.NftL4proto}, protoICMP), row.NftStmt{Op: row.NftGotoChain, Chain: chainPolicyICMP4}),
			body(match(row.NftTerm{Op: row.NftL4proto}, protoICMP6), row.NftStmt{Op: row.NftGotoChain, Chain: chainPolicyICMP6}),
		}},
		{wayOf(intent.ToPod).drop, refusing(b, wayOf(intent.ToPod))},
		{wayOf(intent.FromPod).drop, refusing(b, wayOf(intent.FromPod))},
	}
	var rows []row.Nft
	for _, c := range chains {
		rows = append(rows, row.NftChain{Name: c.name})
		rows = append(rows, row.NftRules(c.name, c.rules...)...)
	}
	if len(b.Ranges) > 0 {
		rows = append(rows, strangers(b)...)
	}
	return rows
}

// icmpTypes are the ICMP messages that pass whatever policies say. As kube-router always did, errors
// (destination unreachable, packet too big, time exceeded) and echo; and what IPv6 can't live without: neighbours
// and routers asked for, neighbours told, multicast listeners (RFC 4890). Router advertisements are not among
// them: no pod is a router.
func icmpTypes(b *intent.FirewallBase) (v4, v6 []uint32) {
	v4, v6 = []uint32{3, 11}, []uint32{1, 2, 3, 130, 131, 132, 133, 135, 136, 143}
	if !b.JudgeEcho {
		v4, v6 = append(v4, 8), append(v6, 128, 129)
	}
	return v4, v6
}

func accepting(t row.NftTerm, types []uint32) []row.NftBody {
	var list []row.NftBody
	for _, n := range types {
		list = append(list, body(match(t, n), row.NftStmt{Op: row.NftAccept}))
	}
	return list
}

// refusing counts and logs by pod, and tells the sender.
func refusing(b *intent.FirewallBase, w way) []row.NftBody {
	var list []row.NftBody
	for _, f := range (ServiceParams{IPv4: b.V4, IPv6: b.V6}).families() {
		list = append(list, body(row.NftStmt{Op: row.NftVmap, Key: row.NftKeyOf(row.NftTerm{Op: w.pod, V6: f.v6}), Set: f.toChain(w.log).Name}))
	}
	return append(list, telling(b)...)
}

// telling ends a packet and tells the sender. TCP hears it by a reset: it ends in both families at once,
// flows that stood before a policy too, and the kernel doesn't limit resets as it does ICMP errors.
//
// The reset for a packet that came over a bridge goes out by the bridge's port, past the hooks that would translate
// it back (nf_send_reset). So the packet first gets back the destination that its sender meant, if a Service or a host
// port has given it another: the reset then comes from there, and where it does pass the hooks they find nothing to do.
// What gets here begins its flow, so its destination is that of the flow's original direction.
func telling(b *intent.FirewallBase) []row.NftBody {
	var list []row.NftBody
	tcp := match(row.NftTerm{Op: row.NftL4proto}, 6)
	for _, f := range (ServiceParams{IPv4: b.V4, IPv6: b.V6}).families() {
		list = append(list, body(f.is(), tcp,
			setField(f.daddr(), row.NftTerm{Op: row.NftCtDaddr, V6: f.v6}),
			setField(row.NftTerm{Op: row.NftDport}, row.NftTerm{Op: row.NftCtDport})))
	}
	return append(list, body(tcp, row.NftStmt{Op: row.NftReject, Num: 1}), body(row.NftStmt{Op: row.NftReject}))
}

func setField(field, value row.NftTerm) row.NftStmt {
	return row.NftStmt{Op: row.NftSetField, Key: row.NftKeyOf(field), Data: row.NftKeyOf(value)}
}

// strangers end packets of addresses that are no known pod's. What such an address sends is dropped without
// a word, so that a pod which is about to be known isn't refused but tries again; whoever sends there is
// told, since most often the pod has gone.
func strangers(b *intent.FirewallBase) []row.Nft {
	rows := []row.Nft{row.NftChain{Name: chainUnknownFrom}, row.NftChain{Name: chainUnknownTo}}
	for _, c := range []struct {
		chain, text string
		end         []row.NftBody
	}{{chainUnknownFrom, "from unknown ", []row.NftBody{body(row.NftStmt{Op: row.NftDropPkt})}}, {chainUnknownTo, "to unknown ", telling(b)}} {
		log := body(row.NftStmt{Op: row.NftCounter}, row.NftStmt{Op: row.NftLimit, Num: policyLogRate, Last: policyLogBurst},
			row.NftStmt{Op: row.NftLog, Num: PolicyLogGroup, Last: logSnap, Text: c.text})
		rows = append(rows, row.NftRules(c.chain, append([]row.NftBody{log}, c.end...)...)...)
	}
	return rows
}
