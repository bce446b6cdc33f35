package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
	"kube-router/internal/lab/kube"
	"kube-router/internal/lab/probe"
)

func apply(t *testing.T, ctx context.Context, l *lab.Lab, manifest string) {
	t.Helper()
	if err := l.Apply(ctx, manifest); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

// endpoints are the endpoints of a Service by pod name, of one family.
func endpoints(t *testing.T, ctx context.Context, l *lab.Lab, service string, family discoveryv1.AddressType) map[string]discoveryv1.Endpoint {
	t.Helper()
	var list discoveryv1.EndpointSliceList
	if err := l.Client.List(ctx, &list, "default", discoveryv1.LabelServiceName+"="+service); err != nil {
		t.Fatal(err)
	}
	all := map[string]discoveryv1.Endpoint{}
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			if slice.AddressType == family {
				all[e.TargetRef.Name] = e
			}
		}
	}
	return all
}

func TestSlicesFollowPods(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 2, Zones: 2})
	apply(t, ctx, l, web)
	pods := l.Pods("default", "app=web")
	var got map[string]discoveryv1.Endpoint
	all := func(n int) func() error {
		return func() error {
			for _, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
				if got = endpoints(t, ctx, l, "web", family); len(got) != n {
					return fmt.Errorf("%d endpoints of %s, want %d", len(got), family, n)
				}
			}
			return nil
		}
	}
	if err := l.Until(ctx, "endpoints", all(4)); err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		e := got[strings.TrimPrefix(pod.Name, "default/")]
		if e.Addresses[0] != pod.IPv6().String() || *e.NodeName != pod.NodeName() || *e.Zone != "z"+pod.NodeName()[1:] || !*e.Conditions.Ready {
			t.Errorf("endpoint of %s on %s: %+v", pod.Name, pod.NodeName(), e)
		}
	}

	victim := strings.TrimPrefix(pods[0].Name, "default/")
	obj := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: victim}}
	setReady := func(ready string) {
		if err := l.Client.Merge(ctx, obj, "", map[string]any{"metadata": map[string]any{"annotations": map[string]string{"lab/ready": ready}}}); err != nil {
			t.Fatal(err)
		}
		err := l.Until(ctx, "readiness "+ready, func() error {
			e := endpoints(t, ctx, l, "web", discoveryv1.AddressTypeIPv4)[victim]
			if fmt.Sprint(*e.Conditions.Ready, *e.Conditions.Serving) != ready+" "+ready {
				return fmt.Errorf("%+v", e.Conditions)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	setReady("false")
	setReady("true")
}

func TestDeletedPodDrains(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 1})
	apply(t, ctx, l, `
apiVersion: v1
kind: Pod
metadata: {name: slow, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 5
  containers: [{name: c, image: lab, ports: [{name: http, containerPort: 80}], lifecycle: {preStop: {sleep: {seconds: 1}}}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
`)
	pod, node := l.Pod("slow"), l.Node("n1")
	to := netip.AddrPortFrom(pod.IPv4(), 80)
	line, err := node.Open(probe.Request{To: to})
	if err != nil {
		t.Fatal(err)
	}
	obj := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "slow"}}
	begun := time.Now()
	if err = l.Client.Delete(ctx, obj, nil); err != nil {
		t.Fatal(err)
	}
	err = l.Until(ctx, "a terminating endpoint that serves", func() error {
		e := endpoints(t, ctx, l, "web", discoveryv1.AddressTypeIPv4)["slow"]
		if e.Conditions.Terminating == nil || !*e.Conditions.Terminating || !*e.Conditions.Serving || *e.Conditions.Ready {
			return fmt.Errorf("%+v", e.Conditions)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := node.Probe(probe.Request{To: to}); !r.OK() || time.Since(begun) > time.Second {
		t.Errorf("during its preStop sleep, after %v: %v", time.Since(begun), r)
	}
	time.Sleep(1500*time.Millisecond - time.Since(begun))
	if r := node.Probe(probe.Request{To: to}); r.Class != probe.Refused {
		t.Errorf("after its preStop sleep a new connection: %v, want refused", r)
	}
	if err := line.Beat(); err != nil {
		t.Errorf("an open connection while draining: %v", err)
	}
	line.Close()
	if err := l.WaitGone(ctx, "default", "slow"); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("gone after %v although its last connection ended after 1.5 s", took)
	}
	if left, _ := node.Run(ctx, "ip", "netns", "list"); strings.TrimSpace(left) != "" {
		t.Errorf("namespaces left on the node: %s", left)
	}
}

func TestRollingUpdate(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 2})
	apply(t, ctx, l, web)
	old := l.Pods("default", "app=web")
	apply(t, ctx, l, strings.Replace(web, "labels: {app: web}", "labels: {app: web, version: two}", 1))
	err := l.Until(ctx, "four new pods and no old one", func() error {
		if now := l.Pods("default", "version=two"); len(now) != 4 {
			return fmt.Errorf("%d new pods", len(now))
		}
		for _, p := range old {
			if l.FindPod(p.Name) != nil {
				return errors.New(p.Name + " is there")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, ctx, l, strings.Replace(web, "replicas: 4", "replicas: 1", 1))
	err = l.Until(ctx, "one pod", func() error {
		if n := len(kube.All[corev1.Pod](l.Watch.Pods, "default")); n != 1 {
			return fmt.Errorf("%d pods", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := l.Delete(ctx, web); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitGone(ctx, "default", ""); err != nil {
		t.Error(err)
	}
}

func TestKindsOfPods(t *testing.T) {
	var early []string
	l, ctx := start(t, lab.Config{Nodes: 2, PodStarted: func(h *lab.Host) {
		if h.Name == "default/process" {
			early = append(early, h.IPv4().String())
		}
	}})
	apply(t, ctx, l, `
apiVersion: v1
kind: Pod
metadata: {name: host}
spec: {nodeName: n2, hostNetwork: true, containers: [{name: c, image: lab, ports: [{containerPort: 7000}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: process, annotations: {lab/process: "true"}}
spec: {nodeName: n1, terminationGracePeriodSeconds: 1, containers: [{name: c, image: lab, ports: [{containerPort: 53, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: limited, annotations: {kubernetes.io/ingress-bandwidth: 8M}}
spec: {nodeName: n1, containers: [{name: c, image: lab}]}
`)
	n1 := l.Node("n1")
	if r := n1.Probe(probe.Request{To: netip.AddrPortFrom(l.Node("n2").IPv6(), 7000)}); r.Pod != "default/host" || r.Client.Addr() != n1.IPv6() {
		t.Errorf("hostNetwork pod: %v", r)
	}
	process := l.Pod("process")
	for _, addr := range process.Addrs() {
		if r := n1.Probe(probe.Request{To: netip.AddrPortFrom(addr, 53), Proto: "udp"}); r.Pod != "default/process" {
			t.Errorf("pod with a process of its own at %s: %v", addr, r)
		}
	}
	if len(early) != 1 || early[0] != process.IPv4().String() {
		t.Errorf("the hook saw %q, want %s once", early, process.IPv4())
	}
	if out, err := process.Run(ctx, "ip", "-br", "addr", "show", "eth0"); err != nil || !strings.Contains(out, process.IPv4().String()) {
		t.Errorf("command in the pod: %v: %s", err, out)
	}
	if out, err := n1.Run(ctx, "tc", "qdisc"); err != nil || !strings.Contains(out, "8Mbit") {
		t.Errorf("bandwidth annotation: %v: %s", err, out)
	}
	gone := l.Client.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "process"}}, nil)
	if err := errors.Join(gone, l.WaitGone(ctx, "default", "process")); err != nil {
		t.Error(err)
	}
}

func TestRoutedTopologyAndAPIOutage(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 4, Subnets: 2, MTU: 1400})
	n1, n4 := l.Node("n1"), l.Node("n4")
	if n1.IPv4() != netip.MustParseAddr("172.30.0.11") || n4.IPv4() != netip.MustParseAddr("172.30.1.14") {
		t.Errorf("n1 %s, n4 %s", n1.IPv4(), n4.IPv4())
	}
	ask := func(path string) probe.Result {
		return n4.Probe(probe.Request{To: netip.MustParseAddrPort("127.0.0.1:6443"), Path: path})
	}
	if r := ask("/version"); r.Class != probe.Garbled {
		t.Errorf("API server as a node sees it: %v, want something that is no pod", r)
	}
	if err := l.SetAPIDown(true); err != nil {
		t.Fatal(err)
	}
	if r := ask("/version"); r.Class != probe.Refused {
		t.Errorf("API server during its outage: %v, want refused", r)
	}
	if err := l.SetAPIDown(false); err != nil {
		t.Fatal(err)
	}
	if r := ask("/version"); r.Class != probe.Garbled {
		t.Errorf("API server after its outage: %v", r)
	}
	out, err := l.Outside().Run(ctx, "ip", "-br", "link", "show", "eth0")
	if err != nil || !strings.Contains(out, "UP") {
		t.Errorf("%v: %s", err, out)
	}
}
