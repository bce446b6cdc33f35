//go:build scale

package lab_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kube-router/internal/lab"
)

// TestTenThousandServices puts 10,000 Services of ten endpoints into the API of a one-node lab and prints
// how long the daemon takes to carry them after a restart, and its memory.
func TestTenThousandServices(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 1})
	const n = 10000
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for i := w; i < n; i += 8 {
				if err := createService(t, l, i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	begun := time.Now()
	workers.Wait()
	t.Logf("%d Services created in %s", n, time.Since(begun).Round(time.Millisecond))
	node := l.Node("n1")
	last := fmt.Sprintf("10.96.%d.%d", 100+((n-1)>>8), (n-1)&255)
	present := func() error {
		out, err := node.Run(ctx, "nft", "get", "element", "inet", "kube-router", "services-heads4", "{ "+last+" . tcp . 80 }")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	eventually(t, ctx, l, "the last Service", 30*time.Second, present)
	t.Logf("carried %s after the first was created; %s", time.Since(begun).Round(time.Millisecond), memory(node))
	if err := node.KillDaemon(); err != nil {
		t.Fatal(err)
	}
	if out, err := node.Run(ctx, "nft", "delete", "table", "inet", "kube-router"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	begun = time.Now()
	if err := node.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, l, "the last Service after a cold start", 30*time.Second, present)
	l.Logs(os.Stderr, 8)
	t.Logf("cold start to the last Service: %s; %s", time.Since(begun).Round(time.Millisecond), memory(node))
	time.Sleep(2 * time.Second)
	t.Log(memory(node))
}

func createService(t *testing.T, l *lab.Lab, i int) error {
	name := fmt.Sprintf("s%d", i)
	err := l.Client.Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{
			ClusterIP: fmt.Sprintf("10.96.%d.%d", 100+(i>>8), i&255),
			Ports:     []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	})
	if err != nil {
		return err
	}
	port, tcp := int32(8080), corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Port: &port, Protocol: &tcp}},
	}
	for e := range 10 {
		a := netip.AddrFrom4([4]byte{10, 245, byte(i), byte(e + 2)})
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a.String()}})
	}
	return l.Client.Create(t.Context(), s)
}

// memory is the daemon's resident memory, now and at most.
func memory(n *lab.Node) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.DaemonPID()))
	if err != nil {
		return err.Error()
	}
	var parts []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "VmHWM") {
			parts = append(parts, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(parts, ", ")
}
