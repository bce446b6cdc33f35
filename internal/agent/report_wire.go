package agent

import (
	"fmt"
	"time"

	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/row"
)

// The reasons of events about nodes that are spoken with through WireGuard.
const (
	wireSilent = "EncryptionPeerSilent"
	wireHeard  = "EncryptionPeerHeard"
)

// wire tells, as an event of our own Node, of another node that answers nothing through WireGuard, or does again. Who tells is as with BGP sessions
// between nodes (docs/decisions/0151): when a node goes, all others miss it.
func (r *reporter) wire(node, key string, silent bool, since time.Time) {
	e := row.KubeEvent{Kind: string(model.KindNode), Name: r.self, UID: r.self, At: time.Now()}
	if silent {
		e.Reason = wireSilent
		e.Note = fmt.Sprintf("node %s, key %s…, has answered nothing through WireGuard since %s, though it is sent something: is it up, and its UDP port open? What is meant for its pods is lost, not sent in clear",
			node, key, since.UTC().Format(time.RFC3339))
	} else {
		e.Reason, e.Normal, e.Note = wireHeard, true, fmt.Sprintf("node %s, key %s…, answers through WireGuard again", node, key)
	}
	r.events.Claim(reconcile.Owner{Name: e.Reason + " " + node}, e)
}
