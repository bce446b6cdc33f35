package policy

import (
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Planner plans the firewalls of this node's pods and who is in which set of peers. It keeps an index that
// is a function of the model; Note must be told of every change of the model's pods, namespaces, policies
// and attachments. It belongs to the goroutine that owns the model.
type Planner struct {
	model    *model.Model
	warm     bool // the index is built; before, Note only waits for Units
	policies map[model.Name]*compiled
	targets  *index[*compiled]
	sets     map[intent.SetID]*set
	members  *index[*set]
	within   map[string]map[model.Name]struct{} // the pods of a namespace
	here     map[string]map[model.Name]struct{} // those of them that are guarded on this node
	pods     map[model.Name]*state              // those of this node, and those in a set
	serial   uint64
	lists    map[string]*intent.RuleList // by the policies that they come from
}

// set is a set of peers that a policy in use needs.
type set struct {
	setDef
	users   int // policies in use that need it
	members map[model.Name]struct{}
}

// state is what is known of a pod.
type state struct {
	policies []*compiled // that select it, if it is of this node
	sets     []*set
}

// New makes a planner of a model. Nothing is planned before Units is called.
func New(m *model.Model) *Planner {
	p := &Planner{model: m}
	p.reset()
	return p
}

func (p *Planner) reset() {
	p.policies, p.targets = map[model.Name]*compiled{}, newIndex[*compiled]()
	p.sets, p.members = map[intent.SetID]*set{}, newIndex[*set]()
	p.lists = map[string]*intent.RuleList{}
	p.within, p.here, p.pods = map[string]map[model.Name]struct{}{}, map[string]map[model.Name]struct{}{}, map[model.Name]*state{}
}

// Sets is how many distinct sets of peers the rules of this node's pods look into.
func (p *Planner) Sets() int { return len(p.sets) }

// Units are all sets and pods of which something is to be planned, sets first; it builds the index anew from the model. It is for
// for changes that concern everything.
func (p *Planner) Units() []model.Ref {
	p.reset()
	p.warm = false
	for name, o := range p.model.Pods {
		enter(p.within, name)
		if p.isLocal(o) {
			enter(p.here, name)
		}
	}
	for name, o := range p.model.Policies {
		c := p.compile(o)
		p.policies[name] = c
		p.targets.add(c.target, c)
	}
	ignore := func(model.Ref) {}
	for name, o := range p.model.Pods {
		if p.isLocal(o) {
			p.retarget(name, ignore)
		}
	}
	p.warm = true
	for name := range p.model.Pods {
		p.resort(name)
	}
	units := make([]model.Ref, 0, len(p.pods)+len(p.sets))
	for id := range p.sets {
		units = append(units, setRef(id))
	}
	for name := range p.pods {
		units = append(units, podRef(name))
	}
	return units
}

// KindSet is the kind of units that are sets of peers; the others are pods.
const KindSet model.Kind = "PeerSet"

func setRef(id intent.SetID) model.Ref {
	return model.Ref{Kind: KindSet, Name: model.Name{Name: id.String()}}
}

func (p *Planner) compile(o *model.Policy) *compiled {
	c := compile(o)
	p.serial++
	c.serial = p.serial
	return c
}

func podRef(n model.Name) model.Ref { return model.Ref{Kind: model.KindPod, Name: n} }

func enter(pods map[string]map[model.Name]struct{}, n model.Name) {
	if pods[n.Namespace] == nil {
		pods[n.Namespace] = map[model.Name]struct{}{}
	}
	pods[n.Namespace][n] = struct{}{}
}

func leave(pods map[string]map[model.Name]struct{}, n model.Name) {
	delete(pods[n.Namespace], n)
	if len(pods[n.Namespace]) == 0 {
		delete(pods, n.Namespace)
	}
}

// Note keeps the index after one object of the model changed, and adds the pods and sets that are to be
// planned anew. Old or new is nil for an object that came or went.
func (p *Planner) Note(old, new model.Object, add func(model.Ref)) {
	if !p.warm {
		return
	}
	for _, o := range []model.Object{old, new} {
		switch o := o.(type) {
		case nil:
			continue
		case *model.Pod:
			p.notePod(o.Name, add)
		case *model.Namespace:
			for name := range p.within[o.Name] {
				if p.resort(name) {
					add(podRef(name))
				}
			}
		case *model.Policy:
			p.notePolicy(o.Name, add)
		case *model.Attachment:
			p.noteAttachment(o, add)
		default:
			return
		}
		if old != nil && new != nil {
			if a, ok := old.(*model.Attachment); !ok || a.Pod == new.(*model.Attachment).Pod {
				return // one look at what is now will do
			}
		}
	}
}

func (p *Planner) notePod(name model.Name, add func(model.Ref)) {
	o := p.model.Pods[name]
	leave(p.within, name)
	leave(p.here, name)
	if o != nil {
		enter(p.within, name)
	}
	if p.isLocal(o) {
		enter(p.here, name)
	}
	p.retarget(name, add)
	p.resort(name)
	add(podRef(name))
}

// noteAttachment plans the pod anew, and whoever else says to have one of the addresses.
func (p *Planner) noteAttachment(a *model.Attachment, add func(model.Ref)) {
	if p.model.Pods[a.Pod] != nil {
		p.notePod(a.Pod, add)
	}
	for _, addr := range a.Addrs {
		for name := range p.model.PodsAt(addr) {
			p.notePod(name, add)
		}
	}
}

func (p *Planner) notePolicy(name model.Name, add func(model.Ref)) {
	old := p.policies[name]
	if old != nil {
		p.targets.remove(old.target, old)
		delete(p.policies, name)
	}
	if o := p.model.Policies[name]; o != nil {
		c := p.compile(o)
		p.policies[name] = c
		p.targets.add(c.target, c)
	}
	for pod := range p.here[name.Namespace] {
		if p.retarget(pod, add) {
			add(podRef(pod))
		}
	}
}

// retarget finds the policies that select a pod of this node; it tells whether they are others than before.
func (p *Planner) retarget(name model.Name, add func(model.Ref)) bool {
	var now []*compiled
	if o := p.model.Pods[name]; p.isLocal(o) {
		p.targets.candidates(name.Namespace, nil, o.Labels, func(c *compiled) {
			if c.target.has(name.Namespace, nil, o.Labels) && !slices.Contains(now, c) {
				now = append(now, c)
			}
		})
	}
	slices.SortFunc(now, func(a, b *compiled) int { return a.policy.Name.Compare(b.policy.Name) })
	s := p.state(name)
	before := s.policies
	if slices.Equal(before, now) {
		p.tidy(name, s)
		return false
	}
	s.policies = now
	// First what is needed now, so that a set that both need stays.
	for _, c := range now {
		if c.targets++; !slices.Contains(before, c) && c.targets == 1 {
			p.acquire(c, add)
		}
	}
	for _, c := range before {
		if c.targets--; c.targets == 0 {
			p.release(c, add)
		}
	}
	p.tidy(name, s)
	return true
}

func (p *Planner) state(name model.Name) *state {
	s := p.pods[name]
	if s == nil {
		s = &state{}
		p.pods[name] = s
	}
	return s
}

// tidy forgets pods of which nothing is to be known.
func (p *Planner) tidy(name model.Name, s *state) {
	if len(s.sets) == 0 && len(s.policies) == 0 && !p.isLocal(p.model.Pods[name]) {
		delete(p.pods, name)
	}
}

// resort finds the sets that a pod is in; it tells whether they are others than before.
func (p *Planner) resort(name model.Name) bool {
	var now []*set
	if o := p.model.Pods[name]; o != nil && p.counts(o) {
		ns := p.model.Namespaces[name.Namespace]
		p.members.candidates(name.Namespace, ns, o.Labels, func(s *set) {
			if s.from.has(name.Namespace, ns, o.Labels) && !slices.Contains(now, s) {
				now = append(now, s)
			}
		})
	}
	slices.SortFunc(now, func(a, b *set) int { return a.id.Compare(b.id) })
	s := p.pods[name]
	if s == nil && len(now) == 0 && !p.isLocal(p.model.Pods[name]) {
		return false
	}
	s = p.state(name)
	if slices.Equal(s.sets, now) {
		p.tidy(name, s)
		return false
	}
	for _, one := range s.sets {
		delete(one.members, name)
	}
	for _, one := range now {
		one.members[name] = struct{}{}
	}
	s.sets = now
	p.tidy(name, s)
	return true
}
