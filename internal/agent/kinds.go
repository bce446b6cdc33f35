package agent

import (
	"time"

	"kube-router/internal/engine/ipvs"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
)

// kind is what a table says of itself. Whoever needs one of the tables names its kind, and whoever asks what is true of some
// of them asks the kinds.
type kind struct {
	name     string // in logs, metrics and `kube-router show`
	wave     int    // when it starts; those of a wave stand before the next one begins
	carries  bool   // packets go by it: what carried them before goes only after it stands
	connects bool   // running pods are connected by it: cleanup --keep-pods leaves it
	aside    bool   // it is about the node, not of its network: neither readiness nor health waits for it

	// serves is the engine whose frontends are in this table; empty: none's alone.
	serves model.Engine
	// looks are the periods of -sync-period flags in which it is read again as a whole, the least of which counts; 0 is none.
	looks func(*model.Settings) []time.Duration
	// steady is its pace where no flag has a say; nil: reconcile.DefaultPace.
	steady *reconcile.Pace
}

// The waves: links and virtual servers; then rules, settings and the rest; then what invites pods.
const (
	ways = iota
	laws
	invitations
	waves // how many there are
)

// away is the pace of what the API server has: it answers slowly, and for everybody.
var away = reconcile.Pace{First: time.Second, Most: 5 * time.Minute, Look: time.Hour, Quiet: time.Second}

// soon is the pace of what other nodes wait for.
var soon = reconcile.Pace{First: 100 * time.Millisecond, Most: 30 * time.Second, Look: time.Hour, Quiet: time.Second}

// once is the pace of what is read at the start alone.
var once = reconcile.Pace{First: time.Second, Most: 5 * time.Minute, Quiet: time.Second}

// All tables.
var (
	sysctlTable  = &kind{name: "sysctl", wave: laws, connects: true}
	linkTable    = &kind{name: "rtnl", wave: ways, carries: true, connects: true, looks: routeLooks}
	ruleTable    = &kind{name: "nft", wave: laws, carries: true, looks: ruleLooks}
	flowTable    = &kind{name: "conntrack", wave: laws}
	healthTable  = &kind{name: "health", wave: laws}
	sessionTable = &kind{name: "bgp", wave: laws, looks: sessionLooks}
	fileTable    = &kind{name: "cni", wave: invitations, connects: true}
	chainTable   = &kind{name: "forward", wave: laws, carries: true, connects: true}
	serverTable  = &kind{name: "ipvs", wave: ways, carries: true, serves: ipvs.Engine{}.Name(), looks: serviceLooks}
	socketTable  = &kind{name: "bpf", wave: laws, aside: true, looks: serviceLooks} // packets get there without
	answerTable  = &kind{name: "l2", wave: laws, aside: true}
	podTable     = &kind{name: "pods", wave: laws, looks: serviceLooks}

	addressTable    = &kind{name: "balancer", wave: laws, looks: addressLooks}
	poolTable       = &kind{name: "pools", wave: laws, looks: addressLooks}
	conditionTable  = &kind{name: "conditions", wave: laws, aside: true, steady: &away}
	eventTable      = &kind{name: "events", wave: laws, aside: true, steady: &once} // an event expires; it is not made again for as long as its cause stays
	verdictTable    = &kind{name: "verdicts", wave: laws, aside: true, steady: &away}
	reportTable     = &kind{name: "reports", wave: laws, aside: true, steady: &once}
	annotationTable = &kind{name: "annotations", wave: laws, aside: true, steady: &soon}
	leftoverTable   = &kind{name: "leftovers", wave: laws, aside: true, steady: &once}
)

func routeLooks(s *model.Settings) []time.Duration { return []time.Duration{s.Routes.InjectedPeriod} }

func sessionLooks(s *model.Settings) []time.Duration { return []time.Duration{s.Routes.SyncPeriod} }

func addressLooks(s *model.Settings) []time.Duration { return []time.Duration{s.Allocator.SyncPeriod} }

func serviceLooks(s *model.Settings) []time.Duration {
	if !s.Proxy {
		return nil
	}
	return []time.Duration{s.Services.SyncPeriod}
}

// ruleLooks are those of all who share the rules: they are read as often as the most anxious asks for.
func ruleLooks(s *model.Settings) []time.Duration {
	list := serviceLooks(s)
	if s.Firewall {
		list = append(list, s.Policy.SyncPeriod)
	}
	return list
}

// pace is how often the table is read as a whole again: what others changed without the kernel's telling us is found by then.
// Changes of ours never wait for it.
func (k *kind) pace(s *model.Settings) reconcile.Pace {
	if k.steady != nil {
		return *k.steady
	}
	p := reconcile.DefaultPace
	if k.looks == nil {
		return p
	}
	least := time.Duration(0)
	for _, d := range k.looks(s) {
		if d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	if least > 0 {
		p.Look = least
	}
	return p
}
