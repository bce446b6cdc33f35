package agent

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"k8s.io/client-go/rest"

	"kube-router/internal/driver/kubestatus"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/think"
)

// reporters is how many nodes tell the cluster of a remark on an object that every node sees. One would be
// silent while it is down; all would ask the API server as often as there are nodes.
const reporters = 3

// networkUnavailable is the node condition that keeps pods off a node without a network.
const networkUnavailable = "NetworkUnavailable"

// reporter tells the Kubernetes API what this node found: that its network is there, and remarks as Events.
// Its tables stand aside: they neither hold readiness up nor have anything to clean up.
//
// All but announce runs in the thinking goroutine.
type reporter struct {
	self       string
	model      *model.Model
	said       map[saying][]model.Remark
	moved      bool // nodes came or went in this turn
	events     *reconcile.Ledger[row.KubeEvent, row.KubeEvent]
	conditions *reconcile.Ledger[row.KubeConditionKey, row.KubeCondition]
}

// saying is one source of remarks: a stage with the unit that it planned, or an object's conversion.
type saying struct {
	stage think.ID // empty: the conversion of the object
	unit  model.Ref
}

// String names the claim to the source's events.
func (s saying) String() string { return string(s.stage) + ": " + s.unit.String() }

// newReporter opens the tables of what is reported.
func newReporter(t *tables, c *rest.Config, m *model.Model) (*reporter, error) {
	events, err := kubestatus.NewEvents(c, m.Settings.Node)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	r := &reporter{self: m.Settings.Node, model: m, said: map[saying][]model.Remark{}}
	if m.Settings.OwnsNetwork() {
		conditions, err := kubestatus.NewConditions(c, m.Settings.Node)
		if err != nil {
			return nil, fmt.Errorf("node conditions: %w", err)
		}
		r.conditions = open(t, conditionTable, conditions, &m.Settings)
	}
	r.events = open(t, eventTable, events, &m.Settings)
	return r, nil
}

// announce tells that pods have a network here.
func (r *reporter) announce() {
	if r.conditions == nil {
		return
	}
	r.conditions.Claim(reconcile.Owner{Name: "ready"}, row.KubeCondition{
		Node: r.self, Type: networkUnavailable, Message: "kube-router has written routes and rules of this node",
	})
}

// heard takes the remarks of an object's conversion; where nodes come and go, others report.
func (r *reporter) heard(c think.Change) {
	r.say(saying{unit: c.Ref}, model.RemarksOf(c.New))
	r.moved = r.moved || c.Ref.Kind == model.KindNode && (c.Old == nil || c.New == nil)
}

// settle ends a turn: nodes that came or went, however many, change who reports what.
func (r *reporter) settle() {
	if !r.moved {
		return
	}
	r.moved = false
	for s, list := range r.said {
		r.claim(s, list)
	}
}

// say replaces the remarks of one source.
func (r *reporter) say(s saying, list []model.Remark) {
	if len(list) == 0 {
		if _, ok := r.said[s]; ok {
			delete(r.said, s)
			r.claim(s, nil)
		}
		return
	}
	r.said[s] = list
	r.claim(s, list)
}

// planned takes the remarks of a stage.
func (r *reporter) planned(stage think.ID, u model.Ref, list []model.Remark) {
	r.say(saying{stage, u}, list)
}

func (r *reporter) claim(s saying, list []model.Remark) {
	var rows []row.KubeEvent
	for _, remark := range list {
		if e, ok := r.event(remark); ok {
			rows = append(rows, e)
		}
	}
	r.events.Claim(reconcile.Owner{Name: s.String()}, rows...)
}

// event puts a remark into the row of an event, if it is for this node to tell and about an object that the
// API knows. What concerns settings is told of our own Node.
func (r *reporter) event(m model.Remark) (row.KubeEvent, bool) {
	e := row.KubeEvent{Kind: string(m.Object.Kind), Namespace: m.Object.Name.Namespace, Name: m.Object.Name.Name, Note: m.Message}
	if m.Field != "" {
		e.Note = m.Field + ": " + m.Message
	}
	switch m.Object.Kind {
	case model.KindSettings, model.KindLink, model.KindPath:
		e.Kind, e.Namespace, e.Name = string(model.KindNode), "", r.self
		e.Note = m.String()
	}
	e.UID = r.uid(e)
	own := e.Kind == string(model.KindNode)
	return e, e.Name != "" && (own && e.Name == r.self || !own && r.chosen(m.Object))
}

// uid is what kubectl describe finds an object's events by.
func (r *reporter) uid(e row.KubeEvent) string {
	name := model.Name{Namespace: e.Namespace, Name: e.Name}
	switch model.Kind(e.Kind) {
	case model.KindService:
		if o := r.model.Services[name]; o != nil {
			return o.UID
		}
	case model.KindPod:
		if o := r.model.Pods[name]; o != nil {
			return o.UID
		}
	case model.KindPolicy:
		if o := r.model.Policies[name]; o != nil {
			return o.UID
		}
	case model.KindClusterPolicy:
		if o := r.model.Cluster[name.Name]; o != nil {
			return o.UID
		}
	case model.KindNodePolicy:
		if o := r.model.NodeRules[name.Name]; o != nil {
			return o.UID
		}
	case model.KindL2:
		if o := r.model.L2[name.Name]; o != nil {
			return o.UID
		}
	case model.KindBGPPeer:
		if o := r.model.BGPPeers[name.Name]; o != nil {
			return o.UID
		}
	case model.KindBGPAd:
		if o := r.model.BGPAds[name.Name]; o != nil {
			return o.UID
		}
	case model.KindPool:
		if o := r.model.Pools[name.Name]; o != nil {
			return o.UID
		}
	case model.KindEgress:
		if o := r.model.Gateways[name.Name]; o != nil {
			return o.UID
		}
	case model.KindNode:
		// Kubelet and kubectl know a Node's events by its name in the place of the UID.
		return e.Name
	}
	return ""
}

// chosen tells whether this node is among those that report on an object: the ones that rank first when
// each node is hashed together with the object (rendezvous hashing), so that all agree without talking.
func (r *reporter) chosen(o model.Ref) bool {
	mine, before := rank(r.self, o), 0
	for name := range r.model.Nodes {
		if name != r.self && rank(name, o) > mine {
			before++
		}
	}
	return before < reporters
}

func rank(node string, o model.Ref) uint64 {
	sum := sha256.Sum256([]byte(o.String() + "\x00" + node))
	return binary.BigEndian.Uint64(sum[:])
}
