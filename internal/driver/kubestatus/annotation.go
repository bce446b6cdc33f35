package kubestatus

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"kube-router/internal/row"
)

// Annotations is the table of the annotations that the daemon writes on its own Node. They go through the Node's status, which
// lets metadata through (Kubernetes' nodeStatusStrategy keeps the spec alone), so no right is needed beyond that of conditions.
type Annotations struct {
	api  rest.Interface
	node string
}

// NewAnnotations makes the table of a Node's annotations.
func NewAnnotations(c *rest.Config, node string) (*Annotations, error) {
	api, err := client(c, "/api", corev1.SchemeGroupVersion)
	return &Annotations{api: api, node: node}, err
}

// Dump reads those annotations of the Node that only its daemon writes.
func (t *Annotations) Dump(ctx context.Context) (map[row.KubeAnnotationKey]row.KubeAnnotation, error) {
	rows := map[row.KubeAnnotationKey]row.KubeAnnotation{}
	var n corev1.Node
	err := t.api.Get().Resource("nodes").Name(t.node).Do(ctx).Into(&n)
	if apierrors.IsNotFound(err) {
		return rows, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get node %s: %w", t.node, err)
	}
	for _, name := range []string{row.AnnotationWireKey, row.AnnotationWireAlso, row.AnnotationWirePort, row.AnnotationLacking} {
		if v, ok := n.Annotations[name]; ok {
			r := row.KubeAnnotation{Node: t.node, Name: name, Value: v}
			rows[r.Key()] = r
		}
	}
	return rows, nil
}

// Apply writes all changes as one, so that nobody sees a half of them.
func (t *Annotations) Apply(ctx context.Context, changes []row.Change[row.KubeAnnotationKey, row.KubeAnnotation]) error {
	values := map[string]*string{}
	for _, c := range changes {
		if values[c.Key.Name] = nil; c.New != nil {
			values[c.Key.Name] = &c.New.Value
		}
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": values}})
	if err != nil {
		return err
	}
	err = t.api.Patch(types.MergePatchType).Resource("nodes").Name(t.node).SubResource("status").Body(body).Do(ctx).Error()
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("annotate node %s: %w", t.node, err)
	}
	return nil
}
