package view

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"kube-router/internal/intent"
	"kube-router/internal/show"
)

// RuleHits is what one rule of a ClusterNetworkPolicy decided on this node since its tiers were written; in a rehearsal also what
// a NetworkPolicy, with others that isolate the same pods, would have refused.
type RuleHits struct {
	Policy, Tier, Direction string
	Index                   int    // of the rule in its direction
	Rule                    string // "spec.ingress[0]"
	Name                    string // as the rule calls itself
	Action                  string
	Rehearsed               bool   // it is what would be if audited policies were enforced
	Audit                   bool   // the policy is audited
	Packets, Bytes          uint64 // the first packets of flows, and what of a flow came before it was known
}

// Compare orders rules by tier, policy, direction and place.
func (h RuleHits) Compare(o RuleHits) int {
	return cmp.Or(strings.Compare(h.Tier, o.Tier), strings.Compare(h.Policy, o.Policy), strings.Compare(o.Direction, h.Direction), cmp.Compare(h.Index, o.Index))
}

// Ends tells whether the rule ends flows.
func (h RuleHits) Ends() bool {
	return h.Action == intent.Deny.String() || h.Action == intent.Refuse.String()
}

// hitsView prints what the rules of one ClusterNetworkPolicy decided here.
func (d *Daemon) hitsView(ctx context.Context, policy string) (show.Page, error) {
	list, err := d.Hits(ctx)
	list = slices.DeleteFunc(list, func(h RuleHits) bool { return h.Policy != policy || h.Rehearsed && !h.Audit })
	p := show.Page{Columns: []string{"tier", "rule", "name", "action", "packets", "bytes"}, Data: list}
	for _, h := range list {
		if h.Rehearsed {
			h.Action += ", if it were enforced"
		}
		p.Rows = append(p.Rows, []string{h.Tier, h.Rule, h.Name, h.Action, strconv.FormatUint(h.Packets, 10), strconv.FormatUint(h.Bytes, 10)})
	}
	if err == nil && len(list) == 0 {
		p.Note = "no ClusterNetworkPolicy, and no audited NetworkPolicy, " + policy + " has a rule for a pod of this node"
	}
	return p, err
}
