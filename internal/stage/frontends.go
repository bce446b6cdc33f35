package stage

import (
	"maps"
	"net/netip"
	"slices"

	"kube-router/internal/engine"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	renderipvs "kube-router/internal/render/ipvs"
	"kube-router/internal/think"
)

// frontends carries frontends on to the rows of the engine that serves them. With an engine to which packets are brought, a
// frontend's rows depend on little beside its intent: on its marks, and on what its address is to this node, which the other
// frontends at the address have a say in. Both are functions of the frontends that there are now.
type frontends struct {
	l       Ledgers
	engines []engine.Engine
	engine  engine.Engine    // that serves; the first plan tells
	to      engine.Addressed // the same, if packets must be brought to it

	fronts map[intent.Front]*intent.Service
	at     map[netip.Addr]map[intent.Front]bool
	owners map[engine.Owner]bool // who needs a mark
	marks  map[engine.Owner]uint32
	here   here
	nodes  func(netip.Addr) map[string]*model.Node // whose own address it is

	dirty     map[intent.Front]bool
	moved     map[netip.Addr]bool           // addresses whose frontends changed
	went      map[netip.Addr][]intent.Front // those of dirty that are gone
	unmarked  bool                          // owners changed
	elsewhere bool                          // here changed
}

// here is what the rows depend on of this node.
type here struct {
	name   string
	self   [2]netip.Addr       // the node's addresses, IPv4 first
	own    map[netip.Addr]bool // all addresses of the node but those that we put on it
	bridge bool
}

func (p here) equal(q here) bool {
	return p.name == q.name && p.self == q.self && p.bridge == q.bridge && maps.Equal(p.own, q.own)
}

func newFrontends(l Ledgers, engines []engine.Engine) *frontends {
	return &frontends{
		l: l, engines: engines,
		fronts: map[intent.Front]*intent.Service{}, at: map[netip.Addr]map[intent.Front]bool{},
		owners: map[engine.Owner]bool{}, marks: map[engine.Owner]uint32{},
		dirty: map[intent.Front]bool{}, moved: map[netip.Addr]bool{}, went: map[netip.Addr][]intent.Front{},
		nodes: func(netip.Addr) map[string]*model.Node { return nil },
	}
}

// choose finds the engine of the settings.
func (s *frontends) choose(name model.Engine) engine.Engine {
	if s.engine == nil || s.engine.Name() != name {
		s.engine = engine.Of(s.engines, name)
		s.to, _ = s.engine.(engine.Addressed)
	}
	return s.engine
}

// claim claims an engine's rows in all tables that engines write.
func (s *frontends) claim(name string, rows engine.Rows) {
	owner := reconcile.Owner{Name: name}
	s.l.Ipvs.Claim(owner, rows.Ipvs...)
	s.l.Pods.Claim(owner, rows.Pods...)
	s.l.Sysctl.Claim(owner, rows.Sysctl...)
	s.l.Linux.Claim(owner, rows.Linux...)
	s.l.Nft.Claim(owner, rows.Nft...)
}

// stage is what stands without any Service. Its note hears of the nodes' own addresses: frontends there are served in another way.
func (s *frontends) stage() think.Stage {
	return think.Stage{ID: think.Engine, Plan: s.plan, Note: s.note}
}

func (s *frontends) note(c think.Change, _ func(model.Ref)) {
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

// plan claims what all Services need, tells the pods of this node from other clients, and learns the place. A pod of another node
// that comes to a node port here is such another: its reply would go straight back.
func (s *frontends) plan(m *model.Model, _ model.Ref) []model.Remark {
	const owner = "services"
	s.l.Flows.Claim(reconcile.Owner{Name: owner}, flowsInside(m)...)
	if !m.Settings.Proxy {
		s.claim(owner, engine.Rows{})
		return nil
	}
	s.nodes = m.NodesAt
	now := hereOf(m)
	s.elsewhere = s.elsewhere || !now.equal(s.here)
	s.here = now
	s.claim(owner, s.choose(m.Settings.Services.Engine).Base(engine.Node{
		Services: &m.Settings.Services, Params: serviceParams(m), MTU: podMTU(m), Uplinks: uplinksOf(m),
	}))
	return nil
}

// place is what an address is to this node.
func (s *frontends) place(a netip.Addr) engine.Place {
	p := engine.Place{Own: s.here.own[a], Self: s.here.self[0], Bridge: s.here.bridge, Mark: s.mark}
	if a.Is6() {
		p.Self = s.here.self[1]
	}
	nodes := s.nodes(a)
	_, ours := nodes[s.here.name]
	p.Elsewhere = len(nodes) > 0 && !ours && !p.Own
	return p
}

func (s *frontends) mark(o engine.Owner) uint32 { return s.marks[o] }

// put takes over a frontend's intent; nil: it has gone.
func (s *frontends) put(k intent.Front, want *intent.Service) {
	if s.to == nil {
		var rows engine.Rows
		if want != nil {
			rows = s.engine.Front(want, engine.Place{})
		}
		s.claim(k.String(), rows)
		return
	}
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
func (s *frontends) settle(contain func(think.ID, model.Ref, func())) {
	if s.to == nil {
		return
	}
	if s.elsewhere {
		for k := range s.fronts {
			s.dirty[k], s.moved[k.Addr] = true, true
		}
	}
	for a := range s.moved {
		s.own(a)
	}
	if s.unmarked {
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
		s.claim("address "+a.String(), s.to.Address(s.group(a), s.place(a)))
	}
	s.dirty, s.moved, s.went = map[intent.Front]bool{}, map[netip.Addr]bool{}, map[netip.Addr][]intent.Front{}
	s.unmarked, s.elsewhere = false, false
}

// group are the frontends at an address, as they can be served there.
func (s *frontends) group(a netip.Addr) []*intent.Service {
	var list []*intent.Service
	p := s.place(a)
	for k := range s.at[a] {
		list = append(list, s.to.Served(s.fronts[k], p))
	}
	slices.SortFunc(list, func(x, y *intent.Service) int { return x.Front.Compare(y.Front) })
	return list
}

// own notes which sides of an address's frontends need marks.
func (s *frontends) own(a netip.Addr) {
	need := map[engine.Owner]bool{}
	for _, o := range s.to.Marked(s.group(a), s.place(a)) {
		need[o] = true
	}
	keys := maps.Clone(s.at[a])
	if keys == nil {
		keys = map[intent.Front]bool{}
	}
	for _, k := range s.went[a] {
		keys[k] = true
	}
	for k := range keys {
		for _, side := range []renderipvs.Side{renderipvs.All, renderipvs.Near} {
			o := engine.Owner{Front: k, Side: side}
			if s.owners[o] == need[o] {
				continue
			}
			s.unmarked, s.dirty[k] = true, true
			if need[o] {
				s.owners[o] = true
			} else {
				delete(s.owners, o)
			}
		}
	}
}

// renumber gives marks anew. Few change: those of the owners that came or went, and of who competes with them.
func (s *frontends) renumber() {
	marks := renderipvs.Marks(slices.Collect(maps.Keys(s.owners)))
	for _, pair := range [][2]map[engine.Owner]uint32{{s.marks, marks}, {marks, s.marks}} {
		for o, m := range pair[0] {
			if pair[1][o] != m {
				s.dirty[o.Front], s.moved[o.Addr] = true, true
			}
		}
	}
	s.marks = marks
}

// front claims the rows of one frontend.
func (s *frontends) front(k intent.Front) {
	var rows engine.Rows
	if want := s.fronts[k]; want != nil {
		p := s.place(k.Addr)
		rows = s.to.Front(s.to.Served(want, p), p)
	}
	s.claim(k.String(), rows)
}
