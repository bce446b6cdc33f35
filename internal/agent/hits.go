package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/view"
)

// ruleHits are the flows that each rule of ClusterNetworkPolicies decided on this node since the rules of its tier were written: a
// flow's first packet alone is judged. Pods with different tiers have a rule several times; here it is one.
func (a *agent) ruleHits(ctx context.Context) ([]view.RuleHits, error) {
	table, ok := a.firewall.table.(counting)
	if !ok {
		return nil, errNoFirewall
	}
	tiers := map[string]*intent.Tier{}
	if err := a.thinker.Query(ctx, func(*model.Model) {
		for _, wall := range a.network.Policies.Walls {
			for _, t := range wall.Tiers() {
				tiers[t.ID] = t
			}
		}
	}); err != nil {
		return nil, err
	}
	of, chains := map[row.NftKey]view.RuleHits{}, map[string]struct{}{}
	for _, t := range tiers {
		for key, i := range nft.RuleCounters(t) {
			r := &t.Rules[i]
			chains[key.Name] = struct{}{}
			of[key] = view.RuleHits{Policy: r.Source.Policy, Tier: t.Level.String(), Direction: t.Direction.String(), Index: r.Source.Index,
				Rule: fmt.Sprintf("spec.%s[%d]", t.Direction, r.Source.Index), Name: r.Source.Name, Action: r.Action.String()}
		}
	}
	counters, err := table.ChainCounters(ctx, false, slices.Collect(maps.Keys(chains))...)
	if err != nil {
		return nil, err
	}
	sum := map[view.RuleHits]view.RuleHits{}
	for key, which := range of {
		all, ok := sum[which]
		if !ok {
			all = which
		}
		all.Packets += counters[key].Packets
		all.Bytes += counters[key].Bytes
		sum[which] = all
	}
	return slices.SortedFunc(maps.Values(sum), view.RuleHits.Compare), nil
}
