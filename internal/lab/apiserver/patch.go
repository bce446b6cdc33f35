package apiserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// patched is the object after the patch, still as JSON.
func patched(k *kind, typ types.PatchType, raw, patch []byte) ([]byte, error) {
	switch typ {
	case types.JSONPatchType: // RFC 6902
		ops, err := jsonpatch.DecodePatch(patch)
		if err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("decoding the patch: %v", err))
		}
		out, err := ops.Apply(raw)
		if err != nil {
			return nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "patch", k.gr(), "", err.Error(), 0, true)
		}
		return out, nil
	case types.MergePatchType: // RFC 7396
		out, err := jsonpatch.MergePatch(raw, patch)
		if err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("applying the patch: %v", err))
		}
		return out, nil
	case types.StrategicMergePatchType:
		if k.custom {
			return nil, unsupportedMedia(string(typ)) // as a cluster does: nobody told it how lists of such a kind merge
		}
		out, err := strategicpatch.StrategicMergePatch(raw, patch, k.create())
		if err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("applying the patch: %v", err))
		}
		return out, nil
	}
	return nil, unsupportedMedia(string(typ))
}

// patch applies a patch to an existing object.
func (s *Store) patch(k *kind, key types.NamespacedName, typ types.PatchType, patch []byte, how manner, check func([]error) error) (*entry, error) {
	return s.update(k, key, how, func(was *entry) (Object, error) {
		shown, err := k.toShown(was.raw)
		if err != nil {
			return nil, err
		}
		out, err := patched(k, typ, shown, patch)
		if err != nil {
			return nil, err
		}
		return s.take(k, out, check)
	})
}

// apply is server-side apply in its effect on one manager: what the manifest says is merged in, what this manager's last manifest said
// and this one no longer says is taken out, and a missing object is created. Fields have no owners, so managers never conflict.
// The flag tells that the object was created.
func (s *Store) apply(k *kind, key types.NamespacedName, manager string, manifest []byte, how manner) (*entry, bool, error) {
	raw, err := manifestFor(k, key, manifest)
	if err != nil {
		return nil, false, apierrors.NewBadRequest(fmt.Sprintf("decoding the apply patch: %v", err))
	}
	e, err := s.update(k, key, how, func(was *entry) (Object, error) { return s.merged(k, was, manager, raw) })
	created := apierrors.IsNotFound(err) && how.scope != scopeStatus
	if created {
		obj, bad := s.take(k, raw, nil)
		if bad != nil {
			return nil, false, bad
		}
		e, err = s.create(k, obj, how)
	}
	if err == nil && !how.dryRun {
		s.remember(e, manager, raw)
	}
	return e, created, err
}

// manifestFor is a manifest as JSON, in the namespace of the request and without what a server fills in.
func manifestFor(k *kind, key types.NamespacedName, manifest []byte) ([]byte, error) {
	raw, err := utilyaml.ToJSON(manifest)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	meta, ok := tree["metadata"].(map[string]any)
	if !ok {
		return nil, errors.New("metadata is missing")
	}
	delete(meta, "managedFields")
	if k.namespaced {
		meta["namespace"] = key.Namespace
	}
	return json.Marshal(tree)
}

// merged is a three-way merge: last manifest, this one, the object. A first apply goes by the annotation that client-side apply leaves.
func (s *Store) merged(k *kind, was *entry, manager string, manifest []byte) (Object, error) {
	shown, err := k.toShown(was.raw)
	if err != nil {
		return nil, err
	}
	last, ok := s.applied[was.uid][manager]
	if !ok {
		if meta, failure := metaOf(was.raw); failure == nil {
			last = []byte(meta.Annotations[corev1.LastAppliedConfigAnnotation])
		}
	}
	if k.custom {
		return s.mergedCustom(k, last, manifest, shown)
	}
	schema, err := strategicpatch.NewPatchMetaFromStruct(k.create())
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(last, manifest, shown, schema, true)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("merging the apply patch: %v", err))
	}
	out, err := patched(k, types.StrategicMergePatchType, shown, patch)
	if err != nil {
		return nil, err
	}
	return s.take(k, out, nil)
}

func (s *Store) remember(e *entry, manager string, manifest []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.applied[e.uid] == nil {
		s.applied[e.uid] = map[string][]byte{}
	}
	s.applied[e.uid][manager] = manifest
}

// take decodes what a client sent into the type that is stored. Check is given the unknown and duplicate fields; nil ignores them.
func (s *Store) take(k *kind, raw []byte, check func([]error) error) (Object, error) {
	head := metav1.TypeMeta{}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be JSON): %v", err))
	}
	if head.Kind != "" && (head.Kind != k.kind || head.APIVersion != k.apiVersion()) {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the object is a %s %s, want %s %s", head.APIVersion, head.Kind, k.apiVersion(), k.kind))
	}
	_, strict, err := k.decode(raw)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", k.kind, k.version, k.kind, err))
	}
	if len(strict) > 0 && check != nil {
		if err = check(strict); err != nil {
			return nil, err
		}
	}
	stored := s.tableOf(k).kind
	if raw, err = k.toStored(raw, stored); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	obj, _, err := stored.decode(raw)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return obj, nil
}
