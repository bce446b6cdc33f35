package nft

import (
	"net/netip"
	"unique"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// MasqueradeMark is the bit of the packet mark that says, between prerouting or output and postrouting of
// one packet, that its source address is to be replaced. It is cleared before the packet leaves.
const MasqueradeMark = 0x4000

// The base chains of Services. Destination NAT comes before everybody's at -100, refusal right after it, source
// NAT before the masquerade of what leaves the cluster. Refusal in prerouting (Linux 5.9) comes before
// routing, which may know no way to an address that nobody has.
const (
	chainPrerouting       = "services-prerouting"
	chainOutput           = "services-output"
	chainPostrouting      = "services-postrouting"
	chainRefuse           = "services-refuse"
	chainRefusePrerouting = "services-refuse-prerouting"
	chainRefuseOutput     = "services-refuse-output"

	priorityDnat   = -105
	prioritySnat   = 98
	priorityRefuse = -99
)

// affinityLimit bounds the clients that session affinity remembers of one front. Beyond it new clients
// are served without. Each front has its own memory, so that a flood of clients of one leaves all others theirs.
const affinityLimit = 1 << 16

// NFPROTO_IPV4 and NFPROTO_IPV6 (linux/netfilter.h).
const (
	nfIPv4 = 2
	nfIPv6 = 10
)

// family is an address family as the rules of Services spell it.
type family struct {
	v6     bool
	suffix string // of set names
	addr   row.NftType
	number uint32 // NFPROTO
}

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return family{false, "4", row.NftIPv4, nfIPv4}
	}
	return family{true, "6", row.NftIPv6, nfIPv6}
}

func (f family) set(name string, keys, values []row.NftType) row.NftSet {
	return row.NftSet{Name: name + f.suffix, Keys: row.NftTypesOf(keys...), Values: row.NftTypesOf(values...)}
}

// front is the type of a front, which most keys begin with, and what follows.
func (f family) front(more ...row.NftType) []row.NftType {
	return append([]row.NftType{f.addr, row.NftProto, row.NftPort}, more...)
}

func (f family) backend() []row.NftType { return []row.NftType{f.addr, row.NftPort} }

// heads leads from a front to its class (class.wire), and classes from there to the chain that serves it. A verdict map of all fronts
// would do the work of both. But whenever an element comes that leads to a chain, the kernel walks through every way that there is
// (nft_table_validate; 6 ms for 10,000 fronts in Linux 6.18), so that each change would cost as much as there are Services.
func (f family) heads() row.NftSet {
	return f.set("services-heads", f.front(), classTypes())
}

func (f family) classes() row.NftSet {
	return f.set("services-classes", classTypes(), []row.NftType{row.NftVerdict})
}

func classTypes() []row.NftType {
	return []row.NftType{row.NftSlot, row.NftSlot, row.NftSlot}
}

// own leads from a front whose class is for it alone to its chain.
func (f family) own() row.NftSet {
	return f.set("services-own", f.front(), []row.NftType{row.NftVerdict})
}

// none are the fronts without any endpoint, which are refused.
func (f family) none() row.NftSet { return f.set("services-none", f.front(), nil) }

// vips are the cluster addresses: what arrives there for another port is refused, not sent out.
func (f family) vips() row.NftSet { return f.set("services-vips", []row.NftType{f.addr}, nil) }

// inside are the blocks of all pods of the cluster: everybody else is an outside client.
func (f family) inside() row.NftSet {
	s := f.set("services-inside", []row.NftType{f.addr}, nil)
	s.Interval = true
	return s
}

// home are the addresses by which others know this node: what answers there comes back.
func (f family) home() row.NftSet { return f.set("services-self", []row.NftType{f.addr}, nil) }

// sources are the clients that may use a front that is not for everybody.
func (f family) sources() row.NftSet {
	s := f.set("services-sources", f.front(f.addr), nil)
	s.Interval = true
	return s
}

// hairpin are the endpoints of this node, twice each: what they send to themselves through a Service gets
// another source address, for else they would answer themselves directly.
func (f family) hairpin() row.NftSet {
	return f.set("services-hairpin", []row.NftType{f.addr, f.addr}, nil)
}

// affinity leads from a client and front to the endpoint that served it last. Rules fill it. It is named by a digest of the front, since
// a rule that names it four times must stay short; the key has the front too, as a port's place in it needs the protocol beside it.
func (f family) affinity(front string) row.NftSet {
	s := f.set("services-affinity", append([]row.NftType{f.addr}, f.front()...), f.backend())
	s.Name += "-" + intent.Digest(front)[:16]
	s.Dynamic, s.Size = true, affinityLimit
	return s
}

// list names the two sets of one list of backends: slots to choose from, and valid, which tells whether an
// endpoint that affinity remembers is one still.
type list struct{ slots, valid row.NftSet }

// everybody is the list for clients in the cluster, and for all where there is no other.
func (f family) everybody() list {
	return list{
		f.set("services-slots", f.front(row.NftSlot), f.backend()),
		f.set("services-valid", f.front(f.backend()...), nil),
	}
}

// near is the list for outside clients under externalTrafficPolicy Local.
func (f family) near() list {
	return list{
		f.set("services-near", f.front(row.NftSlot), f.backend()),
		f.set("services-near-valid", f.front(f.backend()...), nil),
	}
}

func (f family) sets() []row.NftSet {
	all, near := f.everybody(), f.near()
	return []row.NftSet{f.heads(), f.classes(), all.slots, all.valid, near.slots, near.valid, f.none(), f.vips(),
		f.inside(), f.home(), f.sources(), f.hairpin()}
}

// elements makes elements of one set.
type elements struct{ of unique.Handle[row.NftSet] }

func elementsOf(s row.NftSet) elements { return elements{unique.Make(s)} }

func (e elements) key(w row.NftWire) row.NftElement {
	return row.NftElement{Of: e.of, Elem: string(w)}
}

func (e elements) data(w, value row.NftWire) row.NftElement {
	return row.NftElement{Of: e.of, Elem: string(w), Value: string(value)}
}

func (e elements) span(first, last row.NftWire) row.NftElement {
	return row.NftElement{Of: e.of, Elem: string(first), Last: string(last)}
}
