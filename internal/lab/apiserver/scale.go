package apiserver

import (
	"encoding/json"
	"fmt"
	"net/http"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// scale serves the /scale subresource, which is how kubectl scale changes spec.replicas.
func (c *call) scale() error {
	if !c.kind.scale {
		return c.notFound()
	}
	switch c.r.Method {
	case http.MethodGet:
		e := c.server.entry(c.server.tableOf(c.kind), c.key)
		if e == nil {
			return apierrors.NewNotFound(c.kind.gr(), c.key.Name)
		}
		return c.showScale(e)
	case http.MethodPut, http.MethodPatch:
		body, err := c.scaleBody()
		if err != nil {
			return err
		}
		e, err := c.server.Store.update(c.kind, c.key, c.manner(), func(was *entry) (Object, error) { return c.rescaled(was, body) })
		if err != nil {
			return err
		}
		return c.showScale(e)
	}
	return apierrors.NewMethodNotSupported(c.kind.gr(), c.r.Method)
}

func (c *call) scaleBody() ([]byte, error) {
	if c.r.Method == http.MethodPatch {
		return c.body()
	}
	return c.bodyAs(&autoscalingv1.Scale{})
}

// rescaled is the object with the replicas that the body asks for.
func (c *call) rescaled(was *entry, body []byte) (Object, error) {
	obj := c.kind.decodeLoosely(was.raw)
	now := scaleOf(obj)
	raw, err := json.Marshal(now)
	if err != nil {
		return nil, err
	}
	if c.r.Method == http.MethodPatch {
		scaleKind := &kind{kind: "Scale", create: of[autoscalingv1.Scale]}
		if body, err = patched(scaleKind, types.PatchType(c.media()), raw, body); err != nil {
			return nil, err
		}
	}
	var want autoscalingv1.Scale
	if err := json.Unmarshal(body, &want); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("decoding Scale: %v", err))
	}
	obj.SetResourceVersion(want.ResourceVersion)
	switch obj := obj.(type) {
	case *appsv1.Deployment:
		obj.Spec.Replicas = &want.Spec.Replicas
	case *appsv1.ReplicaSet:
		obj.Spec.Replicas = &want.Spec.Replicas
	}
	return obj, nil
}

func (c *call) showScale(e *entry) error {
	writeJSON(c.w, http.StatusOK, scaleOf(c.kind.decodeLoosely(e.raw)))
	return nil
}

func scaleOf(obj Object) *autoscalingv1.Scale {
	s := &autoscalingv1.Scale{
		TypeMeta: metav1.TypeMeta{APIVersion: "autoscaling/v1", Kind: "Scale"},
		ObjectMeta: metav1.ObjectMeta{Name: obj.GetName(), Namespace: obj.GetNamespace(), UID: obj.GetUID(),
			ResourceVersion: obj.GetResourceVersion(), CreationTimestamp: obj.GetCreationTimestamp()},
	}
	var replicas *int32
	var chosen *metav1.LabelSelector
	switch obj := obj.(type) {
	case *appsv1.Deployment:
		replicas, chosen, s.Status.Replicas = obj.Spec.Replicas, obj.Spec.Selector, obj.Status.Replicas
	case *appsv1.ReplicaSet:
		replicas, chosen, s.Status.Replicas = obj.Spec.Replicas, obj.Spec.Selector, obj.Status.Replicas
	}
	if replicas != nil {
		s.Spec.Replicas = *replicas
	}
	s.Status.Selector = metav1.FormatLabelSelector(chosen)
	return s
}
