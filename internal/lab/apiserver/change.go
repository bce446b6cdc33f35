package apiserver

import (
	"crypto/rand"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// A scope says which part of an object a change may touch.
type scope int

const (
	scopeMain   scope = iota // everything but the status
	scopeStatus              // status and metadata
	scopeWhole               // everything: the Go side of the store
)

// A manner is how a change is made.
type manner struct {
	scope  scope
	dryRun bool
}

// create adds an object, filling in what the server decides.
func (s *Store) create(k *kind, obj Object, how manner) (*entry, error) {
	if obj.GetResourceVersion() != "" {
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.createLocked(k, obj, how)
}

func (s *Store) createLocked(k *kind, obj Object, how manner) (*entry, error) {
	t := s.tableOf(k)
	if obj.GetName() == "" && obj.GetGenerateName() != "" {
		obj.SetName(obj.GetGenerateName() + strings.ToLower(rand.Text()[:5]))
	}
	key := types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}
	if t.items[key] != nil {
		return nil, apierrors.NewAlreadyExists(k.gr(), key.Name)
	}
	if k.namespaced && s.tables()["namespaces"].items[types.NamespacedName{Name: key.Namespace}] == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, key.Namespace)
	}
	born(k, obj, how.scope)
	return s.finish(t, obj, nil, how)
}

// born sets what only the server decides of a new object.
func born(k *kind, obj Object, scope scope) {
	obj.SetUID(uuid.NewUUID())
	obj.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	obj.SetManagedFields(nil)
	obj.SetSelfLink("")
	obj.SetGeneration(0)
	if k.generation {
		obj.SetGeneration(1)
	}
	if k.hasStatus && !k.statusOnCreate && scope == scopeMain {
		clearPart("Status", obj)
	}
}

// update replaces an object by what change makes of it. Change runs under the lock and must not keep what it is given.
func (s *Store) update(k *kind, key types.NamespacedName, how manner, change func(was *entry) (Object, error)) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tableOf(k)
	was := t.items[key]
	if was == nil {
		return nil, apierrors.NewNotFound(k.gr(), key.Name)
	}
	obj, err := change(was)
	if err != nil {
		return nil, err
	}
	if err := samePlace(k, obj, was); err != nil {
		return nil, err
	}
	old := t.kind.decodeLoosely(was.raw)
	inherit(t.kind, obj, old, how.scope)
	return s.finish(t, obj, &previous{was, old}, how)
}

// samePlace refuses an update that is about another object or another version of it.
func samePlace(k *kind, obj Object, was *entry) error {
	switch {
	case obj.GetName() != was.key.Name || obj.GetNamespace() != was.key.Namespace:
		return apierrors.NewBadRequest(fmt.Sprintf("the object's name %s/%s does not match the name in the URL %s", obj.GetNamespace(), obj.GetName(), was.key))
	case obj.GetUID() != "" && obj.GetUID() != was.uid:
		return apierrors.NewConflict(k.gr(), was.key.Name, fmt.Errorf("precondition failed: UID in precondition: %v, UID in object meta: %v", obj.GetUID(), was.uid))
	case obj.GetResourceVersion() != "" && obj.GetResourceVersion() != strconv.FormatUint(was.rv, 10):
		return apierrors.NewConflict(k.gr(), was.key.Name, fmt.Errorf("the object has been modified; please apply your changes to the latest version and try again"))
	}
	return nil
}

// inherit takes from the old object what an update can't change.
func inherit(k *kind, obj, old Object, scope scope) {
	obj.SetUID(old.GetUID())
	obj.SetCreationTimestamp(old.GetCreationTimestamp())
	obj.SetDeletionTimestamp(old.GetDeletionTimestamp())
	obj.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	obj.SetGeneration(old.GetGeneration())
	obj.SetGenerateName(old.GetGenerateName())
	obj.SetManagedFields(nil)
	obj.SetSelfLink("")
	switch {
	case scope == scopeMain && k.hasStatus:
		copyPart("Status", obj, old)
	case scope == scopeStatus:
		copyPart("Spec", obj, old)
	}
}

// previous is the version of an object that a change replaces.
type previous struct {
	entry *entry
	obj   Object
}

// finish defaults, validates, allocates, numbers, encodes and stores.
func (s *Store) finish(t *table, obj Object, prev *previous, how manner) (*entry, error) {
	k := t.kind
	var old Object
	if prev != nil {
		old = prev.obj
	}
	if k.defaults != nil {
		k.defaults(obj)
	}
	errs := validateMeta(k, obj)
	errs = append(errs, s.claims.inherit(obj, old, how.scope)...)
	if k.validate != nil {
		errs = append(errs, k.validate(obj, old)...)
	}
	if len(errs) == 0 {
		errs = s.claims.allocate(obj)
	}
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(k.gvk().GroupKind(), obj.GetName(), errs)
	}
	if prev != nil && k.generation && substanceDiffers(obj, old) {
		obj.SetGeneration(old.GetGeneration() + 1)
	}
	return s.save(t, obj, prev, how)
}

// save stores a finished object, unless nothing changed or it was only waiting for its last finalizer.
func (s *Store) save(t *table, obj Object, prev *previous, how manner) (*entry, error) {
	k := t.kind
	if prev != nil {
		obj.SetResourceVersion(strconv.FormatUint(prev.entry.rv, 10))
		if raw, err := k.encode(obj); err == nil && string(raw) == string(prev.entry.raw) {
			return prev.entry, nil
		}
	}
	obj.SetResourceVersion(strconv.FormatUint(s.rv+1, 10))
	raw, err := k.encode(obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	e, err := newEntry(k, raw, obj, s.rv+1)
	if err != nil || how.dryRun {
		return e, err
	}
	s.commit(t, e)
	if prev != nil && obj.GetDeletionTimestamp() != nil && len(obj.GetFinalizers()) == 0 && grace(obj) == 0 {
		return s.drop(t, e)
	}
	return e, nil
}

// decodeLoosely reads a stored object; of one that was inserted raw and does not fit its type only the metadata.
func (k *kind) decodeLoosely(raw []byte) Object {
	if obj, _, err := k.decode(raw); err == nil {
		return obj
	}
	obj := k.create()
	if meta, err := metaOf(raw); err == nil {
		part(obj, "ObjectMeta").Set(reflect.ValueOf(*meta))
	}
	return obj
}

// validateMeta checks names, labels, annotations and owner references as for every kind.
func validateMeta(k *kind, obj Object) field.ErrorList {
	meta, ok := part(obj, "ObjectMeta").Addr().Interface().(*metav1.ObjectMeta)
	if !ok {
		return nil
	}
	return apivalidation.ValidateObjectMeta(meta, k.namespaced, k.validateName, field.NewPath("metadata"))
}

// substanceDiffers compares all but metadata and status.
func substanceDiffers(a, b Object) bool {
	av, bv := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range av.NumField() {
		switch av.Type().Field(i).Name {
		case "TypeMeta", "ObjectMeta", "Status":
		default:
			if !reflect.DeepEqual(av.Field(i).Interface(), bv.Field(i).Interface()) {
				return true
			}
		}
	}
	return false
}
