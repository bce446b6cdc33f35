package kubestatus

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"kube-router/internal/api"
	"kube-router/internal/row"
)

// Pools is the table of the status of AddressPools. Only the leader may run a lane on it.
type Pools struct {
	api rest.Interface

	mu   sync.Mutex
	seen map[string][]metav1.Condition // as last read or written, for the time since which each holds
}

// NewPools makes the table.
func NewPools(c *rest.Config) (*Pools, error) {
	client, err := client(c, "/apis", api.Version)
	return &Pools{api: client, seen: map[string][]metav1.Condition{}}, err
}

// Dump reads what AddressPools say. Where the kind isn't installed there are none.
func (t *Pools) Dump(ctx context.Context) (map[string]row.KubePool, error) {
	rows := map[string]row.KubePool{}
	raw, err := t.api.Get().Resource(api.AddressPools.Resource).Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		return rows, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list address pools: %w", err)
	}
	var list api.RawList
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("list address pools: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range list.Items {
		var s api.AddressPoolStatus
		if len(o.Status) == 0 || json.Unmarshal(o.Status, &s) != nil {
			continue // whatever it is, it is not what we write
		}
		t.seen[o.Name] = s.Conditions
		rows[o.Name] = row.KubePool{
			Name: o.Name, Generation: s.ObservedGeneration, V4: usageRow(s.IPv4), V6: usageRow(s.IPv6),
			Ready: reasonOf(s.Conditions, api.PoolReady), Conflict: reasonOf(s.Conditions, api.PoolConflicting),
			Exhausted: reasonOf(s.Conditions, api.PoolExhausted),
		}
	}
	return rows, nil
}

func usageRow(u *api.Usage) row.KubeUsage {
	if u == nil {
		return row.KubeUsage{}
	}
	return row.KubeUsage{Has: true, Total: u.Total, Assigned: u.Assigned, Available: u.Available}
}

func reasonOf(list []metav1.Condition, typ string) row.KubeReason {
	for _, c := range list {
		if c.Type == typ {
			return row.KubeReason{Is: c.Status == metav1.ConditionTrue, Reason: c.Reason, Why: c.Message}
		}
	}
	return row.KubeReason{}
}

// Apply writes each pool's status. A pool that is gone has none.
func (t *Pools) Apply(ctx context.Context, changes []row.Change[string, row.KubePool]) error {
	failed := row.Failed[string]{}
	for _, c := range changes {
		if c.New == nil {
			continue
		}
		if err := t.patch(ctx, *c.New); err != nil {
			failed[c.Key] = err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func (t *Pools) patch(ctx context.Context, r row.KubePool) error {
	t.mu.Lock()
	s := api.AddressPoolStatus{ObservedGeneration: r.Generation, IPv4: usageOf(r.V4), IPv6: usageOf(r.V6)}
	for _, c := range []struct {
		typ string
		row.KubeReason
	}{{api.PoolReady, r.Ready}, {api.PoolConflicting, r.Conflict}, {api.PoolExhausted, r.Exhausted}} {
		s.Conditions = append(s.Conditions, since(t.seen[r.Name], metav1.Condition{
			Type: c.typ, Status: statusOf(c.Is), Reason: c.Reason, Message: c.Why, ObservedGeneration: r.Generation,
		}))
	}
	t.mu.Unlock()
	// A merge patch takes away what is absent only where it says null.
	body, err := json.Marshal(map[string]any{"status": map[string]any{
		"observedGeneration": s.ObservedGeneration, "ipv4": s.IPv4, "ipv6": s.IPv6, "conditions": s.Conditions,
	}})
	if err != nil {
		return err
	}
	err = t.api.Patch(types.MergePatchType).Resource(api.AddressPools.Resource).Name(r.Name).SubResource("status").Body(body).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("patch status of address pool %s: %w", r.Name, err)
	}
	t.mu.Lock()
	t.seen[r.Name] = s.Conditions
	t.mu.Unlock()
	return nil
}

func usageOf(u row.KubeUsage) *api.Usage {
	if !u.Has {
		return nil
	}
	return &api.Usage{Total: u.Total, Assigned: u.Assigned, Available: u.Available}
}

func statusOf(is bool) metav1.ConditionStatus {
	if is {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}

// since gives a condition the time since which it is as it is.
func since(old []metav1.Condition, c metav1.Condition) metav1.Condition {
	c.LastTransitionTime = metav1.NewTime(time.Now())
	for _, o := range old {
		if o.Type == c.Type && o.Status == c.Status && !o.LastTransitionTime.IsZero() {
			c.LastTransitionTime = o.LastTransitionTime
		}
	}
	return c
}
