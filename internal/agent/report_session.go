package agent

import (
	"cmp"
	"fmt"

	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
	"kube-router/internal/watch/peer"
)

// The reasons of events about BGP sessions.
const (
	sessionUp   = "BGPSessionUp"
	sessionDown = "BGPSessionDown"
)

// session tells of a BGP session that came up or went down, as an event of our own Node (docs/decisions/0151). It runs in the goroutine that hears of it.
// Of a session with another node only some tell: when a node goes, all others lose one.
func (r *reporter) session(t peer.Turn) {
	if t.Up && !t.Fresh || t.Node != "" && !tells(r.self, t.Node, t.Nodes) {
		return
	}
	with := fmt.Sprintf("%s (AS %d)", t.Addr, t.ASN)
	if t.Node != "" {
		with = fmt.Sprintf("node %s, %s", t.Node, with)
	}
	e := row.KubeEvent{Kind: string(model.KindNode), Name: r.self, UID: r.self, Reason: sessionDown, At: t.Since}
	reason := cmp.Or(t.Reason, "unknown")
	switch {
	case t.Up:
		e.Reason, e.Normal, e.Note = sessionUp, true, "BGP session with "+with+" is up"
	case t.Vain:
		e.Note = "BGP session with " + with + " doesn't come up: " + reason
	default:
		e.Note = "BGP session with " + with + " is down: " + reason
	}
	r.events.Claim(reconcile.Owner{Name: fmt.Sprintf("%s %s", e.Reason, t.Addr)}, e)
}

// tells decides whether a node reports on its session with another: it ranks among the first of all that have one.
func tells(self, of string, all []string) bool {
	o := model.Ref{Kind: model.KindNode, Name: model.Name{Name: of}}
	mine, before := rank(self, o), 0
	for _, name := range all {
		if name != self && name != of && rank(name, o) > mine {
			before++
		}
	}
	return before < reporters
}
