package kubestatus

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"kube-router/internal/api"
	"kube-router/internal/row"
)

// Verdicts is the table of the status of objects about BGP. Of each object one node writes it, so what another wrote is read but not missed.
type Verdicts struct {
	api rest.Interface

	mu   sync.Mutex
	seen map[row.KubeObject][]metav1.Condition // as last read or written, for the time since which each holds
}

// NewVerdicts makes the table.
func NewVerdicts(c *rest.Config) (*Verdicts, error) {
	client, err := client(c, "/apis", api.Version)
	return &Verdicts{api: client, seen: map[row.KubeObject][]metav1.Condition{}}, err
}

// verdictKinds are the kinds that have such a status.
func verdictKinds() []api.Kind { return []api.Kind{api.BGPPeers, api.BGPAdvertisements} }

// Dump reads what the objects say. Kinds that aren't installed, or that we may not read, have none.
func (t *Verdicts) Dump(ctx context.Context) (map[row.KubeObject]row.KubeVerdict, error) {
	rows := map[row.KubeObject]row.KubeVerdict{}
	for _, k := range verdictKinds() {
		raw, err := t.api.Get().Resource(k.Resource).Do(ctx).Raw()
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", k.Resource, err)
		}
		var list api.RawList
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, fmt.Errorf("list %s: %w", k.Resource, err)
		}
		t.mu.Lock()
		for _, o := range list.Items {
			var s api.BGPStatus
			if len(o.Status) == 0 || json.Unmarshal(o.Status, &s) != nil {
				continue // whatever it is, it is not what we write
			}
			key := row.KubeObject{Kind: k.Kind, Name: o.Name}
			t.seen[key] = s.Conditions
			rows[key] = row.KubeVerdict{Object: key, Generation: s.ObservedGeneration, Nodes: s.Nodes, Accepted: reasonOf(s.Conditions, api.BGPAccepted)}
		}
		t.mu.Unlock()
	}
	return rows, nil
}

// Apply writes the status of objects. One that another node writes, or that is gone, is none of ours.
func (t *Verdicts) Apply(ctx context.Context, changes []row.Change[row.KubeObject, row.KubeVerdict]) error {
	failed := row.Failed[row.KubeObject]{}
	for _, c := range changes {
		if c.New == nil {
			continue
		}
		if err := t.patch(ctx, *c.New); err != nil && !apierrors.IsNotFound(err) {
			failed[c.Key] = err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func (t *Verdicts) patch(ctx context.Context, r row.KubeVerdict) error {
	t.mu.Lock()
	conditions := []metav1.Condition{since(t.seen[r.Object], metav1.Condition{
		Type: api.BGPAccepted, Status: statusOf(r.Accepted.Is), Reason: r.Accepted.Reason, Message: r.Accepted.Why, ObservedGeneration: r.Generation,
	})}
	t.mu.Unlock()
	body, err := json.Marshal(map[string]any{"status": api.BGPStatus{ObservedGeneration: r.Generation, Nodes: r.Nodes, Conditions: conditions}})
	if err != nil {
		return err
	}
	for _, k := range verdictKinds() {
		if k.Kind != r.Object.Kind {
			continue
		}
		if err := t.api.Patch(types.MergePatchType).Resource(k.Resource).Name(r.Object.Name).SubResource("status").Body(body).Do(ctx).Error(); err != nil {
			return fmt.Errorf("patch status of %s %s: %w", r.Object.Kind, r.Object.Name, err)
		}
	}
	t.mu.Lock()
	t.seen[r.Object] = conditions
	t.mu.Unlock()
	return nil
}
