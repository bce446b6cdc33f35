// Package view is what `kube-router show` and `why` answer: pages about the running daemon, made when somebody asks.
//
// A view asks through Daemon and in no other way, and changes nothing. What is read in the thinking goroutine is copied out
// there; what takes long (a dump of the kernel, a speaker that doesn't answer) is asked outside of it.
package view

import (
	"context"
	"net/netip"
	"time"

	"kube-router/internal/config"
	"kube-router/internal/flow"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/show"
	"kube-router/internal/watch/kube"
	domains "kube-router/internal/watch/names"
	"kube-router/internal/watch/peer"
)

// Daemon is all that a view may ask of the running daemon. Every function may be called by many goroutines at once.
type Daemon struct {
	Options *config.Options
	Version string
	Born    time.Time

	Pulse func() show.Pulse
	Busy  func() time.Duration // how long the present turn of thinking has taken; 0: it waits for news

	// Think runs f in the thinking goroutine and waits for it. What f lends out of the World must not be changed there
	// later: objects of the model aren't, maps are.
	Think   func(ctx context.Context, f func(World)) error
	Planned func() []model.Remark // what the plans remarked, in no order

	Sources  func() []kube.SourceStatus
	Sessions func(ctx context.Context, advertised bool) ([]peer.State, error) // nil: this node doesn't speak BGP

	// Received are the paths that peers have taught, of some prefixes or all; nil: this node doesn't speak BGP.
	Received func(ctx context.Context, only []netip.Prefix) ([]peer.Received, error)

	Tables func() []reconcile.Status           // every table, in the order in which they are built up
	Lines  func(table string) []reconcile.Line // the rows of one
	Fronts Claimed[intent.Front, *intent.Service]
	Linux  Claimed[row.LinuxKey, row.Linux]
	BGP    Claimed[row.BgpKey, row.Bgp]

	// AtSocket tells whether connect() to a frontend becomes one to an endpoint, else why not; nil: no connect() does.
	AtSocket func(*intent.Service) (why string, served bool)

	// Connects are how often somebody connected to each frontend since it is served at the socket; nil with AtSocket.
	Connects func() (map[intent.Front]Connects, error)

	// Route is the kernel's route for a packet from one address to another, with the state of the neighbour that it goes to first; row.ErrNoRoute:
	// there is none. nil: nobody can be asked.
	Route func(from, to netip.Addr) (r row.Route, neighbour string, err error)

	Rules   func(context.Context) (map[row.NftKey]row.Nft, error) // what the kernel's table holds
	Dropped func(context.Context) ([]Dropped, error)              // what policies dropped, most first
	Recent  func(most int) ([]flow.Flow, time.Time)               // the latest that rules of ours ended, and since when they are kept
	Flows   func(flow.Question) (flow.Answer, error)              // what was seen of the traffic
	Unheard func() []string                                       // what of it can't be seen, each with why
	Tried   func() (list []Packet, since time.Time, err error)    // the same of packets that rehearsals would drop
	Hits    func(context.Context) ([]RuleHits, error)             // what rules of ClusterNetworkPolicies decided, and what rehearsals would

	Names func() (known []domains.Known, over []string) // what domain names stand for, and patterns with too many addresses; nil: no policies

	Wires   func() ([]WireState, error)                 // peers of WireGuard, as its device has them
	InClear func(context.Context) ([]ClearCount, error) // what should have been encrypted and was not

	Allocator func() Allocator // nil: --run-loadbalancer is off
}

// Connects count connect() to a frontend that is served at the socket.
type Connects struct {
	Served uint64 // it became one to an endpoint
	Fell   uint64 // it was left to packets: of another network namespace, or an endpoint had just gone
}

// World is what the thinking goroutine lends to who asks there.
type World struct {
	Model     *model.Model
	Policies  *policy.Planner             // nil: not enforced, or the cluster is still being read
	Firewalls map[string]*intent.Firewall // of this node's pods, by NAMESPACE/NAME
}

// Claimed is what is wanted of one table, to be read: a reconcile.Ledger.
type Claimed[K comparable, R any] interface {
	All(yield func(K, R) bool)
	Owners(K) []reconcile.Owner
}

// Dropped is what one pod's firewall dropped in one direction since its rules were made; without a pod, what ended for a
// reason that no pod's policies name.
type Dropped struct {
	Pod, Direction string
	Packets, Bytes uint64
}

func (d Dropped) where() string {
	if d.Pod == "" {
		return d.Direction
	}
	return d.Direction + " of " + d.Pod
}

// Packet is one packet that a rehearsed policy would drop.
type Packet struct {
	Time             time.Time
	Prefix           string // of the rule that logged it
	Src, Dst         netip.Addr
	Protocol         uint8
	SrcPort, DstPort uint16 // of TCP, UDP and SCTP
}

// Allocator is who gives LoadBalancer Services their addresses.
type Allocator struct {
	Leader  string
	Leading bool // it is this node
	Lines   []reconcile.Line
	Pools   []intent.Pool // what AddressPools have left
}
