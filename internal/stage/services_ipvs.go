package stage

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/host"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/ipvs"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// ipvsServices carries fronts on to the rows of the ipvs engine. A front's rows depend on little beside its
// intent: on its marks, and on whether its address may be on this node, which the other fronts at the address
// have a say in. Both are functions of the fronts that there are now.
type ipvsServices struct {
	rows   *reconcile.Ledger[row.IpvsKey, row.Ipvs]
	pods   *reconcile.Ledger[row.PodVIPKey, row.PodVIP]
	nft    *reconcile.Ledger[row.NftKey, row.Nft]
	linux  *reconcile.Ledger[row.LinuxKey, row.Linux]
	sysctl *reconcile.Ledger[string, row.Sysctl]

	fronts map[intent.Front]*intent.Service
	at     map[netip.Addr]map[intent.Front]bool
	owners map[ipvs.MarkOwner]bool // who needs a mark
	marks  map[ipvs.MarkOwner]uint32
	here   ipvsPlace
	nodes  func(netip.Addr) map[string]*model.Node // whose own address it is

	dirty   map[intent.Front]bool
	moved   map[netip.Addr]bool           // addresses whose fronts changed
	went    map[netip.Addr][]intent.Front // those of dirty that are gone
	remark  bool                          // owners changed
	unknown bool                          // the place changed
}

// ipvsPlace is what the rows depend on of this node.
type ipvsPlace struct {
	name   string
	self   [2]netip.Addr       // the node's addresses, IPv4 first
	own    map[netip.Addr]bool // all addresses of the node but those that we put on it
	bridge bool
}

func (p ipvsPlace) equal(q ipvsPlace) bool {
	return p.name == q.name && p.self == q.self && p.bridge == q.bridge && maps.Equal(p.own, q.own)
}

func newIpvsServices(l Ledgers) *ipvsServices {
	return &ipvsServices{
		rows: l.Ipvs, pods: l.Pods, nft: l.Nft, linux: l.Linux, sysctl: l.Sysctl,
		fronts: map[intent.Front]*intent.Service{}, at: map[netip.Addr]map[intent.Front]bool{},
		owners: map[ipvs.MarkOwner]bool{}, marks: map[ipvs.MarkOwner]uint32{},
		dirty: map[intent.Front]bool{}, moved: map[netip.Addr]bool{}, went: map[netip.Addr][]intent.Front{},
		nodes: func(netip.Addr) map[string]*model.Node { return nil },
	}
}

// stage is the part that is there without any Service.
func (s *ipvsServices) stage() think.Stage {
	return think.Stage{ID: think.IPVS, Plan: s.plan, Note: s.note}
}

// note hears of the nodes' own addresses: fronts there are served in another way.
func (s *ipvsServices) note(c think.Change, _ func(model.Ref)) {
	for _, o := range []model.Object{c.Old, c.New} {
		n, ok := o.(*model.Node)
		if !ok {
			continue
		}
		for _, a := range slices.Concat(n.InternalIPs, n.ExternalIPs) {
			for k := range s.at[a] {
				s.dirty[k], s.moved[a] = true, true
			}
		}
	}
}

// elsewhere tells whether an address is another node's own. On this node it would cut that one off; but for the
// fronts there, all that is sent to it must go on to it.
func (s *ipvsServices) elsewhere(a netip.Addr) bool {
	at := s.nodes(a)
	_, ours := at[s.here.name]
	return len(at) > 0 && !ours && !s.here.own[a]
}

// plan claims what all Services need, and learns the place.
func (s *ipvsServices) plan(m *model.Model, _ model.Ref) []model.Remark {
	owner := reconcile.Owner{Name: "ipvs"}
	set := &m.Settings
	if !set.Proxy || set.Services.Engine != model.EngineIPVS {
		s.rows.Claim(owner)
		s.nft.Claim(owner)
		s.linux.Claim(owner)
		s.sysctl.Claim(owner)
		return nil
	}
	params := serviceParams(m)
	s.nodes = m.NodesAt
	here := placeOf(m)
	s.unknown = s.unknown || !here.equal(s.here)
	s.here = here
	s.rows.Claim(owner, timeouts(&set.Services)...)
	s.sysctl.Claim(owner, ipvs.Sysctls(uplinksOf(m))...)
	s.linux.Claim(owner, row.Link{Name: row.DummyName, Kind: row.LinkDummy})
	// What nftables chooses by stands whether or not there is such a front: UDP there is in every cluster.
	rules := nft.IpvsSkeleton(nft.IpvsParams{ServiceParams: params, MTU: podMTU(m)})
	s.nft.Claim(owner, append(rules, nft.ServiceSkeleton(params)...)...)
	return nil
}

func timeouts(s *model.ServiceSettings) []row.Ipvs {
	t := row.IpvsTimeouts{TCP: s.TCPTimeout, TCPFin: s.TCPFinTimeout, UDP: s.UDPTimeout}
	if t == (row.IpvsTimeouts{}) {
		return nil
	}
	for _, d := range []*time.Duration{&t.TCP, &t.TCPFin, &t.UDP} {
		if *d > 0 {
			*d = max(d.Round(time.Second), time.Second) // the kernel counts seconds, and takes 0 for no change
		}
	}
	return []row.Ipvs{t}
}

// placeOf finds the addresses of this node. The model doesn't have those of our own links.
func placeOf(m *model.Model) ipvsPlace {
	here := ipvsPlace{name: m.Settings.Node, own: map[netip.Addr]bool{}, bridge: m.Settings.Router}
	if self := m.Self(); self != nil {
		here.self = [2]netip.Addr{self.IP(model.IPv4), self.IP(model.IPv6)}
	}
	for _, l := range m.Links {
		for _, p := range l.Addrs {
			here.own[p.Addr()] = true
		}
	}
	return here
}

func uplinksOf(m *model.Model) []string {
	var names []string
	if self := m.Self(); self != nil {
		if l := m.LinkWith(self.IP(model.IPv4)); l != nil {
			names = append(names, l.Name)
		}
	}
	return names
}

// podMTU is the MTU of the links of pods, as far as it is known.
func podMTU(m *model.Model) int {
	hosts, _ := host.Plan(m)
	for _, h := range hosts {
		if h.MTU > 0 {
			return h.MTU
		}
	}
	if self := m.Self(); self != nil {
		for _, f := range m.Settings.Families() {
			if l := m.LinkWith(self.IP(f)); l != nil {
				return l.MTU
			}
		}
	}
	return 0
}

// put takes over a front's intent; nil: it has gone.
func (s *ipvsServices) put(k intent.Front, want *intent.Service) {
	if want == nil {
		s.went[k.Addr] = append(s.went[k.Addr], k)
		delete(s.fronts, k)
		delete(s.at[k.Addr], k)
		if len(s.at[k.Addr]) == 0 {
			delete(s.at, k.Addr)
		}
	} else {
		if s.at[k.Addr] == nil {
			s.at[k.Addr] = map[intent.Front]bool{}
		}
		s.at[k.Addr][k] = true
		s.fronts[k] = want
	}
	s.dirty[k], s.moved[k.Addr] = true, true
}

// settle renders what changed.
func (s *ipvsServices) settle(contain func(think.ID, model.Ref, func())) {
	if s.unknown {
		for k := range s.fronts {
			s.dirty[k], s.moved[k.Addr] = true, true
		}
	}
	for a := range s.moved {
		s.own(a)
	}
	if s.remark {
		s.renumber()
	}
	for k := range s.dirty {
		u := model.Ref{Kind: model.KindService}
		if want := s.fronts[k]; want != nil {
			u = serviceRef(want.Owner)
		}
		contain(think.Services, u, func() { s.front(k) })
	}
	for a := range s.moved {
		s.address(a)
	}
	s.dirty, s.moved, s.went = map[intent.Front]bool{}, map[netip.Addr]bool{}, map[netip.Addr][]intent.Front{}
	s.remark, s.unknown = false, false
}

// served is a front's intent with what is impossible left out: an address that is a node's own must stay
// on it, so its replies can't come from pods.
func (s *ipvsServices) served(k intent.Front) *intent.Service {
	want := s.fronts[k]
	if want != nil && want.DSR && (s.here.own[k.Addr] || s.elsewhere(k.Addr)) {
		plain := *want
		plain.DSR = false
		return &plain
	}
	return want
}

// group are the fronts at an address.
func (s *ipvsServices) group(a netip.Addr) []*intent.Service {
	var list []*intent.Service
	for k := range s.at[a] {
		list = append(list, s.served(k))
	}
	slices.SortFunc(list, func(x, y *intent.Service) int { return x.Front.Compare(y.Front) })
	return list
}

// own notes which sides of an address's fronts need marks.
func (s *ipvsServices) own(a netip.Addr) {
	group := s.group(a)
	need := map[ipvs.MarkOwner]bool{}
	for _, f := range group {
		for _, o := range ipvs.Marked(f, ipvs.Away(group) || s.elsewhere(a)) {
			need[o] = true
		}
	}
	keys := maps.Clone(s.at[a])
	if keys == nil {
		keys = map[intent.Front]bool{}
	}
	for _, k := range s.went[a] {
		keys[k] = true
	}
	for k := range keys {
		for _, side := range []ipvs.Side{ipvs.All, ipvs.Near} {
			o := ipvs.MarkOwner{Front: k, Side: side}
			if s.owners[o] == need[o] {
				continue
			}
			s.remark, s.dirty[k] = true, true
			if need[o] {
				s.owners[o] = true
			} else {
				delete(s.owners, o)
			}
		}
	}
}

// renumber gives marks anew. Few change: those of the owners that came or went, and of who competes with them.
func (s *ipvsServices) renumber() {
	marks := ipvs.Marks(slices.Collect(maps.Keys(s.owners)))
	for _, pair := range [][2]map[ipvs.MarkOwner]uint32{{s.marks, marks}, {marks, s.marks}} {
		for o, m := range pair[0] {
			if pair[1][o] != m {
				s.dirty[o.Front], s.moved[o.Addr] = true, true
			}
		}
	}
	s.marks = marks
}

func (s *ipvsServices) mark(o ipvs.MarkOwner) uint32 { return s.marks[o] }

// front claims the rows of one front.
func (s *ipvsServices) front(k intent.Front) {
	owner := reconcile.Owner{Name: k.String()}
	want := s.served(k)
	if want == nil {
		s.rows.Claim(owner)
		s.pods.Claim(owner)
		s.sysctl.Claim(owner)
		s.nft.Claim(owner)
		return
	}
	marks := nft.IpvsMarks{All: s.marks[ipvs.MarkOwner{Front: k, Side: ipvs.All}], Near: s.marks[ipvs.MarkOwner{Front: k, Side: ipvs.Near}]}
	s.rows.Claim(owner, ipvs.Service(want, s.mark)...)
	s.pods.Claim(owner, ipvs.PodVIPs(want)...)
	s.sysctl.Claim(owner, ipvs.Sloppy(want)...)
	rules := nft.Ipvs(want, marks, s.here.own[k.Addr] || s.elsewhere(k.Addr))
	if ipvs.Ahead(want) {
		rules = append(rules, nft.Ahead(want)...)
	}
	s.nft.Claim(owner, rules...)
}

// address claims what brings packets to an address, unless it is the node's own.
func (s *ipvsServices) address(a netip.Addr) {
	owner := reconcile.Owner{Name: "address " + a.String()}
	group := s.group(a)
	if len(group) == 0 || s.here.own[a] || group[0].Kind == intent.NodeFront {
		s.linux.Claim(owner)
		return
	}
	if s.elsewhere(a) {
		s.linux.Claim(owner, ipvs.Elsewhere(group, s.mark)...)
		return
	}
	self := s.here.self[0]
	if a.Is6() {
		self = s.here.self[1]
	}
	s.linux.Claim(owner, ipvs.Address(group, s.mark, self, s.here.bridge)...)
}

// render gives a front to the engine that carries Services.
func (s *Services) render(k intent.Front, want *intent.Service) {
	owner := reconcile.Owner{Name: k.String()}
	switch {
	case s.engine == model.EngineIPVS:
		s.ipvs.put(k, want)
	case want == nil:
		s.nft.Claim(owner)
	default:
		s.nft.Claim(owner, nft.Service(want)...)
	}
}

// limits tells what the engine can't do for a front.
func (s *Services) limits(f *intent.Service) []string {
	if s.engine == model.EngineIPVS {
		return ipvs.Remarks(f)
	}
	return nft.ServiceRemarks(f)
}
