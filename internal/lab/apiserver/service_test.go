package apiserver_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kube-router/internal/lab/apiserver"
)

// digest is what the server fills in, in one line.
func digest(spec corev1.ServiceSpec) string {
	text := fmt.Sprint(spec.Type, " ", spec.ClusterIPs, " ", spec.IPFamilies)
	if spec.IPFamilyPolicy != nil {
		text += " " + string(*spec.IPFamilyPolicy)
	}
	for _, p := range spec.Ports {
		text += fmt.Sprintf(" %d>%s:%d/%s", p.Port, p.TargetPort.String(), p.NodePort, p.Protocol)
	}
	if spec.InternalTrafficPolicy != nil {
		text += " in=" + string(*spec.InternalTrafficPolicy)
	}
	text += fmt.Sprintf(" out=%s affinity=%s", spec.ExternalTrafficPolicy, spec.SessionAffinity)
	if spec.SessionAffinityConfig != nil {
		text += fmt.Sprint("/", *spec.SessionAffinityConfig.ClientIP.TimeoutSeconds)
	}
	if spec.HealthCheckNodePort != 0 {
		text += fmt.Sprint(" health=", spec.HealthCheckNodePort)
	}
	return text
}

// TestServiceDefaults: what a cluster would fill in, for each shape of Service.
func TestServiceDefaults(t *testing.T) {
	dual := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/120")}
	for _, test := range []struct {
		name  string
		cidrs []netip.Prefix
		spec  func(*corev1.ServiceSpec)
		want  string
	}{
		{"plain", dual, func(*corev1.ServiceSpec) {},
			"ClusterIP [10.0.0.16] [IPv4] SingleStack 80>80:0/TCP in=Cluster out= affinity=None"},
		{"IPv6 first", []netip.Prefix{dual[1], dual[0]}, func(*corev1.ServiceSpec) {},
			"ClusterIP [fd00::10] [IPv6] SingleStack 80>80:0/TCP in=Cluster out= affinity=None"},
		{"dual", dual, func(s *corev1.ServiceSpec) { s.IPFamilyPolicy = new(corev1.IPFamilyPolicyPreferDualStack) },
			"ClusterIP [10.0.0.16 fd00::10] [IPv4 IPv6] PreferDualStack 80>80:0/TCP in=Cluster out= affinity=None"},
		{"dual where there is one", dual[:1], func(s *corev1.ServiceSpec) { s.IPFamilyPolicy = new(corev1.IPFamilyPolicyPreferDualStack) },
			"ClusterIP [10.0.0.16] [IPv4] PreferDualStack 80>80:0/TCP in=Cluster out= affinity=None"},
		{"IPv6 asked for", dual, func(s *corev1.ServiceSpec) { s.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} },
			"ClusterIP [fd00::10] [IPv6] SingleStack 80>80:0/TCP in=Cluster out= affinity=None"},
		{"address asked for", dual, func(s *corev1.ServiceSpec) { s.ClusterIP = "fd00::5" },
			"ClusterIP [fd00::5] [IPv6] SingleStack 80>80:0/TCP in=Cluster out= affinity=None"},
		{"headless", dual, func(s *corev1.ServiceSpec) { s.ClusterIP = "None" },
			"ClusterIP [None] [IPv4] SingleStack 80>80:0/TCP in=Cluster out= affinity=None"},
		{"headless without selector", dual, func(s *corev1.ServiceSpec) { s.ClusterIP, s.Selector = "None", nil },
			"ClusterIP [None] [IPv4 IPv6] RequireDualStack 80>80:0/TCP in=Cluster out= affinity=None"},
		{"node port, one number for both protocols", dual, func(s *corev1.ServiceSpec) {
			s.Type, s.Ports = corev1.ServiceTypeNodePort, []corev1.ServicePort{{Name: "a", Port: 53}, {Name: "b", Port: 53, Protocol: corev1.ProtocolUDP}, {Name: "c", Port: 54, NodePort: 30086}}
		}, "NodePort [10.0.0.16] [IPv4] SingleStack 53>53:30087/TCP 53>53:30087/UDP 54>54:30086/TCP in=Cluster out=Cluster affinity=None"},
		{"affinity", dual, func(s *corev1.ServiceSpec) { s.SessionAffinity = corev1.ServiceAffinityClientIP },
			"ClusterIP [10.0.0.16] [IPv4] SingleStack 80>80:0/TCP in=Cluster out= affinity=ClientIP/10800"},
		{"balancer, local", dual, func(s *corev1.ServiceSpec) { s.Type, s.ExternalTrafficPolicy = corev1.ServiceTypeLoadBalancer, "Local" },
			"LoadBalancer [10.0.0.16] [IPv4] SingleStack 80>80:30086/TCP in=Cluster out=Local affinity=None health=30087"},
		{"balancer without node ports", dual, func(s *corev1.ServiceSpec) {
			s.Type, s.AllocateLoadBalancerNodePorts = corev1.ServiceTypeLoadBalancer, new(false)
		},
			"LoadBalancer [10.0.0.16] [IPv4] SingleStack 80>80:0/TCP in=Cluster out=Cluster affinity=None"},
		{"external IP", dual, func(s *corev1.ServiceSpec) { s.ExternalIPs = []string{"192.0.2.1"} },
			"ClusterIP [10.0.0.16] [IPv4] SingleStack 80>80:0/TCP in=Cluster out=Cluster affinity=None"},
		{"external name", dual, func(s *corev1.ServiceSpec) {
			s.Type, s.ExternalName, s.Ports = corev1.ServiceTypeExternalName, "example.org", nil
		},
			"ExternalName [] [] out= affinity=None"},
	} {
		store, err := apiserver.NewStore(test.cidrs, 0)
		if err != nil {
			t.Fatal(err)
		}
		svc := service("a", 80)
		test.spec(&svc.Spec)
		if err := store.Put(svc); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if diff := cmp.Diff(test.want, digest(svc.Spec)); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.name, diff)
		}
	}
}

// TestServiceChanges: what was allocated stays through updates that don't name it, goes when the type no longer has it, and is free for
// others when the Service goes.
func TestServiceChanges(t *testing.T) {
	c := start(t, apiserver.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/29"), netip.MustParsePrefix("fd00::/120")}})
	services := c.client.CoreV1().Services("default")
	update := func(change func(*corev1.ServiceSpec)) string {
		t.Helper()
		svc := service("a", 80)
		change(&svc.Spec)
		have, err := services.Update(t.Context(), svc, metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return digest(have.Spec)
	}
	nodePort := func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort }
	if _, err := services.Create(t.Context(), service("a", 80), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const ip = "[10.0.0.1] [IPv4] SingleStack"
	for i, step := range []struct {
		change func(*corev1.ServiceSpec)
		want   string
	}{
		{nodePort, "NodePort " + ip + " 80>80:30086/TCP in=Cluster out=Cluster affinity=None"},
		{nodePort, "NodePort " + ip + " 80>80:30086/TCP in=Cluster out=Cluster affinity=None"},
		{func(*corev1.ServiceSpec) {}, "ClusterIP " + ip + " 80>80:0/TCP in=Cluster out= affinity=None"},
		{func(s *corev1.ServiceSpec) { s.IPFamilyPolicy = new(corev1.IPFamilyPolicyRequireDualStack) },
			"ClusterIP [10.0.0.1 fd00::10] [IPv4 IPv6] RequireDualStack 80>80:0/TCP in=Cluster out= affinity=None"},
		{func(s *corev1.ServiceSpec) { s.IPFamilyPolicy = new(corev1.IPFamilyPolicySingleStack) },
			"ClusterIP " + ip + " 80>80:0/TCP in=Cluster out= affinity=None"},
	} {
		if diff := cmp.Diff(step.want, update(step.change)); diff != "" {
			t.Errorf("step %d (-want +have):\n%s", i, diff)
		}
	}
	for i := range 5 { // the range has six addresses
		if err := c.Put(service(fmt.Sprint("more-", i), 80)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Put(service("one-too-many", 80)); err == nil {
		t.Error("a seventh address came from a range of six")
	}
	if err := services.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Put(service("again", 80)); err != nil {
		t.Errorf("the released address is not given out: %v", err)
	}
}

// TestTypePatches: a patch of the type alone, as people write it, drops what the new type doesn't have; and what the patch names as well is
// refused.
func TestTypePatches(t *testing.T) {
	c := start(t, apiserver.Options{})
	services := c.client.CoreV1().Services("default")
	for i, step := range []struct {
		name, patch, want, err string
		spec                   func(*corev1.ServiceSpec)
	}{
		{name: "balancer to cluster IP", patch: `{"type":"ClusterIP"}`,
			spec: func(s *corev1.ServiceSpec) {
				s.Type, s.ExternalTrafficPolicy, s.LoadBalancerClass = corev1.ServiceTypeLoadBalancer, "Local", new("example.org/x")
				s.LoadBalancerIP = "192.0.2.1"
			},
			want: "ClusterIP [IP] [IPv4] SingleStack 80>80:0/TCP in=Cluster out= affinity=None at=192.0.2.1"},
		{name: "balancer to node port", patch: `{"type":"NodePort"}`,
			spec: func(s *corev1.ServiceSpec) { s.Type, s.ExternalTrafficPolicy = corev1.ServiceTypeLoadBalancer, "Local" },
			want: "NodePort [IP] [IPv4] SingleStack 80>80:PORT/TCP in=Cluster out=Local affinity=None"},
		{name: "node port to cluster IP", patch: `{"type":"ClusterIP"}`,
			spec: func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort },
			want: "ClusterIP [IP] [IPv4] SingleStack 80>80:0/TCP in=Cluster out= affinity=None"},
		{name: "node port to external name", patch: `{"type":"ExternalName","externalName":"example.org"}`,
			spec: func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort },
			want: "ExternalName [] [] 80>80:0/TCP in=Cluster out= affinity=None"},
		{name: "external IPs keep the policy", patch: `{"type":"ClusterIP"}`,
			spec: func(s *corev1.ServiceSpec) {
				s.Type, s.ExternalIPs, s.ExternalTrafficPolicy = corev1.ServiceTypeNodePort, []string{"192.0.2.7"}, "Local"
			},
			want: "ClusterIP [IP] [IPv4] SingleStack 80>80:0/TCP in=Cluster out=Local affinity=None"},
		{name: "a node port that is new", patch: `{"type":"ClusterIP","ports":[{"port":80,"nodePort":31000}]}`,
			spec: func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort },
			err:  "nodePort: Forbidden"},
		{name: "source ranges stay", patch: `{"type":"ClusterIP"}`,
			spec: func(s *corev1.ServiceSpec) {
				s.Type, s.LoadBalancerSourceRanges = corev1.ServiceTypeLoadBalancer, []string{"192.0.2.0/24"}
			},
			err: "spec.loadBalancerSourceRanges: Forbidden"},
		{name: "a port's number changes", patch: `{"ports":[{"name":"p80","port":81}]}`,
			spec: func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort },
			want: "NodePort [IP] [IPv4] SingleStack 81>81:PORT/TCP in=Cluster out=Cluster affinity=None"},
	} {
		svc := service(fmt.Sprint("t", i), 80)
		step.spec(&svc.Spec)
		made, err := services.Create(t.Context(), svc, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if made.Spec.Type == corev1.ServiceTypeLoadBalancer {
			made.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}
			if made, err = services.UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		have, err := services.Patch(t.Context(), svc.Name, types.MergePatchType, []byte(`{"spec":`+step.patch+`}`), metav1.PatchOptions{})
		if step.err != "" {
			if err == nil || !strings.Contains(err.Error(), step.err) {
				t.Errorf("%s: %v, want %s", step.name, err, step.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", step.name, err)
			continue
		}
		want := strings.NewReplacer("IP]", made.Spec.ClusterIP+"]", "PORT", fmt.Sprint(made.Spec.Ports[0].NodePort)).Replace(step.want)
		text := digest(have.Spec)
		if have.Spec.LoadBalancerIP != "" {
			text += " at=" + have.Spec.LoadBalancerIP
		}
		if text != want {
			t.Errorf("%s:\nwant %s\nhave %s", step.name, want, text)
		}
		if have.Spec.LoadBalancerClass != nil || have.Spec.AllocateLoadBalancerNodePorts != nil || len(have.Status.LoadBalancer.Ingress) != 0 {
			t.Errorf("%s: %+v %+v", step.name, have.Spec, have.Status)
		}
		if step.name == "balancer to cluster IP" { // what it no longer has is free for others
			other := service("other", 80)
			other.Spec.Type, other.Spec.Ports[0].NodePort = corev1.ServiceTypeNodePort, made.Spec.Ports[0].NodePort
			if _, err := services.Create(t.Context(), other, metav1.CreateOptions{}); err != nil {
				t.Errorf("%s: its node port: %v", step.name, err)
			}
		}
	}
}

// TestManyObjects: ten thousand Services come through a watch that was open before, each once and in order.
func TestManyObjects(t *testing.T) {
	const n = 10000
	c := start(t, apiserver.Options{})
	w := open(t, c, metav1.ListOptions{})
	go func() {
		for i := range n {
			if err := c.Put(service(fmt.Sprintf("s%05d", i), 80)); err != nil {
				t.Errorf("Put: %v", err)
				return
			}
		}
	}()
	for i := range n {
		svc, ok := (<-w.ResultChan()).Object.(*corev1.Service)
		if want := fmt.Sprintf("s%05d", i); !ok || svc.Name != want {
			t.Fatalf("event %d is %v, want the addition of %s", i, svc, want)
		}
	}
	list, err := c.client.CoreV1().Services("default").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != n {
		t.Errorf("list: %d, %v", len(list.Items), err)
	}
}

// BenchmarkPut stores a Service that is new each time, with 10000 others there.
func BenchmarkPut(b *testing.B) {
	s, err := apiserver.New(apiserver.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 10000 {
		if err := s.Put(service(fmt.Sprint("s", i), 80)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := s.Put(service(fmt.Sprint("n", i%50000), 80)); err != nil {
			b.Fatal(err)
		}
	}
}
