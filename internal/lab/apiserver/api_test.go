package apiserver_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/discovery"

	"kube-router/internal/lab/apiserver"
)

// TestWrites follows one object of each sort through create, update, conflict, status and deletion with a typed client.
func TestWrites(t *testing.T) {
	c := start(t, apiserver.Options{})
	ctx := t.Context()
	pods := c.client.CoreV1().Pods("default")

	p := pod("", "")
	p.GenerateName, p.Status.PodIP = "web-", "10.0.0.1"
	made, err := pods.Create(ctx, p, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(made.Name, "web-") || made.UID == "" || made.ResourceVersion == "" || made.CreationTimestamp.IsZero() || made.Generation != 1 {
		t.Errorf("the server did not fill in the metadata: %+v", made.ObjectMeta)
	}
	if made.Status.Phase != corev1.PodPending || made.Status.PodIP != "" {
		t.Errorf("a created pod has status %+v, want none but Pending", made.Status)
	}
	if got := made.Spec.Containers[0].Ports[0].Protocol; got != corev1.ProtocolTCP {
		t.Errorf("port protocol %q, want TCP", got)
	}

	made.Labels["a"], made.Status.PodIP = "b", "10.0.0.2"
	next, err := pods.Update(ctx, made, metav1.UpdateOptions{})
	if err != nil || next.Status.PodIP != "" || next.Labels["a"] != "b" || next.Generation != 1 {
		t.Errorf("an update touches the status, loses the label or counts a generation: %v %+v", err, next)
	}
	if _, err = pods.Update(ctx, made, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an update of an old version: %v, want a conflict", err)
	}
	next.Status.PodIP, next.Status.Phase, next.Spec.NodeName = "10.0.0.3", corev1.PodRunning, "n1"
	if next, err = pods.UpdateStatus(ctx, next, metav1.UpdateOptions{}); err != nil || next.Status.PodIPs[0].IP != "10.0.0.3" || next.Spec.NodeName != "" {
		t.Errorf("a status update: %v, podIPs %v, node %q", err, next.Status.PodIPs, next.Spec.NodeName)
	}
	same, err := pods.UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if err != nil || same.ResourceVersion != next.ResourceVersion {
		t.Errorf("an update that changes nothing makes a version: %v", err)
	}
	bound := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: next.Name}, Target: corev1.ObjectReference{Name: "n1"}}
	if err = pods.Bind(ctx, bound, metav1.CreateOptions{}); err != nil {
		t.Errorf("binding: %v", err)
	}
	found, err := pods.List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=n1,status.phase=Running", LabelSelector: "app in (web), a=b"})
	if err != nil || len(found.Items) != 1 {
		t.Errorf("selectors find %d pods, want 1: %v", len(found.Items), err)
	}
	if _, err := pods.List(ctx, metav1.ListOptions{FieldSelector: "spec.color=red"}); !apierrors.IsBadRequest(err) {
		t.Errorf("an unknown field selector: %v, want a bad request", err)
	}

	deleteFound(t, c, next.Name)
	if _, err := c.client.CoreV1().Pods("nowhere").Create(ctx, pod("a", ""), metav1.CreateOptions{}); err == nil {
		t.Error("a pod in another namespace than its own was accepted")
	}
}

// deleteFound deletes the pod by a selector, after an attempt on another incarnation of it.
func deleteFound(t *testing.T, c *cluster, name string) {
	t.Helper()
	pods, ctx := c.client.CoreV1().Pods("default"), t.Context()
	other := types.UID("other")
	if err := pods.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &other}}); !apierrors.IsConflict(err) {
		t.Errorf("deleting another incarnation: %v, want a conflict", err)
	}
	if err := pods.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "a=b"}); err != nil {
		t.Error(err)
	}
	if _, err := pods.Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after the deletion: %v, want not found", err)
	}
}

// TestDeletion: finalizers and, where it is asked for, the kubelet's grace hold an object back.
func TestDeletion(t *testing.T) {
	c := start(t, apiserver.Options{GracefulPods: true})
	ctx := t.Context()
	pods := c.client.CoreV1().Pods("default")
	if err := c.Put(pod("placed", "n1"), pod("waiting", "")); err != nil {
		t.Fatal(err)
	}
	for name, stays := range map[string]bool{"placed": true, "waiting": false} {
		if err := pods.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		p, err := pods.Get(ctx, name, metav1.GetOptions{})
		if stays != (err == nil) || stays && (p.DeletionTimestamp == nil || *p.DeletionGracePeriodSeconds != 30) {
			t.Errorf("pod %s after its deletion: %v %+v", name, err, p.ObjectMeta)
		}
	}
	if err := pods.Delete(ctx, "placed", *metav1.NewDeleteOptions(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Get(ctx, "placed", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the kubelet's deletion: %v, want not found", err)
	}

	svc := service("held", 80)
	svc.Finalizers = []string{"example.org/hold"}
	if err := c.Put(svc); err != nil {
		t.Fatal(err)
	}
	services := c.client.CoreV1().Services("default")
	if err := services.Delete(ctx, "held", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	held, err := services.Get(ctx, "held", metav1.GetOptions{})
	if err != nil || held.DeletionTimestamp == nil {
		t.Fatalf("a finalizer does not hold the Service: %v", err)
	}
	held.Finalizers = nil
	if _, err := services.Update(ctx, held, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := services.Get(ctx, "held", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("without its finalizer: %v, want not found", err)
	}
}

// TestPatches: each kind of patch, and server-side apply with removal of what is no longer said.
func TestPatches(t *testing.T) {
	c := start(t, apiserver.Options{})
	if err := c.Put(service("a", 80, 81)); err != nil {
		t.Fatal(err)
	}
	services := c.client.CoreV1().Services("default")
	ports := func(name string) (list []int32) {
		svc, err := services.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range svc.Spec.Ports {
			list = append(list, p.Port)
		}
		return list
	}
	force := true
	for _, step := range []struct {
		typ   types.PatchType
		name  string
		patch string
		want  []int32
	}{
		{types.StrategicMergePatchType, "a", `{"spec":{"ports":[{"name":"p82","port":82}]}}`, []int32{82, 80, 81}},
		{types.JSONPatchType, "a", `[{"op":"remove","path":"/spec/ports/0"}]`, []int32{80, 81}},
		{types.MergePatchType, "a", `{"spec":{"ports":[{"port":90}]}}`, []int32{90}},
		{types.ApplyPatchType, "b", `{"apiVersion":"v1","kind":"Service","metadata":{"name":"b"},"spec":{"ports":[{"name":"x","port":1},{"name":"y","port":2}]}}`, []int32{1, 2}},
		{types.ApplyPatchType, "b", `{"apiVersion":"v1","kind":"Service","metadata":{"name":"b"},"spec":{"ports":[{"name":"y","port":2}]}}`, []int32{2}},
	} {
		opts := metav1.PatchOptions{}
		if step.typ == types.ApplyPatchType {
			opts = metav1.PatchOptions{FieldManager: "test", Force: &force}
		}
		if _, err := services.Patch(t.Context(), step.name, step.typ, []byte(step.patch), opts); err != nil {
			t.Errorf("%s: %v", step.typ, err)
		}
		if diff := cmp.Diff(step.want, ports(step.name)); diff != "" {
			t.Errorf("ports after %s (-want +have):\n%s", step.typ, diff)
		}
	}
}

// TestRefusals: what a cluster answers 422 Invalid to, each with a word of the reason.
func TestRefusals(t *testing.T) {
	c := start(t, apiserver.Options{})
	if err := c.Put(service("taken", 80)); err != nil {
		t.Fatal(err)
	}
	svc := func(change func(*corev1.ServiceSpec)) *corev1.Service {
		s := service("bad", 80)
		change(&s.Spec)
		return s
	}
	eps := func(change func(*discoveryv1.EndpointSlice)) *discoveryv1.EndpointSlice {
		s := slice("bad", "10.0.0.1")
		change(s)
		return s
	}
	policy := func(peer networkingv1.NetworkPolicyPeer) *networkingv1.NetworkPolicy {
		return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "bad"},
			Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{peer}}}}}
	}
	zero := int32(0)
	for _, bad := range []struct {
		obj  apiserver.Object
		want string
	}{
		{service("none"), "spec.ports: Required"},
		{service("Upper", 80), "metadata.name"},
		{service("big", 70000), "between 1 and 65535"},
		{svc(func(s *corev1.ServiceSpec) { s.Ports[0].Protocol = "ICMP" }), "Unsupported value"},
		{svc(func(s *corev1.ServiceSpec) { s.Ports[0].TargetPort = intstr.FromString("no_such") }), "targetPort"},
		{svc(func(s *corev1.ServiceSpec) { s.Ports[0].NodePort = 30000 }), "may not be used when `type` is 'ClusterIP'"},
		{svc(func(s *corev1.ServiceSpec) { s.Type, s.Ports[0].NodePort = "NodePort", 80 }), "30000-32767"},
		{svc(func(s *corev1.ServiceSpec) { s.Ports = append(s.Ports, s.Ports[0]) }), "Duplicate"},
		{svc(func(s *corev1.ServiceSpec) { s.ClusterIP = "10.96.1.0" }), "already allocated"},
		{svc(func(s *corev1.ServiceSpec) { s.ClusterIP = "10.0.0.1" }), "not in the valid range"},
		{svc(func(s *corev1.ServiceSpec) { s.ExternalIPs = []string{"127.0.0.1"} }), "loopback"},
		{svc(func(s *corev1.ServiceSpec) { s.ExternalIPs = []string{"10.0.0.300"} }), "valid IP"},
		{svc(func(s *corev1.ServiceSpec) { s.ExternalTrafficPolicy = "Local" }), "externally-accessible"},
		{svc(func(s *corev1.ServiceSpec) {
			s.IPFamilies = []corev1.IPFamily{"IPv4", "IPv6"}
			s.IPFamilyPolicy = new(corev1.IPFamilyPolicySingleStack)
		}), "ipFamilyPolicy"},
		{eps(func(s *discoveryv1.EndpointSlice) { s.AddressType = "" }), "addressType: Required"},
		{eps(func(s *discoveryv1.EndpointSlice) { s.AddressType = "IPv6" }), "addressType IPv6"},
		{eps(func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Addresses = []string{"169.254.0.1"} }), "link-local"},
		{eps(func(s *discoveryv1.EndpointSlice) { s.Ports[0].Port = &zero }), "between 1 and 65535"},
		{policy(networkingv1.NetworkPolicyPeer{}), "must specify a peer"},
		{policy(networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"11.0.0.0/16"}}}), "strict subset"},
		{&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: corev1.NodeSpec{PodCIDRs: []string{"10.0.0.0/8", "11.0.0.0/8"}}}, "each IP family"},
		{&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}}, "spec.containers: Required"},
		{&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "d"}}, "spec.selector: Required"},
	} {
		err := c.Put(bad.obj)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%T %s: %v, want invalid: %s", bad.obj, bad.obj.GetName(), err, bad.want)
		}
	}
}

// TestRaw: nonsense goes in by PutRaw and by the Lab-Raw header, and comes out as it went in.
func TestRaw(t *testing.T) {
	c := start(t, apiserver.Options{})
	const nonsense = `{"apiVersion":"v1","kind":"Service","metadata":{"name":"%s","namespace":"default"},"spec":{"clusterIP":"10.0.0.300","ports":[{"port":%s}]}}`
	if err := c.PutRaw(fmt.Appendf(nil, nonsense, "a", "0")); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/api/v1/namespaces/default/services", strings.NewReader(fmt.Sprintf(nonsense, "b", `"many"`)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Lab-Raw", "true")
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatal(resp, err)
	}
	svc, err := c.client.CoreV1().Services("default").Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || svc.Spec.ClusterIP != "10.0.0.300" || svc.Spec.Ports[0].Port != 0 || svc.UID == "" {
		t.Errorf("a: %v %+v", err, svc)
	}
	if _, err := c.client.CoreV1().Services("default").List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("b has a port that is no number, so a typed list should fail to decode")
	}
	newKubectl(t, c).ok("", "get services", "a", "b", "10.0.0.300")
}

// TestEventsAreOne: what is written as an events.k8s.io Event is read as a core Event, and the other way round.
func TestEventsAreOne(t *testing.T) {
	c := start(t, apiserver.Options{})
	meta := metav1.ObjectMeta{Namespace: "default", Name: "a.1"}
	ev := &eventsv1.Event{ObjectMeta: meta, EventTime: metav1.NowMicro(), ReportingController: "kube-router", Reason: "Ignored", Note: "port 0", Type: "Warning",
		Regarding: corev1.ObjectReference{Kind: "Service", Namespace: "default", Name: "a"}}
	if _, err := c.client.EventsV1().Events("default").Create(t.Context(), ev, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	list, err := c.client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=a,involvedObject.kind=Service"})
	if err != nil || len(list.Items) != 1 || list.Items[0].Message != "port 0" || list.Items[0].ReportingController != "kube-router" {
		t.Fatalf("core events: %v %+v", err, list.Items)
	}
	back, err := c.client.EventsV1().Events("default").Get(t.Context(), "a.1", metav1.GetOptions{})
	if err != nil || back.Note != "port 0" || back.Regarding.Name != "a" {
		t.Errorf("events.k8s.io event: %v %+v", err, back)
	}
}

// TestDiscovery: client-go finds every kind, with aggregated discovery and without.
func TestDiscovery(t *testing.T) {
	c := start(t, apiserver.Options{})
	for _, legacy := range []bool{false, true} {
		d := discovery.NewDiscoveryClient(c.client.Discovery().RESTClient())
		d.UseLegacyDiscovery = legacy
		_, lists, err := d.ServerGroupsAndResources()
		if err != nil {
			t.Fatalf("legacy %v: %v", legacy, err)
		}
		have := map[string]bool{}
		for _, list := range lists {
			for _, r := range list.APIResources {
				have[list.GroupVersion+" "+r.Name] = true
			}
		}
		for _, want := range []string{"v1 nodes", "v1 services/status", "apps/v1 deployments/scale", "networking.k8s.io/v1 networkpolicies", "discovery.k8s.io/v1 endpointslices", "coordination.k8s.io/v1 leases"} {
			if !have[want] {
				t.Errorf("legacy %v: discovery lacks %s", legacy, want)
			}
		}
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/livez": 200, "/openapi/v3": 200, "/openapi/v2": 404, "/api/v1/gadgets": 404, "/apis/example.org/v1": 404, "/": 404} {
		resp, err := http.Get(c.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		var status metav1.Status
		if resp.StatusCode != want || want == 404 && (json.Unmarshal(body, &status) != nil || status.Reason != metav1.StatusReasonNotFound) {
			t.Errorf("%s: %d %s, want %d", path, resp.StatusCode, body, want)
		}
	}
}
