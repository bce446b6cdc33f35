package stage

import (
	"net/netip"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// Policies carries NetworkPolicies from the model to rows. All but stands runs in the thinking goroutine.
type Policies struct {
	Planner *policy.Planner // nil before the first picture
	Tiers   *reconcile.Ledger[string, *intent.Tier]
	Walls   map[string]*intent.Firewall // what guards each pod of this node
	Host    *intent.HostWall            // what guards this node itself; nil: nothing
	nft     *reconcile.Ledger[row.NftKey, row.Nft]
	waiting map[*Waiter]struct{}
	began   bool                 // the first picture has been planned
	touched []model.Ref          // units that planning touched
	fresh   map[string][]row.Nft // the rows of tiers that nobody had before this turn

	// Tightened hears that flows of addresses may be forbidden now, once the rows at keys stand. May be nil.
	Tightened func(addrs []netip.Addr, keys []row.NftKey)
	// Learned hears that what a domain name stands for is planned, and of the rows that stand then. May be nil.
	Learned func(d *model.Domain, keys []row.NftKey)
	// leaves tells how an attached pod leaves the cluster, once that is decided: the rows that must stand, or not stand.
	leaves func(*model.Model, *model.Attachment) ([]row.NftKey, bool)
}

// Waiter is a pod that waits for its policy.
type Waiter struct {
	// Keys gets the rows of the pod's policy and of its port's guard, once they are claimed.
	Keys chan []row.NftKey
	// Pod gets the Pod itself, once it is known, for who waits for no more. It is nil where no Pods are read.
	Pod chan *model.Pod
	a   *model.Attachment
}

func newPolicies(l Ledgers) *Policies {
	return &Policies{
		Tiers: reconcile.NewLedger[string, *intent.Tier](), nft: l.Nft,
		Walls: map[string]*intent.Firewall{}, waiting: map[*Waiter]struct{}{}, fresh: map[string][]row.Nft{},
	}
}

// baseUnit is what stands around the pods' rules; the other units are pods, nodes, domain names and sets of peers.
var baseUnit = model.Ref{Kind: model.KindSettings}

// stage is the stage of policies.
func (p *Policies) stage() think.Stage {
	return think.Stage{ID: think.Policy, Units: p.units, Plan: p.plan, Note: p.note, Parts: true, Rank: policy.Rank, More: p.more}
}

func (p *Policies) units(m *model.Model) []model.Ref {
	if !m.Settings.Firewall {
		return nil
	}
	if p.Planner == nil {
		p.Planner = policy.New(m)
	}
	return append([]model.Ref{baseUnit}, p.Planner.Units()...)
}

func (p *Policies) note(c think.Change, add func(model.Ref)) {
	if p.Planner == nil {
		return
	}
	rehearsed := p.Planner.Rehearses()
	p.Planner.Note(c.Old, c.New, add)
	if p.Planner.Rehearses() != rehearsed || c.Ref.Kind == model.KindNode || c.Ref.Kind == model.KindLink || c.Ref.Kind == model.KindPool {
		add(baseUnit)
	}
}

func (p *Policies) plan(m *model.Model, u model.Ref) []model.Remark {
	switch {
	case p.Planner == nil:
	case u == baseUnit:
		base, remarks := policy.Base(m)
		if base != nil {
			base.Rehearsal = p.Planner.Rehearses()
		}
		p.nft.Claim(reconcile.Owner{Name: policy.BaseOwner}, nft.FirewallBase(base)...)
		return remarks
	case u.Kind == policy.KindSet, u.Kind == policy.KindGone:
		p.planSet(model.Ref{Kind: policy.KindSet, Name: u.Name})
	case u.Kind == policy.KindRules:
		if p.Planner.Decide(u.Name, p.touch) {
			p.planPod(model.Ref{Kind: model.KindPod, Name: u.Name})
		}
		return p.Planner.Beyond(u.Name)
	case u.Kind == policy.KindHost:
		if p.Planner.DecideHost(p.touch) {
			p.planHost(m)
		}
	case u.Kind == model.KindPod:
		p.Planner.Resort(u.Name)
		p.planPod(u)
	case u.Kind == model.KindNode:
		p.planNode(u)
	case u.Kind == model.KindDomain:
		p.planDomain(m, u)
	case u.Kind == policy.KindResolvers:
		p.nft.Claim(podOwner(u), nft.Resolvers(p.Planner.Resolvers())...)
	}
	return nil
}

// planNode plans the sets of peers that a node is in.
func (p *Policies) planNode(u model.Ref) {
	var rows []row.Nft
	if m := p.Planner.Node(u.Name.Name); m != nil {
		rows = nft.Membership(m)
	}
	before := p.nft.Claims(podOwner(u))
	p.nft.Claim(podOwner(u), rows...)
	if p.Tightened != nil {
		p.compare(u, nil, before, rows)
	}
}

func (p *Policies) touch(u model.Ref) { p.touched = append(p.touched, u) }

// more gives the units that planning touched.
func (p *Policies) more() []model.Ref {
	list := p.touched
	p.touched = nil
	return list
}

func (p *Policies) planSet(u model.Ref) {
	var rows []row.Nft
	if s := p.Planner.Set(u); s != nil {
		rows = nft.PeerSet(s)
	}
	p.nft.Claim(reconcile.Owner{Name: u.String()}, rows...)
}

func podOwner(u model.Ref) reconcile.Owner { return reconcile.Owner{Name: u.String()} }

func (p *Policies) planPod(u model.Ref) {
	wall, member := p.Planner.Plan(u.Name)
	var rows []row.Nft
	var tiers []*intent.Tier
	if wall != nil {
		rows, tiers = nft.Firewall(wall), slices.Concat(wall.Tiers(), wall.Rehearsed())
		for _, t := range tiers {
			p.render(t)
		}
	}
	if member != nil {
		rows = append(rows, nft.Membership(member)...)
	}
	before := p.nft.Claims(podOwner(u))
	p.Tiers.Claim(podOwner(u), tiers...)
	p.nft.Claim(podOwner(u), rows...)
	if p.Tightened != nil {
		p.compare(u, wall, before, rows)
	}
	if wall == nil {
		delete(p.Walls, u.Name.String())
	} else {
		p.Walls[u.Name.String()] = wall
	}
}

// render makes the rows of a tier that nobody has yet, before anything is claimed that leads there.
func (p *Policies) render(t *intent.Tier) {
	if _, ok := p.Tiers.Want(t.ID); !ok && p.fresh[t.ID] == nil {
		p.fresh[t.ID] = nft.Tier(t)
	}
}

// compare finds out whether flows may be forbidden now that were not before: other tiers guard the pod, or
// it left a set. A pod that CNI has just told had no flows before; at the start that is all long ago.
func (p *Policies) compare(u model.Ref, wall *intent.Firewall, before, now []row.Nft) {
	open := wall == nil || len(wall.Tiers()) == 0
	denies := p.began && p.Planner.Denies()
	if len(before) == 0 && !denies && (open || p.began && p.Planner.Attached(u.Name)) {
		return
	}
	have := make(map[row.Nft]struct{}, len(now))
	var keys []row.NftKey
	for _, r := range now {
		have[r] = struct{}{}
		keys = append(keys, r.Key())
	}
	old := p.Walls[u.Name.String()]
	tighter := wall != nil && (old == nil || !slices.EqualFunc(old.Tiers(), wall.Tiers(), sameTier))
	var addrs []netip.Addr
	for _, r := range before {
		if _, stays := have[r]; !stays {
			tighter = true
			keys = append(keys, r.Key())
		}
		if e, ok := r.(row.NftElement); ok {
			addrs = appendAddr(addrs, e)
		}
	}
	if denies && !tighter {
		had := make(map[row.Nft]struct{}, len(before))
		for _, r := range before {
			had[r] = struct{}{}
		}
		for _, r := range now {
			if _, was := had[r]; !was {
				tighter = true
			}
			if e, ok := r.(row.NftElement); ok {
				addrs = appendAddr(addrs, e)
			}
		}
	}
	if !tighter {
		return
	}
	if wall != nil {
		addrs = append(addrs, wall.Addrs...)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	p.Tightened(slices.Compact(addrs), keys)
}

func sameTier(a, b *intent.Tier) bool { return a.ID == b.ID }

// appendAddr adds the address that the key of an element of ours begins with.
func appendAddr(list []netip.Addr, e row.NftElement) []netip.Addr {
	size := e.Of.Value().Keys[0].Size()
	if len(e.Elem) < size {
		return list
	}
	if a, ok := netip.AddrFromSlice([]byte(e.Elem[:size])); ok {
		return append(list, a)
	}
	return list
}

// settle renders the tiers that came or went, and tells waiting pods whose policy is decided.
func (p *Policies) settle(m *model.Model) {
	for id := range p.Tiers.Take() {
		owner := reconcile.Owner{Name: policy.TierPrefix + id}
		if _, ok := p.Tiers.Want(id); !ok {
			p.nft.Claim(owner)
		} else if rows := p.fresh[id]; rows != nil { // else it stands
			p.nft.Claim(owner, rows...)
		}
	}
	clear(p.fresh)
	p.began = true
	for w := range p.waiting {
		if w.Pod != nil {
			if o, ok := p.known(m, w.a); ok {
				w.Pod <- o
				delete(p.waiting, w)
			}
			continue
		}
		if keys, ok := p.decided(m, w.a); ok {
			w.Keys <- keys
			delete(p.waiting, w)
		}
	}
}

// Await answers once the policy of an attached pod is decided.
func (p *Policies) Await(m *model.Model, a *model.Attachment) *Waiter {
	w := &Waiter{a: a, Keys: make(chan []row.NftKey, 1)}
	if keys, ok := p.decided(m, a); ok {
		w.Keys <- keys
	} else {
		p.waiting[w] = struct{}{}
	}
	return w
}

// Meet answers once the Pod is known that an attachment is of.
func (p *Policies) Meet(m *model.Model, a *model.Attachment) *Waiter {
	w := &Waiter{a: a, Pod: make(chan *model.Pod, 1)}
	if o, ok := p.known(m, a); ok {
		w.Pod <- o
	} else {
		p.waiting[w] = struct{}{}
	}
	return w
}

func (p *Policies) known(m *model.Model, a *model.Attachment) (*model.Pod, bool) {
	if !p.began {
		return nil, false
	}
	o := m.Pods[a.Pod]
	return o, p.Planner == nil || o != nil && (a.UID == "" || o.UID == a.UID)
}

// Forget takes out a pod that waits no longer.
func (p *Policies) Forget(w *Waiter) { delete(p.waiting, w) }

// decided gives the rows of an attached pod, and those of its port, once they are claimed.
func (p *Policies) decided(m *model.Model, a *model.Attachment) ([]row.NftKey, bool) {
	now := m.Attached[a.Ref().Name]
	if !p.began || now == nil || !slices.Equal(now.Addrs, a.Addrs) {
		return nil, false
	}
	keys, ok := p.leaves(m, a)
	if !ok {
		return nil, false
	}
	leaving := len(keys)
	take := func(owner reconcile.Owner) {
		for _, r := range p.nft.Claims(owner) {
			keys = append(keys, r.Key())
		}
	}
	take(guardOwner(a.Ref()))
	if len(keys) > leaving {
		take(guardOwner(baseUnit))
	}
	if p.Planner == nil {
		return keys, true
	}
	pod := m.Pods[a.Pod]
	if pod == nil || !pod.Finished && !pod.HostNetwork && !p.Planner.Decided(pod.Name) || a.UID != "" && pod.UID != a.UID {
		return nil, false
	}
	guards := len(keys)
	take(podOwner(pod.Ref()))
	return keys, len(keys) > guards || pod.Finished || pod.HostNetwork
}
