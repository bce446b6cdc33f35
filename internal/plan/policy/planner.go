package policy

import (
	"maps"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Planner plans the firewalls of this node's pods and who is in which set of peers. It keeps an index that
// is a function of the model; Note must be told of every change of the model's pods, namespaces, policies
// of both kinds, nodes and attachments. It belongs to the goroutine that owns the model.
type Planner struct {
	model    *model.Model
	warm     bool // the index is built; before, Note only waits for Units
	policies map[model.Name]*compiled
	targets  *index[*compiled]
	shut     [4]*compiled // see isolating
	crowd    crowd
	cluster  map[string]*compiled // ClusterNetworkPolicies
	subjects *index[*compiled]    // of these
	denying  int                  // how many of them have rules that deny or pass
	audited  int                  // policies of both kinds that are only rehearsed
	nodeSets map[*set]struct{}    // those sets whose members are nodes
	domains  domains              // those whose members are domain names
	sets     map[intent.SetID]*set
	members  *index[*set]
	within   map[string]map[model.Name]struct{} // the pods of a namespace
	here     map[string]map[model.Name]struct{} // those of them that are guarded on this node
	pods     map[model.Name]*state              // those of this node, and those in a set
	serial   uint64                             // grows with every change of what selects pods
	tiers    shelf
	hosts    map[string]*compiled // NodePolicies
	host     host
}

// set is a set of peers that a policy in use needs.
type set struct {
	setDef
	users   int // policies in use that need it
	members map[model.Name]struct{}
}

// state is what is known of a pod.
type state struct {
	sets     map[*set]struct{}
	policies []*compiled // that select it, if it is of this node, when they were last looked for
	enforced []*compiled // those of them that its tiers are made of
	rehearse []*compiled // those that its rehearsal is made of: these and the audited ones; nil: no audited one is among them
	beyond   []*compiled // that select it and are not among them, for it has too many
	leaving  []*compiled // that did before: their sets stay until the tiers are made without them
	tiers    tiers       // of policies or of those before
	decided  bool        // the tiers have been made once
	waits    bool        // the tiers of policies are made once their new sets have their members
	found    uint64      // the serial when policies were looked for
	news     bool        // the pod itself changed since
}

// tiers are those that are enforced by direction, and behind them those of the rehearsal.
type tiers [4][]*intent.Tier

// rehearsals is where the rehearsal's begin.
const rehearsals = 2

// New makes a planner of a model. Nothing is planned before Units is called.
func New(m *model.Model) *Planner {
	p := &Planner{model: m}
	p.reset()
	return p
}

func (p *Planner) reset() {
	p.policies, p.targets = map[model.Name]*compiled{}, newIndex[*compiled]()
	p.shut, p.crowd = shutters(), crowd{}
	p.denying, p.audited = 0, 0
	p.cluster, p.subjects, p.nodeSets = map[string]*compiled{}, newIndex[*compiled](), map[*set]struct{}{}
	p.domains = newDomains(p.domains.changes + 1)
	p.sets, p.members = map[intent.SetID]*set{}, newIndex[*set]()
	p.tiers = newShelf()
	p.hosts, p.host = map[string]*compiled{}, host{}
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
	for _, o := range p.model.Policies {
		p.enlist(o)
	}
	for _, o := range p.model.Cluster {
		p.take(o)
	}
	for _, o := range p.model.NodeRules {
		p.takeNode(o)
	}
	p.findHost()
	for _, pods := range p.here {
		for name := range pods {
			p.find(name, p.state(name))
		}
	}
	for _, o := range p.model.Domains {
		p.domains.put(o)
	}
	p.warm = true
	for name := range p.model.Pods {
		p.resort(name)
	}
	units := append(make([]model.Ref, 0, len(p.pods)+len(p.sets)+len(p.model.Domains)+1), resolversRef())
	for name := range p.model.Domains {
		units = append(units, domainRef(name))
	}
	if p.host.waits = len(p.hosts) > 0; p.host.waits {
		units = append(units, hostRef())
	}
	if len(p.nodeSets) > 0 {
		for name := range p.model.Nodes {
			units = append(units, nodeRef(name))
		}
	}
	for id := range p.sets {
		units = append(units, setRef(id))
	}
	for name, s := range p.pods {
		if p.isLocal(p.model.Pods[name]) {
			s.waits = true // all members are among the units
			units = append(units, rulesRef(name))
			continue
		}
		units = append(units, podRef(name))
	}
	return units
}

// The kinds of units beside pods, nodes and domain names, whose units tell of their addresses and the sets that they are in.
const (
	KindSet   model.Kind = "PeerSet"  // a set of peers that is there
	KindRules model.Kind = "PodRules" // the tiers of a pod of this node
	KindGone  model.Kind = "GoneSet"  // a set of peers that nobody needs any more

	KindResolvers model.Kind = "Resolvers" // whose answers tell what domain names stand for
)

// Rank is the order in which units are planned, lowest first: a set before its members, these before the tiers that look into the set;
// and in reverse when it goes.
func Rank(u model.Ref) int {
	switch u.Kind {
	case KindRules, KindHost:
		return 2
	case KindGone:
		return 3
	case model.KindPod, model.KindNode, model.KindDomain:
		return 1
	}
	return 0
}

// Ranks is how many there are.
const Ranks = 4

func setRef(id intent.SetID) model.Ref {
	return model.Ref{Kind: KindSet, Name: model.Name{Name: id.String()}}
}

func goneRef(id intent.SetID) model.Ref { return model.Ref{Kind: KindGone, Name: setRef(id).Name} }

func rulesRef(n model.Name) model.Ref { return model.Ref{Kind: KindRules, Name: n} }

func (p *Planner) numbered(c *compiled) *compiled {
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
			p.noteHolder(old, add)
			p.noteHolder(new, add)
			for _, a := range p.model.AttachmentsOf(o.Name) {
				p.noteSharers(a, add)
			}
		case *model.Namespace:
			for name := range p.within[o.Name] {
				add(podRef(name)) // Resort looks which
			}
			p.noteNamespace(o.Name, add)
		case *model.Domain:
			p.noteDomain(old, new, add)
			return
		case *model.Slice:
			p.noteResolver(o, add)
			continue
		case *model.Policy:
			p.notePolicy(o.Name, add)
		case *model.ClusterPolicy:
			p.noteCluster(o.Name, add)
		case *model.NodePolicy:
			p.noteHost(o.Name, add)
		case *model.Service:
			p.noteSelf(old, new, add)
			p.noteResolver(old, add)
			p.noteResolver(new, add)
		case *model.Node:
			p.noteSelf(old, new, add)
			if len(p.nodeSets) > 0 {
				add(nodeRef(o.Name))
			}
			p.noteHolder(old, add)
			p.noteHolder(new, add)
		case *model.Attachment:
			p.noteAttachment(o, add)
		default:
			return
		}
		if _, ok := o.(*model.Attachment); !ok && old != nil && new != nil {
			return // one look at what is now will do
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
		p.state(name).news = true
	}
	p.resort(name)
	add(podRef(name))
	if s := p.pods[name]; s != nil && (p.isLocal(o) || len(s.policies) > 0) {
		p.serial++
		add(rulesRef(name))
	}
}

// noteAttachment plans the pod anew, and whoever else says to have one of the addresses.
func (p *Planner) noteAttachment(a *model.Attachment, add func(model.Ref)) {
	if p.model.Pods[a.Pod] != nil {
		p.notePod(a.Pod, add)
	}
	p.noteSharers(a, add)
}

// noteSharers plans the pods anew that say to have an address of an attachment: whose it is depends on the attachment and
// on the pod that it is of (taken).
func (p *Planner) noteSharers(a *model.Attachment, add func(model.Ref)) {
	for _, addr := range a.Addrs {
		for name := range p.model.PodsAt(addr) {
			add(podRef(name))
		}
	}
}

// notePolicy keeps the index. Its pods look for their policies once they are planned, however many policies change before.
func (p *Planner) notePolicy(name model.Name, add func(model.Ref)) {
	old := p.policies[name]
	if old != nil {
		p.targets.remove(old.target, old)
		delete(p.policies, name)
		if old.audit {
			p.audited--
		}
	}
	var now *compiled
	if o := p.model.Policies[name]; o != nil {
		now = p.enlist(o)
	}
	p.serial++
	for pod := range p.here[name.Namespace] {
		o := p.model.Pods[pod]
		if o == nil {
			continue // it went with this change, and is noted by itself
		}
		labels := o.Labels
		if old != nil && old.target.has(pod.Namespace, nil, labels) || now != nil && now.target.has(pod.Namespace, nil, labels) {
			add(rulesRef(pod))
		}
	}
}

// enlist takes a NetworkPolicy into the index.
func (p *Planner) enlist(o *model.Policy) *compiled {
	c := p.numbered(compile(o))
	p.policies[o.Name] = c
	p.targets.add(c.target, c)
	if c.audit {
		p.audited++
	}
	return c
}

func (p *Planner) state(name model.Name) *state {
	s := p.pods[name]
	if s == nil {
		s = &state{sets: map[*set]struct{}{}}
		p.pods[name] = s
	}
	return s
}

// tidy forgets pods of which nothing is to be known.
func (p *Planner) tidy(name model.Name, s *state) {
	if len(s.sets) == 0 && len(s.policies) == 0 && len(s.leaving) == 0 && !p.isLocal(p.model.Pods[name]) {
		p.tiers.use(s, tiers{})
		delete(p.pods, name)
	}
}

// Resort finds the sets that a pod is in now. It is asked before Plan where only the pod's namespace may have changed.
func (p *Planner) Resort(name model.Name) { p.resort(name) }

// resort finds the sets that a pod is in; it tells whether they are others than before.
func (p *Planner) resort(name model.Name) bool {
	now := map[*set]struct{}{}
	if o := p.model.Pods[name]; o != nil && p.counts(o) {
		ns := p.model.Namespaces[name.Namespace]
		p.members.candidates(name.Namespace, ns, o.Labels, func(s *set) {
			if s.from.has(name.Namespace, ns, o.Labels) {
				now[s] = struct{}{}
			}
		})
	}
	s := p.pods[name]
	if s == nil && len(now) == 0 {
		return false
	}
	s = p.state(name)
	if maps.Equal(s.sets, now) {
		p.tidy(name, s)
		return false
	}
	for one := range s.sets {
		delete(one.members, name)
	}
	for one := range now {
		one.members[name] = struct{}{}
	}
	s.sets = now
	p.tidy(name, s)
	return true
}
