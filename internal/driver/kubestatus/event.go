package kubestatus

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"kube-router/internal/api"
	"kube-router/internal/row"
)

// mostNote is the API's limit for an event's note, in bytes.
const mostNote = 1024

// Events is the table of Events about remarks. Many nodes find the same fault in the same object; the
// event's name follows from what it says, so the cluster holds it once whoever was first.
//
// Events are the one table that forgets by itself (an hour, by default of the API server). A lane on it
// does well to look seldom: every look makes the events again that are still wanted.
type Events struct {
	api  rest.Interface
	node string
}

// NewEvents makes the table; node is named as the reporter.
func NewEvents(c *rest.Config, node string) (*Events, error) {
	api, err := client(c, "/apis", eventsv1.SchemeGroupVersion)
	return &Events{api: api, node: node}, err
}

// Dump tells nothing: whether an event is still there matters less than the load of thousands of nodes
// listing all events. Making one that is there costs one refused request.
func (t *Events) Dump(context.Context) (map[row.KubeEvent]row.KubeEvent, error) {
	return map[row.KubeEvent]row.KubeEvent{}, nil
}

// Apply makes new events. An event whose cause is gone is left to expire: it did happen.
func (t *Events) Apply(ctx context.Context, changes []row.Change[row.KubeEvent, row.KubeEvent]) error {
	failed := row.Failed[row.KubeEvent]{}
	for _, c := range changes {
		if c.New == nil {
			continue
		}
		e := t.event(*c.New)
		err := t.api.Post().Namespace(e.Namespace).Resource("events").Body(e).Do(ctx).Error()
		if err != nil && !apierrors.IsAlreadyExists(err) {
			failed[c.Key] = fmt.Errorf("create event %s/%s: %w", e.Namespace, e.Name, err)
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// event puts a remark into the API's words.
func (t *Events) event(r row.KubeEvent) *eventsv1.Event {
	note := r.Note
	if len(note) > mostNote {
		note = strings.ToValidUTF8(note[:mostNote-3], "") + "..."
	}
	at, action := time.Now(), "Convert"
	if !r.At.IsZero() {
		at, action = r.At, "Observe"
	}
	return &eventsv1.Event{
		TypeMeta:            metav1.TypeMeta{APIVersion: "events.k8s.io/v1", Kind: "Event"},
		ObjectMeta:          metav1.ObjectMeta{Namespace: eventNamespace(r), Name: eventName(r)},
		EventTime:           metav1.NewMicroTime(at),
		ReportingController: "kube-router.io/kube-router",
		ReportingInstance:   t.node,
		Type:                r.Type(),
		Reason:              cmp.Or(r.Reason, "Ignored"),
		Action:              action,
		Note:                note,
		Regarding: corev1.ObjectReference{
			APIVersion: apiVersion(r.Kind), Kind: r.Kind, Namespace: r.Namespace, Name: r.Name, UID: types.UID(r.UID),
		},
	}
}

// eventNamespace is the object's; events about objects of the cluster are kept in "default".
func eventNamespace(r row.KubeEvent) string {
	if r.Namespace == "" {
		return metav1.NamespaceDefault
	}
	return r.Namespace
}

// eventName is the object's name with a hash of all that the event says. Zero bytes separate the parts,
// for no part can hold one.
func eventName(r row.KubeEvent) string {
	parts := []string{r.Kind, r.Namespace, r.Name, r.UID, r.Note}
	if !r.At.IsZero() {
		parts = append(parts, r.Reason, r.At.UTC().Format(time.RFC3339Nano))
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	name := r.Name
	if len(name) > 200 { // with the hash it must stay below the 253 bytes of a name
		name = strings.TrimRight(name[:200], ".-")
	}
	return name + "." + hex.EncodeToString(sum[:8])
}

// apiVersion is where the kinds that we remark on live.
func apiVersion(kind string) string {
	switch kind {
	case "EndpointSlice":
		return "discovery.k8s.io/v1"
	case "NetworkPolicy":
		return "networking.k8s.io/v1"
	case "ClusterNetworkPolicy":
		return "policy.networking.k8s.io/v1beta1"
	}
	if slices.ContainsFunc(api.Kinds(), func(k api.Kind) bool { return k.Kind == kind }) {
		return api.Version.String()
	}
	return "v1"
}
