package control

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func endpointsNamed(names ...string) (all []discoveryv1.Endpoint) {
	for _, name := range names {
		all = append(all, discoveryv1.Endpoint{Addresses: []string{name}, TargetRef: &corev1.ObjectReference{Name: name, UID: types.UID(name)}})
	}
	return all
}

func numbered(from, to int) (names []string) {
	for i := from; i < to; i++ {
		names = append(names, fmt.Sprintf("p%03d", i))
	}
	return names
}

func namesIn(slice *discoveryv1.EndpointSlice) (names []string) {
	for _, e := range slice.Endpoints {
		names = append(names, e.TargetRef.Name)
	}
	return names
}

// TestArrangeWritesLittle: what is in a slice stays there, gaps are filled, and nothing is written that need not be.
func TestArrangeWritesLittle(t *testing.T) {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s"}}
	ports := []discoveryv1.EndpointPort{{Port: new(int32)}}
	g := groupOf(discoveryv1.AddressTypeIPv4, ports)
	slice := func(uid string, names ...string) discoveryv1.EndpointSlice {
		s := newSlice(svc, g, &wanted{ports: ports, endpoints: nil})
		s.UID, s.Endpoints = types.UID(uid), endpointsNamed(names...)
		return *s
	}
	for _, c := range []struct {
		name   string
		have   []discoveryv1.EndpointSlice
		want   []string
		writes map[string]int // UID ("" for a new one) → endpoints
		gone   []string
	}{
		{"nothing there", nil, numbered(0, 3), map[string]int{"": 3}, nil},
		{"nothing to do", []discoveryv1.EndpointSlice{slice("a", numbered(0, 3)...)}, numbered(0, 3), map[string]int{}, nil},
		{"one more", []discoveryv1.EndpointSlice{slice("a", numbered(0, 3)...)}, numbered(0, 4), map[string]int{"a": 4}, nil},
		{"the full slice isn't touched", []discoveryv1.EndpointSlice{slice("a", numbered(0, 100)...), slice("b", numbered(100, 105)...)}, numbered(0, 106), map[string]int{"b": 6}, nil},
		{"overflow", []discoveryv1.EndpointSlice{slice("a", numbered(0, 100)...)}, numbered(0, 101), map[string]int{"": 1}, nil},
		{"gap filled", []discoveryv1.EndpointSlice{slice("a", numbered(0, 100)...), slice("b", numbered(100, 105)...)}, numbered(1, 106), map[string]int{"a": 100}, nil},
		{"second slice empties", []discoveryv1.EndpointSlice{slice("a", numbered(0, 100)...), slice("b", numbered(100, 105)...)}, numbered(0, 100), map[string]int{}, []string{"b"}},
		{"none left", []discoveryv1.EndpointSlice{slice("a", numbered(0, 3)...)}, nil, map[string]int{"a": 0}, nil},
	} {
		writes, gone := arrange(svc, c.have, map[group]*wanted{g: {ports: ports, endpoints: endpointsNamed(c.want...)}})
		got, left := map[string]int{}, map[string]bool{}
		var deleted []string
		for _, s := range writes {
			got[string(s.UID)] = len(s.Endpoints)
		}
		for _, s := range gone {
			deleted = append(deleted, string(s.UID))
		}
		if diff := cmp.Diff(c.writes, got); diff != "" || !slices.Equal(deleted, c.gone) {
			t.Errorf("%s: deleted %q, want %q; writes:\n%s", c.name, deleted, c.gone, diff)
		}
		for i := range c.have {
			if !slices.Contains(deleted, string(c.have[i].UID)) {
				for _, name := range namesIn(&c.have[i]) {
					left[name] = true
				}
			}
		}
		for _, s := range writes {
			for _, name := range namesIn(s) {
				left[name] = true
			}
		}
		if len(left) != len(c.want) {
			t.Errorf("%s: %d endpoints in all, want %d", c.name, len(left), len(c.want))
		}
	}
}

func pod(name string, ready bool) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}}}
}

// TestSurplusNeverGoesBelowTheWantedNumber of ready pods by taking old ones away.
func TestSurplusNeverGoesBelowTheWantedNumber(t *testing.T) {
	for _, c := range []struct {
		name       string
		fresh, old []*corev1.Pod
		want       int
		gone       []string
	}{
		{"new one not ready yet", []*corev1.Pod{pod("f1", false)}, []*corev1.Pod{pod("o1", true), pod("o2", true)}, 2, nil},
		{"new one ready", []*corev1.Pod{pod("f1", true)}, []*corev1.Pod{pod("o1", true), pod("o2", true)}, 2, []string{"o1"}},
		{"an old one that isn't ready is no loss", []*corev1.Pod{pod("f1", false)}, []*corev1.Pod{pod("o1", true), pod("o2", false)}, 2, []string{"o2"}},
		{"scaled down", []*corev1.Pod{pod("f1", true), pod("f2", false), pod("f3", true)}, nil, 1, []string{"f2", "f1"}},
		{"to nothing", []*corev1.Pod{pod("f1", true)}, []*corev1.Pod{pod("o1", true)}, 0, []string{"f1", "o1"}},
	} {
		var gone []string
		for _, p := range surplus(c.fresh, c.old, c.want) {
			gone = append(gone, p.Name)
		}
		if diff := cmp.Diff(c.gone, gone); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

func TestPortsResolveInThePod(t *testing.T) {
	p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
		{Name: "web", ContainerPort: 8080}, {Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP},
	}}}}}
	svc := &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{
		{Name: "named", Port: 80, TargetPort: intstr.FromString("web")},
		{Name: "number", Port: 81, TargetPort: intstr.FromInt32(9090)},
		{Name: "same", Port: 82},
		{Name: "other protocol", Port: 83, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("dns")},
		{Name: "udp", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromString("dns")},
		{Name: "unknown", Port: 84, TargetPort: intstr.FromString("nothing")},
	}}}
	got := map[string]int32{}
	for _, port := range portsOf(svc, p) {
		got[*port.Name] = *port.Port
	}
	want := map[string]int32{"named": 8080, "number": 9090, "same": 82, "udp": 53}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
