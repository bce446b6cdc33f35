package apiserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// manner reads subresource and dryRun.
func (c *call) manner() manner {
	how := manner{dryRun: c.query.Get("dryRun") != ""}
	if c.sub == "status" {
		how.scope = scopeStatus
	}
	return how
}

// unknown is what to do about unknown and duplicate fields (KEP-2885): Strict refuses, Warn (the default) warns, Ignore ignores.
func (c *call) unknown(strict []error) error {
	err := errors.Join(strict...)
	switch c.query.Get("fieldValidation") {
	case metav1.FieldValidationStrict:
		return apierrors.NewBadRequest("strict decoding error: " + strings.ReplaceAll(err.Error(), "\n", ", "))
	case metav1.FieldValidationIgnore:
		return nil
	}
	for _, e := range strict {
		c.w.Header().Add("Warning", "299 - "+strconv.Quote(e.Error()))
	}
	return nil
}

// object reads the object in the body. Its namespace is that of the path, and so is its name in an update.
func (c *call) object() (Object, error) {
	raw, err := c.bodyAs(c.kind.create())
	if err != nil {
		return nil, err
	}
	obj, err := c.server.take(c.kind, raw, c.unknown)
	if err != nil {
		return nil, err
	}
	if obj.GetNamespace() == "" {
		obj.SetNamespace(c.key.Namespace)
	}
	if obj.GetNamespace() != c.key.Namespace {
		return nil, apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	return obj, nil
}

// create takes, beside what every API server takes, the header "Lab-Raw: true": the body is stored as it is, valid or not.
func (c *call) create() error {
	if c.r.Header.Get("Lab-Raw") == "true" {
		return c.createRaw()
	}
	obj, err := c.object()
	if err != nil {
		return err
	}
	e, err := c.server.create(c.kind, obj, c.manner())
	if err != nil {
		return err
	}
	return c.show(http.StatusCreated, e)
}

func (c *call) createRaw() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	if err := c.server.PutRaw(raw); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	writeJSON(c.w, http.StatusCreated, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess})
	return nil
}

func (c *call) update() error {
	obj, err := c.object()
	if err != nil {
		return err
	}
	e, err := c.server.Store.update(c.kind, c.key, c.manner(), func(*entry) (Object, error) { return obj, nil })
	if err != nil {
		return err
	}
	return c.show(http.StatusOK, e)
}

func (c *call) patch() error {
	body, err := c.body()
	if err != nil {
		return err
	}
	typ := types.PatchType(c.media())
	code := http.StatusOK
	var e *entry
	if typ == types.ApplyYAMLPatchType {
		var created bool
		if e, created, err = c.server.apply(c.kind, c.key, c.query.Get("fieldManager"), body, c.manner()); created {
			code = http.StatusCreated
		}
	} else {
		e, err = c.server.Store.patch(c.kind, c.key, typ, body, c.manner(), c.unknown)
	}
	if err != nil {
		return err
	}
	return c.show(code, e)
}

// deleteOptions come in the body, in the query, or not at all.
func (c *call) deleteOptions() (metav1.DeleteOptions, error) {
	var opts metav1.DeleteOptions
	body, err := c.bodyAs(&opts)
	if err != nil {
		return opts, err
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &opts); err != nil {
			return opts, apierrors.NewBadRequest(fmt.Sprintf("decoding DeleteOptions: %v", err))
		}
	}
	if n, err := strconv.ParseInt(c.query.Get("gracePeriodSeconds"), 10, 64); err == nil {
		opts.GracePeriodSeconds = &n
	}
	if c.query.Get("dryRun") != "" {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	return opts, nil
}

func (c *call) delete() error {
	opts, err := c.deleteOptions()
	if err != nil {
		return err
	}
	return c.deleteWith(opts)
}

func (c *call) deleteWith(opts metav1.DeleteOptions) error {
	e, gone, err := c.server.remove(c.kind, c.key, opts, c.server.opts.GracefulPods)
	if err != nil {
		return err
	}
	if !gone {
		return c.show(http.StatusOK, e)
	}
	writeJSON(c.w, http.StatusOK, metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusSuccess,
		Details:  &metav1.StatusDetails{Name: e.key.Name, Group: c.kind.group, Kind: c.kind.resource, UID: e.uid},
	})
	return nil
}

func (c *call) deleteCollection() error {
	opts, err := c.deleteOptions()
	if err != nil {
		return err
	}
	want, err := newFilter(c.stored(), c.key.Namespace, "", c.query)
	if err != nil {
		return err
	}
	for _, e := range c.server.snapshot(c.server.tableOf(c.kind), want).entries {
		_, _, err := c.server.remove(c.kind, e.key, opts, c.server.opts.GracefulPods)
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	writeJSON(c.w, http.StatusOK, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess})
	return nil
}

// bind is what a scheduler does: it gives a pod its node.
func (c *call) bind() error {
	var binding corev1.Binding
	body, err := c.bodyAs(&binding)
	if err != nil {
		return err
	}
	if err = json.Unmarshal(body, &binding); err != nil || c.kind.kind != "Pod" || c.r.Method != http.MethodPost || binding.Target.Name == "" {
		return apierrors.NewBadRequest("want a POST of a Binding with a target node to a pod")
	}
	_, err = c.server.Store.update(c.kind, c.key, c.manner(), func(was *entry) (Object, error) {
		pod, ok := c.kind.decodeLoosely(was.raw).(*corev1.Pod)
		if !ok || pod.Spec.NodeName != "" {
			return nil, apierrors.NewConflict(c.kind.gr(), c.key.Name, errors.New("pod is already assigned to a node"))
		}
		pod.Spec.NodeName = binding.Target.Name
		return pod, nil
	})
	if err != nil {
		return err
	}
	writeJSON(c.w, http.StatusCreated, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess})
	return nil
}

// evict is a deletion, as kubectl drain asks for it; there are no disruption budgets here.
func (c *call) evict() error {
	var eviction policyv1.Eviction
	body, err := c.bodyAs(&eviction)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &eviction); err != nil || c.kind.kind != "Pod" || c.r.Method != http.MethodPost {
		return apierrors.NewBadRequest("want a POST of an Eviction to a pod")
	}
	var opts metav1.DeleteOptions
	if eviction.DeleteOptions != nil {
		opts = *eviction.DeleteOptions
	}
	return c.deleteWith(opts)
}
