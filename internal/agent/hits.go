package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/show"
	"kube-router/internal/view"
)

// ruleHits are the flows that each rule of ClusterNetworkPolicies decided on this node since the rules of its tier were written, and
// what rules of both kinds would have in rehearsals: a flow's first packet alone is judged. Pods with different tiers have a rule several
// times; here it is one.
func (a *agent) ruleHits(ctx context.Context) ([]view.RuleHits, error) {
	return a.hits(ctx, func(wall *intent.Firewall) []*intent.Tier { return slices.Concat(wall.Tiers(), wall.Rehearsed()) }, func(*intent.Tier) bool { return true })
}

// hits are the rules of those tiers that a function gives of each pod's firewall.
func (a *agent) hits(ctx context.Context, tiersOf func(*intent.Firewall) []*intent.Tier, ofHost func(*intent.Tier) bool) ([]view.RuleHits, error) {
	table, ok := a.firewall.table.(counting)
	if !ok {
		return nil, errNoFirewall
	}
	tiers := map[string]*intent.Tier{}
	if err := a.thinker.Query(ctx, func(*model.Model) {
		for _, wall := range a.network.Policies.Walls {
			for _, t := range tiersOf(wall) {
				tiers[t.ID] = t
			}
		}
		if host := a.network.Policies.Host; host != nil {
			for _, t := range host.All() {
				if ofHost(t) {
					tiers[t.ID] = t
				}
			}
		}
	}); err != nil {
		return nil, err
	}
	of, chains := map[row.NftKey][]view.RuleHits{}, map[string]struct{}{}
	for _, t := range tiers {
		for key, i := range nft.RuleCounters(t) {
			chains[key.Name] = struct{}{}
			of[key] = hitBy(t, i)
		}
	}
	if len(chains) == 0 {
		return nil, nil
	}
	counters, err := table.ChainCounters(ctx, false, slices.Collect(maps.Keys(chains))...)
	if err != nil {
		return nil, err
	}
	sum := map[view.RuleHits]view.RuleHits{}
	for key, list := range of {
		for _, which := range list {
			all, ok := sum[which]
			if !ok {
				all = which
			}
			all.Packets += counters[key].Packets
			all.Bytes += counters[key].Bytes
			sum[which] = all
		}
	}
	return slices.SortedFunc(maps.Values(sum), view.RuleHits.Compare), nil
}

// hitBy is whose account a counter of a tier is: a rule's, or that of the NetworkPolicies which together refuse the rest.
func hitBy(t *intent.Tier, i int) (list []view.RuleHits) {
	hit := view.RuleHits{Tier: tierName(t), Direction: t.Direction.String(), Rehearsed: t.Rehearsal}
	if i == nft.OfDefault {
		hit.Rule, hit.Action, hit.Audit = "spec."+hit.Direction, t.Default.String(), true
		for _, hit.Policy = range t.Policies {
			list = append(list, hit)
		}
		return list
	}
	r := &t.Rules[i]
	hit.Policy, hit.Index, hit.Name, hit.Action, hit.Audit = r.Source.Policy, r.Source.Index, r.Source.Name, r.Action.String(), r.Source.Audit
	hit.Rule = fmt.Sprintf("spec.%s[%d]", t.Direction, r.Source.Index)
	return []view.RuleHits{hit}
}

// rehearsedSamples are what rehearsals would have ended, as metrics; none where they can't be read soon.
func (a *agent) rehearsedSamples() (list []show.Sample) {
	if !a.o.Settings.Firewall {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	hits, err := a.hits(ctx, (*intent.Firewall).Rehearsed, func(t *intent.Tier) bool { return t.Rehearsal })
	if err != nil {
		a.log.Debug("what rehearsals count can't be read", "error", err)
		return nil
	}
	for _, h := range hits {
		if h.Ends() {
			list = append(list, show.Sample{
				Name: "policy_rehearsed_packets_total", Help: "Packets that would end if audited policies were enforced, by the policy and rule that would end them",
				Labels: []string{"tier", h.Tier, "policy", h.Policy, "rule", h.Rule}, Value: float64(h.Packets), Counter: true,
			})
		}
	}
	return list
}

// tierName is the tier as its API names it; that of NodePolicies is told from that of ClusterNetworkPolicies.
func tierName(t *intent.Tier) string {
	if t.Place != intent.AtPod {
		return "Node " + t.Level.String()
	}
	return t.Level.String()
}
