package think

import "kube-router/internal/model"

// ID names a stage. It is part of remarks and of the log.
type ID string

// The stages. What each plans anew after which change is the table in flow.go.
const (
	Services ID = "service"    // frontends of Services, one Service a unit
	Policy   ID = "policy"     // NetworkPolicies: sets of peers, and pods of this node
	Advert   ID = "advert"     // BGP: the speaker, sessions with nodes, announcements of Services
	Host     ID = "host"       // bridge, sysctls and CNI file
	Egress   ID = "egress"     // what leaves with the node's address
	Engine   ID = "engine"     // what Services need without any Service
	Forward  ID = "forward"    // what chains of others are told about pods
	Route    ID = "route"      // routes and tunnels to other nodes, and learned prefixes
	Guard    ID = "guard"      // what a pod's port lets through
	Wire     ID = "encryption" // what nodes send each other through WireGuard
	Gateway  ID = "gateway"    // addresses of EgressGateways, and pods that leave from them
	Socket   ID = "socket"     // network namespaces whose sockets are served at connect()
	L2       ID = "l2"         // addresses that this node answers for on its links
	Report   ID = "report"     // what the API is told of policies
	Balancer ID = "balancer"   // addresses of LoadBalancer Services
)

// Everything is the unit that stands for a whole stage.
var Everything = model.Ref{}

// Stage is one planner in the thinking loop. A unit is what it can plan anew by itself: a Service, a policy, or the
// whole stage.
type Stage struct {
	ID    ID
	Kinds []model.Kind                                 // each object of these is a unit; KindSettings: what belongs to no object is one more
	Units func(*model.Model) []model.Ref               // all units, where Kinds can't tell; without either the stage has but one
	Plan  func(*model.Model, model.Ref) []model.Remark // claims the unit's intents; none when its object is gone
	Note  func(Change, func(model.Ref))                // keeps the stage's index and tells what it touches; may be nil

	// Parts: a turn plans no more of its units than its time allows, the others in turns that follow. Each unit's claims hold by themselves.
	Parts bool
	Rank  func(model.Ref) int // the order of units, see queue; nil: any
	More  func() []model.Ref  // units that planning touched; may be nil
}

// units are all units of the stage; nil: it has but one.
func (s *Stage) units(m *model.Model) (list []model.Ref) {
	if s.Units != nil {
		return s.Units(m)
	}
	for _, k := range s.Kinds {
		if k == model.KindSettings {
			list = append(list, model.Ref{Kind: k})
		}
		list = append(list, m.Refs(k)...)
	}
	return list
}

// Hooks are what the wiring does around turns, and hears of them. All run in the thinking goroutine; each may be nil.
type Hooks struct {
	Synced func(*model.Model) bool // every source has given its first whole picture; nil: at once
	Heard  []func(Change)          // hear every change of the model, after the stages
	Begin  func()                  // before a turn's plans
	Settle func(*model.Model)      // after a turn: carry intents on to rows
	Said   func(stage ID, unit model.Ref, list []model.Remark)
	Failed func(stage ID, unit model.Ref, what string, stack []byte) // a panic in planning a unit
}

// fill puts something harmless where nobody listens.
func (h *Hooks) fill() {
	if h.Synced == nil {
		h.Synced = func(*model.Model) bool { return true }
	}
	if h.Begin == nil {
		h.Begin = func() {}
	}
	if h.Settle == nil {
		h.Settle = func(*model.Model) {}
	}
	if h.Said == nil {
		h.Said = func(ID, model.Ref, []model.Remark) {}
	}
	if h.Failed == nil {
		h.Failed = func(ID, model.Ref, string, []byte) {}
	}
}
