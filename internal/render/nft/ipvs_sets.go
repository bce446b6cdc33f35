package nft

import "kube-router/internal/row"

// The base chains of the ipvs engine. What is refused is refused, and what is marked is marked, before IPVS
// sees it: that is in input for packets from elsewhere and in output at -98 for the node's own. Routing, which
// decides about input, looks at the mark.
const (
	ipvsPrerouting  = "ipvs-prerouting"
	ipvsOutput      = "ipvs-output"
	ipvsMarking     = "ipvs-marking"
	ipvsRefuse      = "ipvs-refuse"
	ipvsPostrouting = "ipvs-postrouting"
	ipvsUnmark      = "ipvs-unmark"
	ipvsSent        = "ipvs-sent"

	ipvsKeepPrerouting = "ipvs-keep-prerouting"
	ipvsKeepOutput     = "ipvs-keep-output"

	dsrClamp = "dsr-clamp"

	priorityMangle = -150
	priorityKeep   = priorityDnat + 1 // after the fronts for which nftables chooses, before the NAT of others
)

// IpvsMarkMask are the bits of the packet mark that firewall marks of virtual servers use.
const IpvsMarkMask = 0x3fff

// ipvsFamily is an address family as the rules of the ipvs engine spell it. Its sets are not those of the
// nftables engine, so that both can stand side by side while one takes over from the other.
type ipvsFamily struct{ family }

// fronts are all fronts that there are.
func (f ipvsFamily) fronts() row.NftSet { return f.set("ipvs-fronts", f.front(), nil) }

// vips are the addresses of Services that are no node's.
func (f ipvsFamily) vips() row.NftSet { return f.set("ipvs-vips", []row.NftType{f.addr}, nil) }

// none are the fronts without any endpoint.
func (f ipvsFamily) none() row.NftSet { return f.set("ipvs-none", f.front(), nil) }

// away are the fronts without an endpoint for clients outside the cluster.
func (f ipvsFamily) away() row.NftSet { return f.set("ipvs-away", f.front(), nil) }

// limited are the fronts that are not for everybody, sources those whom they are for.
func (f ipvsFamily) limited() row.NftSet { return f.set("ipvs-limited", f.front(), nil) }

// silent are those of the limited that are for nobody, since this node has no endpoint.
func (f ipvsFamily) silent() row.NftSet { return f.set("ipvs-silent", f.front(), nil) }

func (f ipvsFamily) sources() row.NftSet {
	s := f.set("ipvs-sources", f.front(f.addr), nil)
	s.Interval = true
	return s
}

// pods are the blocks of the pods of this node.
func (f ipvsFamily) pods() row.NftSet {
	s := f.set("ipvs-pods", []row.NftType{f.addr}, nil)
	s.Interval = true
	return s
}

// masked leads from a front to the chain that decides whose source address is replaced.
func (f ipvsFamily) masked() row.NftSet {
	return f.set("ipvs-masked", f.front(), []row.NftType{row.NftVerdict})
}

// hairpin are the endpoints of this node, twice each.
func (f ipvsFamily) hairpin() row.NftSet {
	return f.set("ipvs-hairpin", []row.NftType{f.addr, f.addr}, nil)
}

// marks and nearMarks lead from a front to the mark of its virtual server.
func (f ipvsFamily) marks() row.NftSet {
	return f.set("ipvs-marks", f.front(), []row.NftType{row.NftMark})
}

func (f ipvsFamily) nearMarks() row.NftSet {
	return f.set("ipvs-near-marks", f.front(), []row.NftType{row.NftMark})
}

// direct are the addresses from which pods answer by themselves.
func (f ipvsFamily) direct() row.NftSet { return f.set("dsr-vips", []row.NftType{f.addr}, nil) }

// ipvsUsed are the marks in use, which are taken off again.
func ipvsUsed() row.NftSet {
	return row.NftSet{Name: "ipvs-used", Keys: row.NftTypesOf(row.NftMark)}
}

func (f ipvsFamily) sets() []row.NftSet {
	return []row.NftSet{f.fronts(), f.vips(), f.none(), f.away(), f.limited(), f.silent(), f.sources(), f.pods(), f.masked(),
		f.hairpin(), f.marks(), f.nearMarks(), f.direct()}
}
