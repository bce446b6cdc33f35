package observe

import (
	"net/netip"
	"slices"
	"sync"

	"kube-router/internal/flow"
	"kube-router/internal/model"
)

// nobody has every address that is not the cluster's.
var nobody = &flow.Owner{}

// Names tells who has an address now. It hears the model's changes one by one, and answers any goroutine.
type Names struct {
	self string

	mu    sync.RWMutex
	owner map[netip.Addr]*flow.Owner
	pods  map[model.Name]*flow.Owner
	ports map[string]*flow.Owner // links at the node's end of pods
	ways  []*model.EgressGateway // the eldest first
	pools map[string]*model.Pool
}

// NewNames makes an empty one for the node of a name.
func NewNames(self string) *Names {
	return &Names{self: self, owner: map[netip.Addr]*flow.Owner{}, pods: map[model.Name]*flow.Owner{}, ports: map[string]*flow.Owner{}, pools: map[string]*model.Pool{}}
}

// Heard takes a change of the model: an object before and after, nil where it is absent.
func (n *Names) Heard(old, now model.Object) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch o := old.(type) {
	case *model.Pod:
		n.leave(n.pods[o.Name], o.Addrs)
		if now == nil {
			delete(n.pods, o.Name)
		}
	case *model.Attachment:
		n.leave(n.pods[o.Pod], o.Addrs)
		delete(n.ports, o.Port)
	case *model.EgressGateway:
		n.ways = slices.DeleteFunc(n.ways, func(g *model.EgressGateway) bool { return g.Name == o.Name })
	case *model.Pool:
		delete(n.pools, o.Name)
	case *model.Node:
		n.leaveNode(o.Name, nodeAddrs(o))
	case *model.Link:
		n.leaveNode(n.self, addrsOf(o))
	}
	switch o := now.(type) {
	case *model.Pod:
		owner := podOwner(o, n.self)
		if was := n.pods[o.Name]; was != nil {
			for _, a := range slices.Concat(o.Addrs, oldAddrs(old)) {
				if n.owner[a] == was {
					delete(n.owner, a)
				}
			}
		}
		n.pods[o.Name] = owner
		if !o.HostNetwork && !o.Finished {
			n.have(owner, o.Addrs)
		}
	case *model.Attachment:
		owner := n.pods[o.Pod]
		if owner == nil {
			owner = &flow.Owner{Namespace: o.Pod.Namespace, Pod: o.Pod.Name, Here: true}
			n.pods[o.Pod] = owner
		}
		n.have(owner, o.Addrs)
		if o.Port != "" {
			n.ports[o.Port] = owner
		}
	case *model.EgressGateway:
		n.ways = append(n.ways, o)
		slices.SortFunc(n.ways, (*model.EgressGateway).Older)
	case *model.Pool:
		n.pools[o.Name] = o
	case *model.Node:
		n.have(&flow.Owner{Node: o.Name, Here: o.Name == n.self}, nodeAddrs(o))
	case *model.Link:
		for _, a := range addrsOf(o) {
			if was := n.owner[a]; was == nil || was.Pod == "" {
				n.owner[a] = &flow.Owner{Node: n.self, Here: true}
			}
		}
	}
}

func oldAddrs(o model.Object) []netip.Addr {
	if p, ok := o.(*model.Pod); ok {
		return p.Addrs
	}
	return nil
}

func (n *Names) have(o *flow.Owner, addrs []netip.Addr) {
	for _, a := range addrs {
		n.owner[a] = o
	}
}

// leave takes addresses from who has them still: another may have been told of first.
func (n *Names) leave(o *flow.Owner, addrs []netip.Addr) {
	for _, a := range addrs {
		if o != nil && n.owner[a] == o {
			delete(n.owner, a)
		}
	}
}

func (n *Names) leaveNode(node string, addrs []netip.Addr) {
	for _, a := range addrs {
		if o := n.owner[a]; o != nil && o.Pod == "" && o.Node == node {
			delete(n.owner, a)
		}
	}
}

// Of is who has an address; never nil.
func (n *Names) Of(a netip.Addr) *flow.Owner {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if o := n.owner[a]; o != nil {
		return o
	}
	return nobody
}

// Port is the pod at a link of this node; nil: none that is known.
func (n *Names) Port(link string) *flow.Owner {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.ports[link]
}

// Gateway is the gateway that leaves from an address; nil: none does.
func (n *Names) Gateway(a netip.Addr) *flow.Gateway {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, g := range n.ways {
		ranges := g.Addresses
		if p := n.pools[g.Pool]; p != nil && g.Pool != "" {
			ranges = p.Ranges
		}
		if slices.ContainsFunc(ranges, func(r model.AddrRange) bool { return r.Contains(a) }) {
			return &flow.Gateway{Name: g.Name, Addr: a}
		}
	}
	return nil
}

// Size is how many addresses have a name.
func (n *Names) Size() int {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return len(n.owner)
}

func podOwner(p *model.Pod, self string) *flow.Owner {
	return &flow.Owner{Namespace: p.Name.Namespace, Pod: p.Name.Name, Labels: p.Labels, Kind: p.Workload.Kind, Workload: p.Workload.Name, Here: p.Node == self}
}

// nodeAddrs are those that a node sends from: its own, and those that its bridge has in the pods' ranges.
func nodeAddrs(o *model.Node) []netip.Addr {
	return slices.Concat(o.InternalIPs, o.ExternalIPs, o.BridgeAddrs())
}

func addrsOf(l *model.Link) []netip.Addr {
	var list []netip.Addr
	for _, p := range l.Addrs {
		list = append(list, p.Addr().Unmap())
	}
	return list
}
