package nft

import (
	"net/netip"
	"slices"
	"unique"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Policies take the shape of one verdict map per family and direction, from the address of a pod of this
// node to the chain of its first tier. The chain is named by what the tier says, so pods with equal ones share
// it; a chain's rules look peers up in sets that are shared in the same way. What changes most, who is in
// a set, is elements alone, and a packet meets the same few rules however many policies there are:
//
//	ip saddr vmap @policy-egress4       → jump policy-out4-…
//	ip daddr vmap @policy-ingress4      → jump policy-in4-…
//	policy-in4-…:  ip saddr @policy-peer4-… tcp dport 80 return
//	               goto policy-drop-in

// PolicyLogGroup is the group of NFLOG that drops are logged to, as kube-router always did.
const PolicyLogGroup = 100

// RehearsalLogGroup is the group of NFLOG that packets are logged to which policies would drop that are only rehearsed.
const RehearsalLogGroup = 101

// Of each pod and direction ten drops a minute are logged, after a first ten at once.
const (
	policyLogRate  = 10
	policyLogBurst = 10
)

// logSnap is how much of a dropped packet is logged: the headers.
const logSnap = 128

// way is what differs between the directions.
type way struct {
	vmap   string // pod → chain of its first tier
	chain  string // prefix of the chains
	drop   string // chain of what no rule allowed
	deny   string // chain of what a rule of a ClusterNetworkPolicy denied
	next   string // chain that leads to a pod's second tier, and pod → chain of that
	log    string // pod → chain that counts and logs
	prefix string // of the log's text
	pod    row.NftTermOp
	peer   row.NftTermOp
	group  uint32 // of NFLOG
	common string // chain that tiers of NetworkPolicies begin with
	errors string // chain that tiers of ClusterNetworkPolicies begin with
}

func wayOf(d intent.Direction) way {
	if d == intent.ToPod {
		return way{"policy-ingress", "policy-in", "policy-drop-in", "policy-deny-in", "policy-next-in", "policy-log-in", "to", row.NftDaddr, row.NftSaddr,
			PolicyLogGroup, chainCommon, chainErrors}
	}
	return way{"policy-egress", "policy-out", "policy-drop-out", "policy-deny-out", "policy-next-out", "policy-log-out", "from", row.NftSaddr, row.NftDaddr,
		PolicyLogGroup, chainCommon, chainErrors}
}

// wayOfTier is that of a tier, which may be a rehearsal's.
func wayOfTier(t *intent.Tier) way {
	if t.Place != intent.AtPod {
		return hosting(t.Direction, t.Place, t.Rehearsal)
	}
	if t.Rehearsal {
		return rehearsing(t.Direction)
	}
	return wayOf(t.Direction)
}

// Firewall renders what guards one pod. The chains of its tiers are rendered by Tier.
func Firewall(fw *intent.Firewall) []row.Nft {
	var rows []row.Nft
	for _, a := range fw.Addrs {
		f := familyOf(a)
		rows = append(rows, member(f.known(), a))
		if fw.Learns {
			rows = append(rows, f.learners(), member(f.learners(), a))
		}
	}
	for _, tiers := range [][]*intent.Tier{fw.Ingress, fw.Egress, fw.Rehearsal[intent.ToPod], fw.Rehearsal[intent.FromPod]} {
		if len(tiers) > 0 {
			rows = append(rows, guard(fw, tiers)...)
		}
	}
	return rows
}

func guard(fw *intent.Firewall, tiers []*intent.Tier) []row.Nft {
	d, w := tiers[0].Direction, wayOfTier(tiers[0])
	log := w.log + "-" + intent.Digest(fw.Pod)
	rows := []row.Nft{row.NftChain{Name: log}}
	rows = append(rows, row.NftRules(log, body(
		row.NftStmt{Op: row.NftCounter},
		row.NftStmt{Op: row.NftLimit, Num: policyLogRate, Last: policyLogBurst},
		row.NftStmt{Op: row.NftLog, Num: w.group, Last: logSnap, Text: LogPrefix(d, fw.Pod)},
	))...)
	ends := !tiers[0].Rehearsal && slices.ContainsFunc(tiers, (*intent.Tier).Ends)
	if ends {
		rows = append(rows, closing()...)
	}
	for _, a := range fw.Addrs {
		f := familyOf(a)
		if ends {
			rows = append(rows, member(f.guarded(d), a))
		}
		rows = append(rows, row.NftElement{Of: unique.Make(f.self()), Elem: string(row.NftWire{}.Addr(a).Addr(a))})
		rows = append(rows, lead(f.toChain(w.log), a, log), lead(f.toChain(w.vmap), a, f.tierChain(tiers[0])))
		for _, t := range tiers[1:] {
			rows = append(rows, lead(f.toChain(w.next), a, f.tierChain(t)))
		}
	}
	return rows
}

// LogChain is the chain that counts what a pod's firewall dropped in a direction: its first rule's counter.
func LogChain(d intent.Direction, pod string) row.NftKey {
	return row.NftRule{Chain: wayOf(d).log + "-" + intent.Digest(pod)}.Key()
}

// OtherDrops are the rules that count what ends for a reason that no pod's policies name, by that reason.
func OtherDrops() map[string]row.NftKey {
	list := map[string]row.NftKey{}
	for text, chain := range map[string]string{
		"beside pods' addresses": chainBesideEnd, "midway": chainMidway, "from unknown": chainUnknownFrom, "to unknown": chainUnknownTo,
	} {
		list[text] = row.NftRule{Chain: chain}.Key()
	}
	for text, chain := range map[string]string{
		"no endpoint": chainNoEndpoint, "no Service at the port": chainNoPort, "no endpoint on this node": chainNoLocal, "outside of source ranges": chainSource,
		"no egress gateway": gatewayRefused, "clear text": wireClear,
		"no route": chainNoRoute, "host unreachable": chainUnreachable,
	} {
		list[text] = row.NftRule{Chain: chain}.Key()
	}
	list["not as its sender"] = row.NftRule{Chain: chainGuardDrop, Bridge: true}.Key()
	return list
}

// LogPrefix is the text that NFLOG carries with a packet that a pod's firewall dropped: "to a/web " or
// "from a/web ". The kernel takes up to 127 bytes; a longer name is cut and told apart by its digest.
func LogPrefix(d intent.Direction, pod string) string {
	const most = 100
	if len(pod) > most {
		pod = pod[:most-9] + "~" + intent.Digest(pod)[:8]
	}
	return wayOf(d).prefix + " " + pod + " "
}

// PeerSet renders a shared set, empty: its elements come with the pods.
func PeerSet(s *intent.PeerSet) []row.Nft {
	return []row.Nft{familyOf(netip.IPv4Unspecified()).peers(s.ID), familyOf(netip.IPv6Unspecified()).peers(s.ID)}
}

// Membership renders the sets that one pod is in.
func Membership(m *intent.Membership) []row.Nft {
	var rows []row.Nft
	for _, a := range m.Addrs {
		f := familyOf(a)
		for _, s := range m.Sets {
			rows = append(rows, member(f.peers(s), a))
		}
		for _, n := range m.Named {
			rows = append(rows, row.NftElement{
				Of: unique.Make(f.peers(n.Set)), Elem: string(row.NftWire{}.Addr(a).Proto(n.Protocol).Port(n.Port)),
			})
		}
	}
	return rows
}

func member(s row.NftSet, a netip.Addr) row.Nft {
	return row.NftElement{Of: unique.Make(s), Elem: string(row.NftWire{}.Addr(a))}
}

func lead(s row.NftSet, a netip.Addr, chain string) row.Nft {
	return row.NftElement{
		Of: unique.Make(s), Elem: string(row.NftWire{}.Addr(a)), Verdict: row.NftJump{Op: row.NftJumpTo, Chain: chain},
	}
}

// known are the addresses of this node's pods.
func (f family) known() row.NftSet { return f.set("policy-pods", []row.NftType{f.addr}, nil) }

// self are isolated pods with themselves: a pod reaches itself through a Service whatever policies say.
func (f family) self() row.NftSet { return f.set("policy-self", []row.NftType{f.addr, f.addr}, nil) }

// toChain is a verdict map by address.
func (f family) toChain(name string) row.NftSet {
	return f.set(name, []row.NftType{f.addr}, []row.NftType{row.NftVerdict})
}

// peers is a shared set of peers.
func (f family) peers(id intent.SetID) row.NftSet {
	if id.Named {
		return row.NftSet{Name: "policy-named" + f.suffix + "-" + id.Hash, Keys: row.NftTypesOf(f.front()...)}
	}
	return row.NftSet{Name: "policy-peer" + f.suffix + "-" + id.Hash, Keys: row.NftTypesOf(f.addr)}
}

// tierChain is the chain of a tier.
func (f family) tierChain(t *intent.Tier) string {
	level := [...]string{intent.AdminLevel: "-admin", intent.NetworkLevel: "", intent.BaselineLevel: "-base"}[t.Level]
	return wayOfTier(t).chain + level + f.suffix + "-" + t.ID
}
