package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// established is the state of a session in which routes are exchanged (RFC 4271).
const established = "ESTABLISHED"

// NodePeer is a BGP session as one of its ends sees it.
type NodePeer struct {
	Node       string     `json:"node"` // who sees it
	Peer       netip.Addr `json:"peer"`
	ASN        uint32     `json:"asn"`
	PeerNode   string     `json:"peerNode,omitempty"` // the node that the peer is; empty: a router outside
	State      string     `json:"state"`              // in RFC 4271's words
	Reason     string     `json:"reason,omitempty"`   // why it isn't established
	Since      *time.Time `json:"since,omitempty"`    // of that state; none: it never was established
	Received   uint64     `json:"received"`
	Accepted   uint64     `json:"accepted"`
	Advertised uint64     `json:"advertised"`
	Flaps      uint32     `json:"flaps"`
	Remark     string     `json:"remark,omitempty"` // what only both ends together show
}

// session is one line of what `kube-router show peers -o json` says.
type session struct {
	Addr                           netip.Addr
	ASN                            uint32
	Node, Session, Reason          string
	Since                          time.Time
	Received, Accepted, Advertised uint64
	Flaps                          uint32
}

// Peers prints the BGP sessions of all nodes, those that aren't established first, and those that are at one end only.
func (c *Cluster) Peers(ctx context.Context, names []string, w io.Writer, format string) (Verdict, error) {
	all, err := c.Nodes(ctx)
	if err != nil {
		return Unknown, err
	}
	some, err := Named(all, names)
	if err != nil {
		return Unknown, err
	}
	list, silent := c.peers(ctx, all, some)
	p := printable{columns: []string{"NODE", "PEER", "AS", "PEER NODE", "STATE", "SINCE", "RECEIVED", "ACCEPTED", "ADVERTISED", "FLAPS", "REASON"},
		data: listOf("NodePeerList", list)}
	up := 0
	for _, s := range list {
		since := "never"
		if s.Since != nil {
			since = time.Since(*s.Since).Round(time.Second).String()
		}
		if s.State == established {
			up++
		}
		p.rows = append(p.rows, []string{s.Node, s.Peer.String(), strconv.FormatUint(uint64(s.ASN), 10), cmp.Or(s.PeerNode, "-"), s.State, since,
			strconv.FormatUint(s.Received, 10), strconv.FormatUint(s.Accepted, 10), strconv.FormatUint(s.Advertised, 10),
			strconv.FormatUint(uint64(s.Flaps), 10), cmp.Or(s.Remark, s.Reason)})
	}
	for _, line := range silent {
		p.notes = append(p.notes, "SILENT "+line)
	}
	p.notes = append(p.notes, fmt.Sprintf("%d of %d sessions established as their ends see them; %d nodes silent", up, len(list), len(silent)))
	v := Well
	switch {
	case len(silent) > 0:
		v = Unknown
	case slices.ContainsFunc(list, func(s NodePeer) bool { return rank(s) < 2 }):
		v = Unwell
	}
	return v, p.print(w, format)
}

// peers are the sessions of some nodes of all, and the nodes that gave none, each with why.
func (c *Cluster) peers(ctx context.Context, all, some []Node) (list []NodePeer, silent []string) {
	for _, a := range c.AskAll(ctx, some, "show", "peers", "-o", "json") {
		var sessions []session
		switch {
		case a.Silent != "":
			silent = append(silent, a.Node.Name+": "+a.Silent)
		case a.Code != 0 || json.Unmarshal(a.Out, &sessions) != nil:
			silent = append(silent, a.Node.Name+": "+cmp.Or(a.Said, "its answer can't be read"))
		}
		for _, s := range sessions {
			list = append(list, peerOf(a.Node.Name, s))
		}
	}
	oneSided(all, list)
	slices.SortStableFunc(list, func(a, b NodePeer) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), natural(a.Node, b.Node), a.Peer.Compare(b.Peer))
	})
	return list, silent
}

func peerOf(node string, s session) NodePeer {
	p := NodePeer{Node: node, Peer: s.Addr, ASN: s.ASN, PeerNode: s.Node, State: s.Session, Reason: s.Reason, Received: s.Received, Accepted: s.Accepted,
		Advertised: s.Advertised, Flaps: s.Flaps}
	if !s.Since.IsZero() {
		p.Since = &s.Since
	}
	return p
}

// rank is 0 for a session that isn't established, 1 for one that is odd.
func rank(s NodePeer) int {
	switch {
	case s.State != established:
		return 0
	case s.Remark != "":
		return 1
	}
	return 2
}

// oneSided marks sessions between nodes that are established at one end only: the other has lost it, and this one will when its hold timer expires.
func oneSided(nodes []Node, list []NodePeer) {
	owner := map[netip.Addr]string{}
	for _, n := range nodes {
		if n.Object == nil {
			continue
		}
		for _, a := range n.Object.Status.Addresses {
			if ip, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP {
				owner[ip] = n.Name
			}
		}
	}
	for i := range list {
		s := &list[i]
		if s.PeerNode == "" {
			s.PeerNode = owner[s.Peer]
		}
		if s.State != established || s.PeerNode == "" {
			continue
		}
		for _, other := range list {
			if other.Node == s.PeerNode && owner[other.Peer] == s.Node && other.State != established {
				s.Remark = fmt.Sprintf("established here only: %s says %s", s.PeerNode, other.State)
			}
		}
	}
}
