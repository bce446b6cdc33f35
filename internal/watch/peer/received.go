package peer

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// Received is a path that a peer has taught and our policy takes, with what it is chosen by (RFC 4271 section 9.1).
type Received struct {
	Prefix      netip.Prefix
	Peer        netip.Addr
	NextHop     netip.Addr
	ASPath      string   // as routers print it, sets in braces; empty: from our own AS
	MED         *uint32  // MULTI_EXIT_DISC; nil: none
	LocalPref   *uint32  // nil: none, which counts as 100
	Communities []string // RFC 1997 as 65001:17, RFC 8092 as 64512:1:2
	Best        bool     // chosen, alone or beside equals
	Since       time.Time
}

// Received asks the speaker for paths that peers have taught: of some prefixes, or all (nil). Prefixes are in order, best paths first.
func (w *Watch) Received(ctx context.Context, only []netip.Prefix) (list []Received, _ error) {
	for _, r := range requests(api.TableType_TABLE_TYPE_GLOBAL, "", only) {
		if err := w.destinations(ctx, r, func(d *api.Destination) { list = append(list, received(d)...) }); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(list, func(a, b Received) int { return a.Prefix.Compare(b.Prefix) })
	return list, nil
}

// received are the paths of a destination that came from peers.
func received(d *api.Destination) (list []Received) {
	prefix, err := netip.ParsePrefix(d.GetPrefix())
	if err != nil {
		return nil
	}
	for _, p := range d.Paths {
		from, err := netip.ParseAddr(p.GetNeighborIp())
		if err != nil || p.IsWithdraw {
			continue
		}
		r := Received{Prefix: prefix, Peer: from.Unmap(), NextHop: nextHop(p, prefix.Addr().Is4()), Best: p.GetBest(), Since: p.GetAge().AsTime()}
		for _, a := range p.Pattrs {
			r.read(a)
		}
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b Received) int {
		switch {
		case a.Best == b.Best:
			return a.Peer.Compare(b.Peer)
		case a.Best:
			return -1
		}
		return 1
	})
	return list
}

func (r *Received) read(a *api.Attribute) {
	if p := a.GetAsPath(); p != nil {
		r.ASPath = asPath(p)
	}
	if m := a.GetMultiExitDisc(); m != nil {
		r.MED = &m.Med
	}
	if l := a.GetLocalPref(); l != nil {
		r.LocalPref = &l.LocalPref
	}
	for _, c := range a.GetCommunities().GetCommunities() {
		r.Communities = append(r.Communities, fmt.Sprintf("%d:%d", c>>16, c&0xffff))
	}
	for _, c := range a.GetLargeCommunities().GetCommunities() {
		r.Communities = append(r.Communities, fmt.Sprintf("%d:%d:%d", c.GlobalAdmin, c.LocalData1, c.LocalData2))
	}
}

func asPath(p *api.AsPathAttribute) string {
	var parts []string
	for _, s := range p.Segments {
		text := strings.Trim(fmt.Sprint(s.Numbers), "[]")
		if s.Type == api.AsSegment_TYPE_AS_SET || s.Type == api.AsSegment_TYPE_AS_CONFED_SET {
			text = "{" + text + "}"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}
