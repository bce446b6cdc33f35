package kubestatus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"kube-router/internal/row"
)

// reasonReady is the reason of every condition that we write, by which we know it again.
const reasonReady = "KubeRouterReady"

// Conditions is the table of our conditions of one Node.
type Conditions struct {
	api  rest.Interface
	node string
}

// NewConditions makes the table of a Node's conditions.
func NewConditions(c *rest.Config, node string) (*Conditions, error) {
	api, err := client(c, "/api", corev1.SchemeGroupVersion)
	return &Conditions{api: api, node: node}, err
}

// Dump reads our conditions of the Node.
func (t *Conditions) Dump(ctx context.Context) (map[row.KubeConditionKey]row.KubeCondition, error) {
	var n corev1.Node
	err := t.api.Get().Resource("nodes").Name(t.node).Do(ctx).Into(&n)
	if err != nil {
		return nil, fmt.Errorf("get node %s: %w", t.node, err)
	}
	rows := map[row.KubeConditionKey]row.KubeCondition{}
	for _, c := range n.Status.Conditions {
		if c.Reason == reasonReady {
			r := row.KubeCondition{Node: t.node, Type: string(c.Type), Status: c.Status == corev1.ConditionTrue, Message: c.Message}
			rows[r.Key()] = r
		}
	}
	return rows, nil
}

// Apply patches the conditions in. Conditions merge by type, so kubelet's own are never touched, and a
// condition that another network left behind becomes ours.
func (t *Conditions) Apply(ctx context.Context, changes []row.Change[row.KubeConditionKey, row.KubeCondition]) error {
	failed := row.Failed[row.KubeConditionKey]{}
	for _, c := range changes {
		err := t.patch(ctx, c)
		if err != nil && !(c.New == nil && apierrors.IsNotFound(err)) {
			failed[c.Key] = err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func (t *Conditions) patch(ctx context.Context, c row.Change[row.KubeConditionKey, row.KubeCondition]) error {
	var element any = map[string]string{"type": c.Key.Type, "$patch": "delete"}
	if c.New != nil {
		element = condition(*c.New, metav1.NewTime(time.Now()))
	}
	body, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []any{element}}})
	if err != nil {
		return err
	}
	err = t.api.Patch(types.StrategicMergePatchType).Resource("nodes").Name(c.Key.Node).SubResource("status").Body(body).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("patch status of node %s: %w", c.Key.Node, err)
	}
	return nil
}

func condition(r row.KubeCondition, now metav1.Time) corev1.NodeCondition {
	status := corev1.ConditionFalse
	if r.Status {
		status = corev1.ConditionTrue
	}
	return corev1.NodeCondition{
		Type: corev1.NodeConditionType(r.Type), Status: status, Reason: reasonReady, Message: r.Message,
		LastHeartbeatTime: now, LastTransitionTime: now,
	}
}
