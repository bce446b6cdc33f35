// Package stage carries what is true on to rows, stage by stage: what of a unit is planned (plan), put into a facility's words
// (render) and claimed (the ledgers). It decides nothing itself: a decision is plan's, words are render's.
//
// All of it runs in the thinking goroutine; package think says which stage plans what anew after which change.
package stage

import (
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/think"
)

// Network is all that decides about the network, with what it keeps from turn to turn.
type Network struct {
	Services *Services
	Policies *Policies
	Gateways *Gateways
	ledgers  Ledgers
}

// New makes the stages over ledgers.
func New(l Ledgers) *Network {
	n := &Network{Services: newServices(l), Policies: newPolicies(l), Gateways: newGateways(l), ledgers: l}
	n.Policies.leaves = n.Gateways.decided
	return n
}

// Stages are the stages in the order of a turn.
func (n *Network) Stages() []think.Stage {
	return append([]think.Stage{n.Services.stage(), n.Services.rows.stage(), n.Policies.stage(), n.ledgers.advertStage(), n.Gateways.stage(), n.ledgers.reportStage(n.planner)}, hostStages(n.ledgers)...)
}

// planner is that of policies; nil before the first picture.
func (n *Network) planner() *policy.Planner { return n.Policies.Planner }

// Begin starts a turn: what it claims is taken whole or not at all.
func (n *Network) Begin() { n.ledgers.Nft.Begin() }

// Settle ends a turn: what it decided about Services and policies goes on to rows, and the lanes may take them. Contain runs what
// renders a unit of a stage, so that a panic there stays with that unit.
func (n *Network) Settle(m *model.Model, contain func(think.ID, model.Ref, func())) {
	n.Services.settle(contain)
	n.Policies.settle(m)
	n.Gateways.settle(m)
	n.ledgers.Nft.End()
}
