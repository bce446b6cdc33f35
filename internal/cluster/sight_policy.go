package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/yaml"

	"kube-router/internal/flow"
)

// PolicySeen is a policy with what it ended.
type PolicySeen struct {
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	Tier      string    `json:"tier,omitempty"`
	Priority  int32     `json:"priority"`
	Pods      int       `json:"pods"`    // that it selects, on the nodes that answered
	Ingress   int       `json:"ingress"` // rules; -1: it says nothing about that direction
	Egress    int       `json:"egress"`
	Audit     bool      `json:"audit"`
	Drops     uint64    `json:"drops"` // tries that it ended, alone or with others, of those that nodes remember
	Last      time.Time `json:"last,omitzero"`
	LastText  string    `json:"lastText,omitempty"`
}

// PoliciesSeen are the policies, and what was dropped by pod and direction, which is exact.
type PoliciesSeen struct {
	Seen[PolicySeen]
	Counters []CounterSeen `json:"counters"`
}

// CounterSeen is what one pod's policies ended in one direction since its rules were made; without a pod, what else ends packets.
type CounterSeen struct {
	Node      string `json:"node"`
	Pod       string `json:"pod,omitempty"`
	Direction string `json:"direction"`
	Packets   uint64 `json:"packets"`
	Bytes     uint64 `json:"bytes"`
}

type policyName struct{ kind, namespace, name string }

// kindOf tells the kinds apart: only those of the cluster have a tier.
func kindOf(tier string) string {
	if tier == "" {
		return "NetworkPolicy"
	}
	return "ClusterNetworkPolicy"
}

func (s Sight) policiesSeen(ctx context.Context, nodes []Node) PoliciesSeen {
	by := map[policyName]*PolicySeen{}
	seen := PoliciesSeen{Counters: []CounterSeen{}}
	seen.Items = []PolicySeen{}
	for _, a := range s.AskAll(ctx, nodes, "show", "policies", "-o", "json") {
		var list []struct {
			Name                  struct{ Namespace, Name string }
			Tier                  string
			Priority              int32
			Here, Ingress, Egress int
			Audit                 bool
		}
		silent, ok := a.into(&list)
		if !ok {
			seen.Silent = append(seen.Silent, silent)
		}
		for _, p := range list {
			key := policyName{kindOf(p.Tier), p.Name.Namespace, p.Name.Name}
			o := by[key]
			if o == nil {
				o = &PolicySeen{Kind: key.kind, Namespace: key.namespace, Name: key.name, Tier: p.Tier, Priority: p.Priority, Ingress: p.Ingress, Egress: p.Egress, Audit: p.Audit}
				by[key] = o
			}
			o.Pods += p.Here
		}
	}
	for _, a := range s.AskAll(ctx, nodes, "show", "drops", "-o", "json") {
		seen.dropped(a, by)
	}
	for _, o := range by {
		seen.Items = append(seen.Items, *o)
	}
	slices.SortFunc(seen.Items, func(a, b PolicySeen) int {
		return cmp.Or(-cmp.Compare(a.Drops, b.Drops), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(seen.Counters, func(a, b CounterSeen) int {
		return cmp.Or(-cmp.Compare(a.Packets, b.Packets), natural(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Direction, b.Direction))
	})
	return seen
}

// dropped adds what a node says of its drops.
func (p *PoliciesSeen) dropped(a Answer, by map[policyName]*PolicySeen) {
	var drops struct {
		Counters []struct {
			Pod, Direction string
			Packets, Bytes uint64
		} `json:"counters"`
		Drops []flow.Record `json:"drops"`
	}
	if _, ok := a.into(&drops); !ok {
		return // it was silent a moment ago, too, or the next answer has it
	}
	for _, c := range drops.Counters {
		if c.Packets > 0 {
			p.Counters = append(p.Counters, CounterSeen{a.Node.Name, c.Pod, c.Direction, c.Packets, c.Bytes})
		}
	}
	for _, r := range drops.Drops {
		if r.Flow == nil {
			continue
		}
		for _, d := range slices.Concat(r.Flow.IngressBy, r.Flow.EgressBy) {
			o := by[policyName{d.Kind, d.Namespace, d.Name}]
			if o == nil {
				continue // it has been deleted since
			}
			o.Drops++
			if r.Own != nil {
				o.Drops += max(r.Own.Times, 1) - 1
			}
			if r.Time.After(o.Last) {
				o.Last, o.LastText = r.Time, r.Line(true)
			}
		}
	}
}

// isNoKind tells that the API server doesn't know the kind.
func isNoKind(err error) bool { return apierrors.IsNotFound(err) }

// Policy is a policy as its author wrote it, as YAML.
func (s Sight) Policy(ctx context.Context, kind, namespace, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, listing)
	defer cancel()
	paths := map[string][]string{
		"NetworkPolicy": {"/apis/networking.k8s.io/v1/namespaces/" + namespace + "/networkpolicies/" + name},
		"ClusterNetworkPolicy": {"/apis/policy.networking.k8s.io/v1beta1/clusternetworkpolicies/" + name,
			"/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies/" + name},
	}[kind]
	raw, err := []byte(nil), fmt.Errorf("no such kind of policy")
	for _, path := range paths {
		if raw, err = s.core().Get().AbsPath(path).DoRaw(ctx); err == nil {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("read %s %s: %w", kind, name, err)
	}
	var o map[string]any
	if err := json.Unmarshal(raw, &o); err != nil {
		return "", fmt.Errorf("read %s %s: %w", kind, name, err)
	}
	k := kept{paths: []string{"apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.creationTimestamp", "metadata.generation", "spec"}}
	o = k.keep(o)
	if meta, ok := o["metadata"].(map[string]any); ok {
		delete(meta, "annotations") // none of them matters here
	}
	text, err := yaml.Marshal(o)
	return string(text), err
}
