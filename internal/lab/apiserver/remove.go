package apiserver

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// remove deletes an object or, while a finalizer or a kubelet holds it, marks it as being deleted. The second result says that it
// is gone. Deleting a namespace takes everything in it along at once, where a cluster would pass through phase Terminating.
func (s *Store) remove(k *kind, key types.NamespacedName, opts metav1.DeleteOptions, graceful bool) (*entry, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tableOf(k)
	was := t.items[key]
	if was == nil {
		return nil, false, apierrors.NewNotFound(k.gr(), key.Name)
	}
	if err := preconditions(k, was, opts.Preconditions); err != nil {
		return nil, false, err
	}
	if len(opts.DryRun) > 0 {
		return was, true, nil
	}
	obj := t.kind.decodeLoosely(was.raw)
	if wait := graceFor(obj, opts, graceful); wait > 0 || len(obj.GetFinalizers()) > 0 {
		e, err := s.markDeleted(t, obj, was, wait)
		return e, false, err
	}
	if _, ok := obj.(*corev1.Namespace); ok {
		if err := s.empty(key.Name); err != nil {
			return nil, false, err
		}
	}
	last, err := s.drop(t, was)
	return last, err == nil, err
}

func preconditions(k *kind, was *entry, p *metav1.Preconditions) error {
	switch {
	case p == nil:
		return nil
	case p.UID != nil && *p.UID != was.uid:
		return apierrors.NewConflict(k.gr(), was.key.Name, fmt.Errorf("precondition failed: UID in precondition: %v, UID in object meta: %v", *p.UID, was.uid))
	case p.ResourceVersion != nil && *p.ResourceVersion != strconv.FormatUint(was.rv, 10):
		return apierrors.NewConflict(k.gr(), was.key.Name, fmt.Errorf("precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", *p.ResourceVersion, was.rv))
	}
	return nil
}

// graceFor is how long a kubelet has to end the pod; 0 for anything that no kubelet holds.
func graceFor(obj Object, opts metav1.DeleteOptions, graceful bool) int64 {
	pod, ok := obj.(*corev1.Pod)
	if !ok || !graceful || pod.Spec.NodeName == "" || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return 0
	}
	wait := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		wait = *pod.Spec.TerminationGracePeriodSeconds
	}
	if opts.GracePeriodSeconds != nil {
		wait = max(0, *opts.GracePeriodSeconds)
	}
	return wait
}

// markDeleted sets deletionTimestamp; a second deletion can only bring it forward.
func (s *Store) markDeleted(t *table, obj Object, was *entry, wait int64) (*entry, error) {
	if obj.GetDeletionTimestamp() != nil && wait >= grace(obj) {
		return was, nil
	}
	at := metav1.NewTime(time.Now().Add(time.Duration(wait) * time.Second).Truncate(time.Second))
	obj.SetDeletionTimestamp(&at)
	obj.SetDeletionGracePeriodSeconds(&wait)
	return s.save(t, obj, nil, manner{})
}

// grace is what is left to wait by the object's own word.
func grace(obj Object) int64 {
	if g := obj.GetDeletionGracePeriodSeconds(); g != nil {
		return *g
	}
	return 0
}

// empty drops everything in a namespace. The caller holds the lock.
func (s *Store) empty(namespace string) error {
	for _, t := range s.tables() {
		if !t.kind.namespaced {
			continue
		}
		for key, e := range t.items {
			if key.Namespace != namespace {
				continue
			}
			if _, err := s.drop(t, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// metaOf reads only the metadata of a stored object.
func metaOf(raw []byte) (*metav1.ObjectMeta, error) {
	var obj struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &obj); err != nil {
		return nil, fmt.Errorf("reading metadata: %w", err)
	}
	return &obj.Metadata, nil
}
