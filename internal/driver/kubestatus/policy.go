package kubestatus

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"kube-router/internal/api"
	"kube-router/internal/api/clusterapi"
	"kube-router/internal/row"
)

// policyRate is how many requests a second are made about policies, however many change at once: one node makes them for all.
const policyRate = 5

// Policies is the table of what is told of policies: conditions of each, and the PolicyStatus. One node writes for all, so that most
// have nothing to do with it: Dump asks for nothing, and Apply reads what is there before it writes what differs.
type Policies struct {
	own     rest.Interface
	cluster []rest.Interface // by version, the newest first

	untold *row.KubePolicyReport // for which there was no kind; tried again with the next change. The lane's goroutine alone has it.
}

// NewPolicies makes the table.
func NewPolicies(c *rest.Config) (*Policies, error) {
	c = rest.CopyConfig(c)
	if c.QPS == 0 {
		c.QPS, c.Burst = policyRate, 4*policyRate
	}
	own, err := client(c, "/apis", api.Version)
	if err != nil {
		return nil, err
	}
	t := &Policies{own: own}
	for _, v := range clusterapi.Versions() {
		one, err := client(c, "/apis", v)
		if err != nil {
			return nil, err
		}
		t.cluster = append(t.cluster, one)
	}
	return t, nil
}

// Dump tells nothing: what is there is read before it is written.
func (t *Policies) Dump(context.Context) (map[row.KubeObject]row.KubePolicy, error) {
	return map[row.KubeObject]row.KubePolicy{}, nil
}

// Apply writes the status of objects. That of objects which are gone, or of a kind that isn't installed, is nobody's. What another node
// tells now is left as it is.
func (t *Policies) Apply(ctx context.Context, changes []row.Change[row.KubeObject, row.KubePolicy]) error {
	failed := row.Failed[row.KubeObject]{}
	verdicts := map[string]row.KubePolicyVerdict{}
	for _, c := range changes {
		if c.New == nil {
			if c.Key == row.KubePolicyStatus() {
				t.untold = nil
			}
			continue
		}
		switch r := (*c.New).(type) {
		case row.KubePolicyReport:
			t.untold = &r
		case row.KubePolicyVerdict:
			verdicts[r.Object.Name] = r
		}
	}
	if r := t.untold; r != nil {
		err := t.report(ctx, *r)
		if err == nil {
			t.untold = nil
		}
		if err != nil && !apierrors.IsNotFound(err) {
			failed[r.Object] = err
		}
	}
	for name, err := range t.judge(ctx, verdicts) {
		failed[row.KubeObject{Kind: clusterapi.Kind, Name: name}] = err
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// judge writes the conditions of policies.
func (t *Policies) judge(ctx context.Context, verdicts map[string]row.KubePolicyVerdict) map[string]error {
	failed := map[string]error{}
	if len(verdicts) == 0 {
		return failed
	}
	client, list, err := t.list(ctx, verdicts)
	for name, r := range verdicts {
		if err != nil {
			if failed[name] = err; apierrors.IsNotFound(err) {
				delete(failed, name)
			}
			continue
		}
		i := slices.IndexFunc(list, func(o api.Raw) bool { return o.Name == name })
		if i < 0 {
			continue
		}
		if err := patchConditions(ctx, client, &list[i], r); err != nil && !apierrors.IsNotFound(err) {
			failed[name] = err
		}
	}
	return failed
}

// list reads the policies that there is something to say of, by the version that the server has.
func (t *Policies) list(ctx context.Context, of map[string]row.KubePolicyVerdict) (rest.Interface, []api.Raw, error) {
	var err error
	for _, c := range t.cluster {
		q := c.Get().Resource(clusterapi.Resource)
		for name := range of {
			if len(of) == 1 {
				q = q.Param("fieldSelector", "metadata.name="+name)
			}
		}
		var raw []byte
		if raw, err = q.Do(ctx).Raw(); apierrors.IsNotFound(err) {
			continue
		}
		var list api.RawList
		if err == nil {
			err = json.Unmarshal(raw, &list)
		}
		if err != nil {
			err = fmt.Errorf("list %s: %w", clusterapi.Resource, err)
		}
		return c, list.Items, err
	}
	return nil, nil, err
}

// patchConditions writes our conditions of a policy where they differ. Those of others stay, and the version of the object that was read
// sees to it that none is lost.
func patchConditions(ctx context.Context, c rest.Interface, o *api.Raw, r row.KubePolicyVerdict) error {
	var s clusterapi.Status
	if len(o.Status) > 0 {
		if err := json.Unmarshal(o.Status, &s); err != nil {
			return fmt.Errorf("status of %s %s: %w", r.Object.Kind, r.Object.Name, err)
		}
	}
	changed := false
	for _, w := range []struct {
		typ string
		row.KubeReason
	}{{api.PolicyAccepted, r.Accepted}, {api.PolicyInForce, r.InForce}} {
		changed = meta.SetStatusCondition(&s.Conditions, metav1.Condition{
			Type: w.typ, Status: statusOf(w.Is), Reason: w.Reason, Message: bounded(w.Why), ObservedGeneration: r.Generation,
		}) || changed
	}
	if !changed {
		return nil
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": o.ResourceVersion}, "status": s})
	if err != nil {
		return err
	}
	err = c.Patch(types.MergePatchType).Resource(clusterapi.Resource).Name(o.Name).SubResource("status").Body(body).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("patch status of %s %s: %w", r.Object.Kind, r.Object.Name, err)
	}
	return nil
}

// bounded is a message as long as the API takes it.
func bounded(text string) string {
	const most = 32768
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-3], "") + "..."
}

// report writes the PolicyStatus, and makes it where it isn't there yet.
func (t *Policies) report(ctx context.Context, r row.KubePolicyReport) error {
	s := api.PolicyStatusStatus{Nodes: r.Nodes, Silent: r.Silent}
	if r.Lacking != "" {
		s.NotInForce = strings.Split(r.Lacking, "\n")
	}
	// A merge patch takes away what is absent only where it says null.
	body, err := json.Marshal(map[string]any{"status": map[string]any{"nodes": s.Nodes, "silent": s.Silent, "notInForce": s.NotInForce}})
	if err != nil {
		return err
	}
	patch := func() error {
		return t.own.Patch(types.MergePatchType).Resource(api.PolicyStatuses.Resource).Name(r.Object.Name).SubResource("status").Body(body).Do(ctx).Error()
	}
	if err = patch(); apierrors.IsNotFound(err) {
		o := &api.PolicyStatus{TypeMeta: typeOf(api.Version, api.PolicyStatuses.Kind), ObjectMeta: metav1.ObjectMeta{Name: r.Object.Name}}
		var made []byte
		if made, err = json.Marshal(o); err != nil {
			return err
		}
		err = t.own.Post().Resource(api.PolicyStatuses.Resource).SetHeader("Content-Type", "application/json").Body(made).Do(ctx).Error()
		if err == nil || apierrors.IsAlreadyExists(err) {
			err = patch()
		}
	}
	if err != nil {
		return fmt.Errorf("status of %s %s: %w", r.Object.Kind, r.Object.Name, err)
	}
	return nil
}

func typeOf(v schema.GroupVersion, kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: v.String(), Kind: kind}
}
