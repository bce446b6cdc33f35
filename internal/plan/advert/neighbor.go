package advert

import (
	"cmp"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// defaultPort is BGP's port (RFC 4271), at which routers outside listen whatever ours is.
const defaultPort = 179

// fullTTL is the TTL of what passed no router, where the sender gives all that there is (RFC 5082).
const fullTTL = 255

// defer1s is the deferral of a node that reflects nothing: what it announces doesn't depend on what it
// learns, so after a restart it need not wait for everybody else (RFC 4724 section 4.1).
const defer1s = time.Second

// deferReflector is the deferral of a reflector by default, and longestRestart the longest restart that can be said (RFC
// 4724 section 3: 12 bits of seconds).
const (
	deferReflector = 5 * time.Second
	longestRestart = 4095 * time.Second
)

// routers plans the peers outside of the cluster, by address: those of BGPPeers and, where none speaks of an address, those of flags or of
// the node's annotations.
func routers(m *model.Model, self *model.Node, note *remarks) []*intent.Neighbor {
	peers := map[netip.Addr]*intent.Neighbor{}
	spoken := objects(m, self)
	for _, o := range m.BGPPeersByAge() {
		if spoken[o.Peer.Addr] != o {
			continue
		}
		if p, why := peerOf(m, o); why == "" {
			if n := router(m, self, p, o.Ref().String(), note); n != nil {
				peers[n.Addr] = n
			}
		}
	}
	list, field := outside(m, self)
	for _, p := range list {
		if o := spoken[p.Addr]; o != nil {
			note.add(field, "%s is as %s says", p.Addr, o.Ref())
			continue
		}
		if n := router(m, self, p, field, note); n != nil {
			if peers[n.Addr] != nil {
				note.add(field, "%s ignored: given twice; the first counts", n.Addr)
				continue
			}
			peers[n.Addr] = n
		}
	}
	return slices.SortedFunc(maps.Values(peers), func(a, b *intent.Neighbor) int { return a.Addr.Compare(b.Addr) })
}

// router plans a peer outside of the cluster.
func router(m *model.Model, self *model.Node, p model.Peer, field string, note *remarks) *intent.Neighbor {
	n := base(m, self, uint32(p.ASN))
	special(n, m, self, &p)
	n.Addr, n.Port, n.Local, n.Password = p.Addr, uint16(p.Port), p.Local, intent.Password(p.Password)
	if n.Port == 0 {
		n.Port = defaultPort
	}
	if !n.Local.IsValid() {
		n.Local = self.IP(model.FamilyOf(p.Addr))
	}
	if p.Multihop >= 2 {
		n.TTL = p.Multihop
	}
	if p.Hops > 0 {
		n.TTL, n.MinTTL = 0, fullTTL-p.Hops+1
	}
	if n.Limit = m.Settings.BGP.PeerLimit; p.Limit != nil {
		n.Limit = *p.Limit
	}
	if p.BFD != nil {
		n.BFD = bfd(p.BFD)
	}
	n.V4, n.V6 = exchanges(m, p, model.IPv4), exchanges(m, p, model.IPv6)
	n.Inside = n.ASN == cmp.Or(n.LocalASN, uint32(asOf(m, self)))
	n.Shutdown = p.Shutdown == model.ShutdownAlways || p.Shutdown == model.ShutdownDrained && (self.Unschedulable || self.ExcludeFromLB || self.Leaving)
	n.Import, n.Withhold = rulesOf(p.Import), len(p.Export) > 0
	switch {
	case !n.V4 && !n.V6:
		note.add(field, "%s ignored: none of its families is enabled", p.Addr)
		return nil
	case slices.Contains(self.InternalIPs, p.Addr) || slices.Contains(self.ExternalIPs, p.Addr):
		note.add(field, "%s ignored: it is this node", p.Addr)
		return nil
	case !n.Local.IsValid():
		note.add(field, "%s ignored: the node has no %s address to peer from", p.Addr, model.FamilyOf(p.Addr))
		return nil
	case n.Local.Is4() != n.Addr.Is4():
		note.add(field, "%s ignored: its localip %s is of the other family", p.Addr, n.Local)
		return nil
	}
	return n
}

// exchanges tells whether routes of a family are exchanged with a router.
func exchanges(m *model.Model, p model.Peer, f model.Family) bool {
	return m.Settings.Has(f) && (len(p.Families) == 0 || slices.Contains(p.Families, f))
}

// special is what a router may have in place of what all have.
func special(n *intent.Neighbor, m *model.Model, self *model.Node, p *model.Peer) {
	if p.LocalASN != asOf(m, self) {
		n.LocalASN = uint32(p.LocalASN)
	}
	if p.Hold > 0 {
		n.Hold = p.Hold
	}
	if p.Keepalive != n.Hold/3 {
		n.Keepalive = p.Keepalive
	}
	if p.Restart != nil {
		n.Restart = *p.Restart
		if n.Deferral == 0 && n.Restart > 0 {
			n.Deferral = defer1s
		}
		if n.Restart == 0 {
			n.Deferral = 0
		}
	}
}

// base is what all peers have in common.
func base(m *model.Model, self *model.Node, as uint32) *intent.Neighbor {
	b := &m.Settings.BGP
	n := &intent.Neighbor{ASN: as, Hold: b.HoldTime}
	if b.GracefulRestart {
		n.Restart, n.Deferral = b.RestartTime, min(b.DeferralTime, defer1s)
		if self.Options.RRServer != "" {
			n.Deferral = b.DeferralTime
		}
	}
	return n
}

// graceful lets nodes keep each other's routes over a restart whatever the flag says, which is about routers outside. A
// reflector that was told nothing else waits only as long as clients need to come back.
func graceful(m *model.Model, self *model.Node, n *intent.Neighbor) {
	b := &m.Settings.BGP
	if b.GracefulRestart || b.RestartTime <= 0 {
		return
	}
	n.Restart, n.Deferral = min(b.RestartTime, longestRestart), defer1s
	if n.Cluster.IsValid() {
		n.Deferral = deferReflector
	}
}

// bfd fills in the defaults of RFC 5881 and of --bfd-*.
func bfd(b *model.BFD) *intent.BFD {
	or := func(d, otherwise time.Duration) time.Duration {
		if d > 0 {
			return d
		}
		return otherwise
	}
	i := &intent.BFD{Port: uint16(b.Port), Multiplier: b.Multiplier, Tx: or(b.MinTx, time.Second), Rx: or(b.MinRx, time.Second)}
	if i.Port == 0 {
		i.Port = 3784
	}
	if i.Multiplier == 0 {
		i.Multiplier = 3
	}
	return i
}

// Session plans the session with another node, if there is to be one.
func Session(m *model.Model, name string) ([]*intent.Neighbor, []model.Remark) {
	self, other := m.Self(), m.Nodes[name]
	if self == nil || other == nil || !m.Settings.Router || !self.PrimaryIP().IsValid() || !peers(m, self, other) {
		return nil, nil
	}
	note := remarks{object: self.Ref()}
	n, why := session(m, self, other)
	switch {
	case n == nil:
		note.add("status.addresses", "no session with node %s: %s", other.Name, why)
	case isRouter(m, self, n.Addr):
		note.add("", "no session with node %s: its address %s is a router's", other.Name, n.Addr)
	case doubled(m, self, n) != "":
		note.add("", "no session with node %s: node %s has its address %s", other.Name, doubled(m, self, n), n.Addr)
	default:
		return []*intent.Neighbor{n}, nil
	}
	return nil, note.list
}

// isRouter tells whether a router outside has an address. It is asked for each node, so most answers are cheap.
func isRouter(m *model.Model, self *model.Node, a netip.Addr) bool {
	named := slices.ContainsFunc(slices.Concat(m.Settings.BGP.Peers, self.Options.Peers), func(p model.Peer) bool { return p.Addr == a })
	for _, o := range m.BGPPeers {
		named = named || o.Peer.Addr == a
	}
	return named && slices.ContainsFunc(routers(m, self, &remarks{}), func(r *intent.Neighbor) bool { return r.Addr == a })
}

// peers tells whether two nodes are to have a session.
func peers(m *model.Model, self, other *model.Node) bool {
	as := asOf(m, self)
	return m.Settings.BGP.IBGP && m.Settings.Routes.Source != sourceAPI &&
		other.Name != self.Name && as != 0 && as == asOf(m, other) && paired(self, other)
}

// doubled is the first node by name that has the session with a neighbour's address, if that isn't the neighbour.
func doubled(m *model.Model, self *model.Node, n *intent.Neighbor) string {
	best := n.Node
	for name, rival := range m.NodesAt(n.Addr) {
		if name < best && peers(m, self, rival) {
			if first, _ := session(m, self, rival); first != nil && first.Addr == n.Addr {
				best = name
			}
		}
	}
	if best == n.Node {
		return ""
	}
	return best
}

// alone remarks on a client whose cluster has no reflector.
func alone(m *model.Model, self *model.Node, note *remarks) {
	if self.Options.RRClient == "" || !m.Settings.BGP.IBGP || m.Settings.Routes.Source == sourceAPI {
		return
	}
	for _, other := range m.Nodes {
		if other.Options.RRServer != "" && peers(m, self, other) {
			return
		}
	}
	note.add("kube-router.io/rr.client", "no node is a reflector of cluster %s, so no node teaches us its ranges", self.Options.RRClient)
}

// paired tells whether two nodes of one AS peer. It is the same seen from either of them: clients peer with
// the reflectors of their cluster, everybody else with everybody but clients (RFC 4456).
func paired(a, b *model.Node) bool {
	ao, bo := &a.Options, &b.Options
	switch {
	case ao.RRClient != "" && bo.RRClient != "":
		return false
	case ao.RRClient != "":
		return bo.RRServer != "" && cluster(ao.RRClient) == cluster(bo.RRServer)
	case bo.RRClient != "":
		return ao.RRServer != "" && cluster(ao.RRServer) == cluster(bo.RRClient)
	}
	return true
}

// cluster is a cluster id as an address: 17 and 0.0.0.17 are the same.
func cluster(id string) netip.Addr {
	if a, err := netip.ParseAddr(id); err == nil {
		return a
	}
	n, _ := strconv.ParseUint(id, 10, 32)
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n))
	return netip.AddrFrom4(b)
}

// session plans the session with another node, or tells why there can be none. One session carries the routes
// of all families that both have.
func session(m *model.Model, self, other *model.Node) (*intent.Neighbor, string) {
	f, ok := common(self, other)
	if !ok {
		return nil, "no address family in common"
	}
	if self.IP(f) == other.IP(f) {
		return nil, "it claims our address " + self.IP(f).String()
	}
	n := base(m, self, uint32(asOf(m, self)))
	n.Addr, n.Local, n.Node = other.IP(f), self.IP(f), other.Name
	n.Port, n.Password = uint16(m.Settings.BGP.Port), intent.Password(m.Settings.BGP.IBGPPassword)
	both := func(f model.Family) bool { return m.Settings.Has(f) && self.IP(f).IsValid() && other.IP(f).IsValid() }
	n.V4, n.V6 = both(model.IPv4), both(model.IPv6)
	if self.Options.RRServer != "" && other.Options.RRClient != "" {
		n.Cluster = cluster(self.Options.RRServer)
	}
	if b := m.Settings.BGP.BFD; b != nil {
		n.BFD = bfd(b)
		n.BFD.Port = intent.BFDPort
	}
	if m.LinkTo(n.Addr) != nil {
		n.MinTTL = fullTTL
	}
	graceful(m, self, n)
	if !n.V4 && !n.V6 {
		return nil, "no enabled address family in common"
	}
	return n, ""
}

// common is the family of the session between two nodes: that of their primary addresses where they agree,
// else the first that both have. Both find the same.
func common(a, b *model.Node) (model.Family, bool) {
	if pa, pb := a.PrimaryIP(), b.PrimaryIP(); pa.IsValid() && pb.IsValid() && pa.Is4() == pb.Is4() {
		return model.FamilyOf(pa), true
	}
	for _, f := range []model.Family{model.IPv4, model.IPv6} {
		if a.IP(f).IsValid() && b.IP(f).IsValid() {
			return f, true
		}
	}
	return 0, false
}

// Overflow remarks on a router outside that teaches more prefixes than it may, or nearly so many.
func Overflow(m *model.Model, peer string) []model.Remark {
	o := m.Overflows[peer]
	if o == nil {
		return nil
	}
	note := remarks{object: o.Ref()}
	if o.Refused {
		note.add("", "it teaches more than %d prefixes: the rest is refused, its session stays (--peer-router-prefix-limit, prefixlimit)", o.Limit)
	} else {
		note.add("", "it teaches at least %d prefixes of the %d that it may (--peer-router-prefix-limit, prefixlimit)", o.Taught, o.Limit)
	}
	return note.list
}
