package model

import (
	"iter"
	"net/netip"
)

// Object is a value of the model: a pointer to one of this package's kinds. It is never changed.
type Object interface{ Ref() Ref }

// Model is everything that is true now. One goroutine owns it; its maps are read-only to others' eyes
// and change through Put and Delete alone, which keep the indexes.
type Model struct {
	Settings   Settings
	Services   map[Name]*Service
	Slices     map[Name]*Slice
	Pods       map[Name]*Pod
	Namespaces map[string]*Namespace
	Policies   map[Name]*Policy
	Cluster    map[string]*ClusterPolicy
	NodeRules  map[string]*NodePolicy
	Nodes      map[string]*Node
	Links      map[string]*Link
	Pools      map[string]*Pool
	L2         map[string]*L2Advertisement
	BGPPeers   map[string]*BGPPeer
	BGPAds     map[string]*BGPAdvertisement
	Keyrings   map[Name]*Keyring // one at most is read
	Silences   map[Name]*Silence // by link and node
	Paths      map[netip.Prefix]*Path
	Overflows  map[string]*Overflow // by the peer's address
	Attached   map[Name]*Attachment // by container and interface
	Foreign    map[string]*ForwardChain
	Lacks      map[string]*Lack       // by scheduler
	Answers    map[string]*WireAnswer // by the peer's key
	Gateways   map[string]*EgressGateway
	Domains    map[string]*Domain // by name

	servicesAt map[netip.Addr][]*Service
	ownersOf   map[netip.Addr][]*Service
	listening  map[frontend][]*Service
	nodePorts  map[Port]map[Name]*Service
	changes    uint64
	adsByAge   []*BGPAdvertisement // nil: not sorted since one changed
	balancer   []netip.Prefix      // BalancerRanges; nil: not worked out since a pool changed

	slicesOf map[Name]few[*Slice]
	slicesTo map[Name]few[*Slice]
	slicesAt map[netip.Addr]few[*Slice]
	podsBy   map[netip.Addr]few[*Pod]
	nodesBy  map[netip.Addr]map[string]*Node
	ranges   ranges
	pathsBy  map[netip.Addr]map[netip.Prefix]*Path
	attachOf map[Name]map[Name]*Attachment

	identity   *WireIdentity
	nodesByKey map[WireKey]map[string]*Node

	Unwritten *Unwritten // nil: everything of policies is written
}

// New makes an empty model with its settings.
func New(s Settings) *Model {
	return &Model{
		Settings:   s,
		Services:   map[Name]*Service{},
		Slices:     map[Name]*Slice{},
		Pods:       map[Name]*Pod{},
		Namespaces: map[string]*Namespace{},
		Policies:   map[Name]*Policy{},
		Cluster:    map[string]*ClusterPolicy{},
		NodeRules:  map[string]*NodePolicy{},
		Nodes:      map[string]*Node{},
		Links:      map[string]*Link{},
		Pools:      map[string]*Pool{},
		L2:         map[string]*L2Advertisement{},
		BGPPeers:   map[string]*BGPPeer{},
		BGPAds:     map[string]*BGPAdvertisement{},
		Keyrings:   map[Name]*Keyring{},
		Silences:   map[Name]*Silence{},
		Paths:      map[netip.Prefix]*Path{},
		Overflows:  map[string]*Overflow{},
		Attached:   map[Name]*Attachment{},
		servicesAt: map[netip.Addr][]*Service{},
		ownersOf:   map[netip.Addr][]*Service{},
		listening:  map[frontend][]*Service{},
		Foreign:    map[string]*ForwardChain{},
		Lacks:      map[string]*Lack{},
		Gateways:   map[string]*EgressGateway{},
		nodePorts:  map[Port]map[Name]*Service{},
		slicesOf:   map[Name]few[*Slice]{},
		slicesTo:   map[Name]few[*Slice]{},
		slicesAt:   map[netip.Addr]few[*Slice]{},
		podsBy:     map[netip.Addr]few[*Pod]{},
		nodesBy:    map[netip.Addr]map[string]*Node{},
		ranges:     newRanges(),
		pathsBy:    map[netip.Addr]map[netip.Prefix]*Path{},
		attachOf:   map[Name]map[Name]*Attachment{},
		Answers:    map[string]*WireAnswer{},
		Domains:    map[string]*Domain{},
		nodesByKey: map[WireKey]map[string]*Node{},
	}
}

// Self is the Node that we run on, or nil while it is unknown.
func (m *Model) Self() *Node { return m.Nodes[m.Settings.Node] }

// SlicesOf are the EndpointSlices of a Service with their names, in no order. The model must not change meanwhile.
func (m *Model) SlicesOf(service Name) iter.Seq2[Name, *Slice] { return slicesIn(m.slicesOf[service]) }

// SlicesTo are the EndpointSlices with a pod among their endpoints, with their names, in no order. The model must not change meanwhile.
func (m *Model) SlicesTo(pod Name) iter.Seq2[Name, *Slice] { return slicesIn(m.slicesTo[pod]) }

// Serves tells whether a pod is among the endpoints of any EndpointSlice.
func (m *Model) Serves(pod Name) bool { return m.slicesTo[pod] != (few[*Slice]{}) }

func slicesIn(f few[*Slice]) iter.Seq2[Name, *Slice] {
	return all(f, func(s *Slice) Name { return s.Name })
}

// PodsAt are the pods that have an address; several only while one of them is finished or deleted late,
// or for pods on the host network.
//
// They come with their names, in no order; the model must not change meanwhile.
func (m *Model) PodsAt(a netip.Addr) iter.Seq2[Name, *Pod] {
	return all(m.podsBy[a], func(p *Pod) Name { return p.Name })
}

// Put stores an object and returns the one it replaces, or nil.
func (m *Model) Put(o Object) Object {
	old := m.Delete(o.Ref())
	switch o := o.(type) {
	case *Service:
		m.putService(o)
	case *Slice:
		m.Slices[o.Name] = o
		enter(m.slicesOf, o.Service, o)
		for _, e := range o.Endpoints {
			if e.Pod != (Name{}) {
				enter(m.slicesTo, e.Pod, o)
			}
			for _, a := range e.Addrs {
				enter(m.slicesAt, a, o)
			}
		}
	case *Pod:
		m.Pods[o.Name] = o
		for _, a := range o.Addrs {
			enter(m.podsBy, a, o)
		}
	case *Namespace:
		m.Namespaces[o.Name] = o
	case *Policy:
		m.Policies[o.Name] = o
	case *ClusterPolicy:
		m.Cluster[o.Name] = o
	case *Node:
		m.putNode(o)
	case *Silence:
		m.Silences[o.Ref().Name] = o
	case *Link:
		m.Links[o.Name] = o
	case *Path:
		m.Paths[o.Prefix] = o
		for _, hop := range o.NextHops {
			index(m.pathsBy, hop, o.Prefix, o)
		}
	case *ForwardChain:
		m.Foreign[o.Ref().Name.Name] = o
	case *Lack:
		m.Lacks[o.Scheduler] = o
	case *Overflow:
		m.Overflows[o.Ref().Name.Name] = o
	case *Attachment:
		m.Attached[o.Ref().Name] = o
		index(m.attachOf, o.Pod, o.Ref().Name, o)
	case *WireIdentity:
		m.identity = o
	case *WireAnswer:
		m.Answers[o.Ref().Name.Name] = o
	case *Unwritten:
		m.Unwritten = o
	default:
		m.putOwn(o)
	}
	return old
}

// putOwn stores an object of our own kinds, or the Secret that one of them names.
func (m *Model) putOwn(o Object) {
	switch o := o.(type) {
	case *Pool:
		m.Pools[o.Name], m.balancer = o, nil
	case *L2Advertisement:
		m.L2[o.Name] = o
	case *BGPPeer:
		m.BGPPeers[o.Name] = o
	case *BGPAdvertisement:
		m.BGPAds[o.Name], m.adsByAge = o, nil
	case *Keyring:
		m.Keyrings[o.Name] = o
	case *EgressGateway:
		m.Gateways[o.Name] = o
	case *NodePolicy:
		m.NodeRules[o.Name] = o
	case *Domain:
		m.Domains[o.Name] = o
	}
}

// Delete removes an object and returns it, or nil when there was none.
func (m *Model) Delete(r Ref) Object {
	m.changes++
	switch r.Kind {
	case KindService:
		return m.deleteService(r.Name)
	case KindSlice:
		return m.deleteSlice(r.Name)
	case KindPod:
		return m.deletePod(r.Name)
	case KindNamespace:
		return take(m.Namespaces, r.Name.Name)
	case KindPolicy:
		return take(m.Policies, r.Name)
	case KindClusterPolicy:
		return take(m.Cluster, r.Name.Name)
	case KindNode:
		return m.deleteNode(r.Name.Name)
	case KindPool:
		m.balancer = nil
		return take(m.Pools, r.Name.Name)
	case KindL2:
		return take(m.L2, r.Name.Name)
	case KindBGPPeer:
		return take(m.BGPPeers, r.Name.Name)
	case KindBGPAd:
		m.adsByAge = nil
		return take(m.BGPAds, r.Name.Name)
	case KindKeyring:
		return take(m.Keyrings, r.Name)
	case KindSilence:
		return take(m.Silences, r.Name)
	case KindLink:
		return take(m.Links, r.Name.Name)
	case KindPath:
		return m.deletePath(r.Name.Name)
	case KindOverflow:
		return take(m.Overflows, r.Name.Name)
	case KindAttachment:
		return m.deleteAttachment(r.Name)
	case KindEgress:
		return take(m.Gateways, r.Name.Name)
	case KindNodePolicy:
		return take(m.NodeRules, r.Name.Name)
	case KindForeign:
		return take(m.Foreign, r.Name.Name)
	case KindLack:
		return take(m.Lacks, r.Name.Name)
	case KindAnswer:
		return take(m.Answers, r.Name.Name)
	case KindDomain:
		return take(m.Domains, r.Name.Name)
	case KindIdentity:
		return m.forget()
	case KindUnwritten:
		return m.written()
	}
	return nil
}

// written takes away that rows are not.
func (m *Model) written() Object {
	if m.Unwritten == nil {
		return nil
	}
	old := m.Unwritten
	m.Unwritten = nil
	return old
}

// forget takes this node's identity away.
func (m *Model) forget() Object {
	if m.identity == nil {
		return nil
	}
	old := m.identity
	m.identity = nil
	return old
}

func (m *Model) deleteSlice(n Name) Object {
	s, ok := m.Slices[n]
	if !ok {
		return nil
	}
	delete(m.Slices, n)
	leave(m.slicesOf, s.Service, s)
	for _, e := range s.Endpoints {
		leave(m.slicesTo, e.Pod, s)
		for _, a := range e.Addrs {
			leave(m.slicesAt, a, s)
		}
	}
	return s
}

func (m *Model) deletePod(n Name) Object {
	p, ok := m.Pods[n]
	if !ok {
		return nil
	}
	delete(m.Pods, n)
	for _, a := range p.Addrs {
		leave(m.podsBy, a, p)
	}
	return p
}

// Refs are the names of all objects of a kind, in no order.
func (m *Model) Refs(k Kind) []Ref {
	switch k {
	case KindService:
		return refs(m.Services)
	case KindSlice:
		return refs(m.Slices)
	case KindPod:
		return refs(m.Pods)
	case KindNamespace:
		return refs(m.Namespaces)
	case KindPolicy:
		return refs(m.Policies)
	case KindClusterPolicy:
		return refs(m.Cluster)
	case KindNode:
		return refs(m.Nodes)
	case KindPool:
		return refs(m.Pools)
	case KindL2:
		return refs(m.L2)
	case KindBGPPeer:
		return refs(m.BGPPeers)
	case KindBGPAd:
		return refs(m.BGPAds)
	case KindKeyring:
		return refs(m.Keyrings)
	case KindSilence:
		return refs(m.Silences)
	case KindLink:
		return refs(m.Links)
	case KindPath:
		return refs(m.Paths)
	case KindOverflow:
		return refs(m.Overflows)
	case KindAttachment:
		return refs(m.Attached)
	case KindEgress:
		return refs(m.Gateways)
	case KindNodePolicy:
		return refs(m.NodeRules)
	case KindForeign:
		return refs(m.Foreign)
	case KindLack:
		return refs(m.Lacks)
	case KindAnswer:
		return refs(m.Answers)
	case KindDomain:
		return refs(m.Domains)
	case KindIdentity:
		if m.identity != nil {
			return []Ref{m.identity.Ref()}
		}
	case KindUnwritten:
		if m.Unwritten != nil {
			return []Ref{m.Unwritten.Ref()}
		}
	}
	return nil
}

func take[K comparable, V Object](m map[K]V, k K) Object {
	o, ok := m[k]
	if !ok {
		return nil
	}
	delete(m, k)
	return o
}

func refs[K comparable, V Object](m map[K]V) []Ref {
	list := make([]Ref, 0, len(m))
	for _, o := range m {
		list = append(list, o.Ref())
	}
	return list
}
