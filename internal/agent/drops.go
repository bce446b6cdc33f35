package agent

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	drv "kube-router/internal/driver/nft"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/show"
	"kube-router/internal/view"
)

// dropCounts reads what the rules have counted, most first.
func (a *agent) dropCounts(ctx context.Context) ([]view.Dropped, error) {
	table, ok := a.firewall.table.(counting)
	if !ok {
		return nil, errNoFirewall
	}
	of := map[row.NftKey]view.Dropped{}
	for text, key := range nft.OtherDrops() {
		of[key] = view.Dropped{Direction: text}
	}
	err := a.thinker.Query(ctx, func(*model.Model) {
		for pod, wall := range a.network.Policies.Walls {
			for _, t := range wall.Tiers() {
				of[nft.LogChain(t.Direction, pod)] = view.Dropped{Pod: pod, Direction: t.Direction.String()}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for _, d := range []intent.Direction{intent.ToPod, intent.FromPod} {
		of[nft.HostLogChain(d)] = view.Dropped{Direction: d.String() + " of the node"}
	}
	counters := map[row.NftKey]drv.Counter{}
	for _, bridge := range []bool{false, true} {
		var chains []string
		for key := range of {
			if key.Bridge == bridge {
				chains = append(chains, key.Name)
			}
		}
		some, err := table.ChainCounters(ctx, bridge, chains...)
		if err != nil {
			return nil, err
		}
		maps.Copy(counters, some)
	}
	var list []view.Dropped
	for key, d := range of {
		if c, ok := counters[key]; ok {
			d.Packets, d.Bytes = c.Packets, c.Bytes
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(x, y view.Dropped) int {
		return cmp.Or(cmp.Compare(y.Packets, x.Packets), cmp.Compare(x.Pod, y.Pod), cmp.Compare(x.Direction, y.Direction))
	})
	return list, nil
}

// dropSamples are the counts as metrics; none where they can't be read soon.
func (a *agent) dropSamples() []show.Sample {
	if !a.o.Settings.Firewall {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	counts, err := a.dropCounts(ctx)
	if err != nil {
		a.log.Debug("drops of policies can't be read", "error", err)
		return nil
	}
	var list []show.Sample
	for _, d := range counts {
		namespace, name, _ := strings.Cut(d.Pod, "/") // no part of a name holds a slash (RFC 1123)
		list = append(list, show.Sample{
			Name: "policy_dropped_packets_total", Help: "Packets that network policies ended, by the pod and the direction as it sees them",
			Labels: []string{"namespace", namespace, "pod", name, "direction", d.Direction}, Value: float64(d.Packets), Counter: true,
		})
	}
	return list
}
