package lab_test

import (
	"net/netip"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 2
      containers: [{name: web, image: lab, ports: [{name: http, containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
`

func TestPodsOfTwoNodesTalk(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 2, Progress: func(s string, d time.Duration) { t.Log(s, d) }})
	begun := time.Now()
	if err := l.Apply(ctx, web); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	t.Log("pods ready after", time.Since(begun))
	pods := l.Pods("default", "app=web")
	if len(pods) != 4 {
		t.Fatalf("%d pods, want 4", len(pods))
	}
	for _, from := range pods {
		for _, to := range pods {
			for _, addr := range to.Addrs() {
				for _, proto := range []string{"tcp", "udp"} {
					r := from.Probe(probe.Request{To: netip.AddrPortFrom(addr, 8080), Proto: proto})
					if r.Pod != to.Name || r.Client.Addr() != from.IPv4() && r.Client.Addr() != from.IPv6() {
						t.Errorf("%s on %s to %s %s: %v, want it to answer and to see %v", from.Name, from.NodeName(), proto, addr, r, from.Addrs())
					}
				}
			}
		}
	}
}
