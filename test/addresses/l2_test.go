//go:build addresses

package addresses

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// The pool of the tests, in the nodes' own subnet, and what lets nodes answer for it.
const l2Objects = `
apiVersion: kube-router.io/v1alpha1
kind: AddressPool
metadata: {name: near}
spec:
  addresses: [172.30.0.100-172.30.0.120, "fd00:172:30:0::a0-fd00:172:30:0::af"]
---
apiVersion: kube-router.io/v1alpha1
kind: L2Advertisement
metadata: {name: near}
spec: {pools: [near]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: lab, ports: [{containerPort: 8080}]}]
`

const l2Service = `
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: default, annotations: {kube-router.io/service.loadbalancer-ips: "%s,%s"}}
spec:
  type: LoadBalancer
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
`

// definitions makes the API server know the kinds of these files.
func (w *world) definitions(t *testing.T, kinds ...string) {
	t.Helper()
	for _, k := range kinds {
		text, err := os.ReadFile("../../deploy/kustomize/crds/" + k + ".yaml")
		if err == nil {
			err = w.Apply(w.ctx, string(text))
		}
		w.must(t, err)
	}
}

// informed waits until every node has found out that kinds are there, which takes it half a minute: a node that hasn't yet watches over nobody.
func (w *world) informed(t *testing.T, kinds ...string) {
	t.Helper()
	for _, n := range w.Nodes() {
		w.must(t, w.Until(w.ctx, n.Name+" to read the kinds", func() error {
			text, err := os.ReadFile(n.LogPath())
			for _, k := range kinds {
				if err == nil && !strings.Contains(string(text), "read from now on\" kind="+k) {
					err = fmt.Errorf("not yet: %s", k)
				}
			}
			return err
		}))
	}
}

// answering are the nodes that say that they answer for an address.
func (w *world) answering(a netip.Addr) (list []string) {
	for _, n := range w.Nodes() {
		if !n.DaemonRunning() {
			continue
		}
		out, err := n.Run(w.ctx, programs+"/kube-router", "show", "rows", "l2")
		if err == nil && strings.Contains(out, "answer "+a.String()+" ") {
			list = append(list, n.Name)
		}
	}
	return list
}

// one waits until exactly one node answers for an address, and it is none of these.
func (w *world) one(t *testing.T, a netip.Addr, not ...string) string {
	t.Helper()
	var list []string
	w.must(t, w.Until(w.ctx, "one node answers for "+a.String(), func() error {
		if list = w.answering(a); len(list) != 1 || strings.Contains(strings.Join(not, " ")+" ", list[0]+" ") {
			return fmt.Errorf("%v", list)
		}
		return nil
	}))
	return list[0]
}

// gap asks at an address again and again until a moment after the change, and is the longest time without an answer.
func (w *world) gap(t *testing.T, from *lab.Host, a netip.Addr, change func() error) (longest time.Duration) {
	t.Helper()
	ask := func() bool {
		return from.Probe(probe.Request{To: netip.AddrPortFrom(a, 80), Timeout: 200 * time.Millisecond}).OK()
	}
	w.must(t, w.Until(w.ctx, a.String()+" answers", func() error {
		if !ask() {
			return fmt.Errorf("no answer")
		}
		return nil
	}))
	done := make(chan error, 1)
	go func() { done <- change() }()
	last, good := time.Now(), 0
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end) && (good < 100 || longest == 0 && good < 300); time.Sleep(10 * time.Millisecond) {
		if !ask() {
			good = 0
			continue
		}
		good++
		if now := time.Now(); now.Sub(last) > longest {
			longest = now.Sub(last)
		}
		last = time.Now()
	}
	w.must(t, <-done)
	if since := time.Since(last); since > longest {
		longest = since
	}
	return longest
}

// TestL2 has nodes answer for addresses in their subnet: one node an address and family, another when that one dies or is excluded.
func TestL2(t *testing.T) {
	w := start(t, lab.Config{Nodes: 3, Hosts: []lab.HostConfig{{Name: "client", Segment: 0}},
		DaemonArgs: []string{"--run-loadbalancer", "--advertise-loadbalancer-ip=false"}})
	w.definitions(t, "addresspools", "l2advertisements")
	w.must(t, w.Apply(w.ctx, l2Objects))
	v4 := netip.MustParseAddr("172.30.0.101")
	v6 := netip.MustParseAddr("fd00:172:30:0::a1")
	w.must(t, w.Apply(w.ctx, fmt.Sprintf(l2Service, "web", v4, v6)))
	w.must(t, w.WaitReady(w.ctx))
	w.informed(t, "AddressPool", "L2Advertisement")
	client := w.Host("client")
	for _, a := range []netip.Addr{v4, v6} {
		owner := w.one(t, a)
		took := w.gap(t, client, a, w.Node(owner).PowerOff)
		complaint := ""
		if took > 2*time.Second+slack {
			complaint = fmt.Sprintf("%s without an answer", took)
		}
		judge(t, fmt.Sprintf("power-off of %s, %s", "the owner", a), complaint)
		t.Logf("%s: power-off of %s: longest gap %s", a, owner, took)
		next := w.one(t, a, owner)
		w.must(t, w.Node(owner).Cable(true))
		w.must(t, w.Node(owner).StartDaemon())
		_ = next
		w.one(t, a)
		owner = w.one(t, a)
		took = w.gap(t, client, a, func() error {
			return w.Apply(w.ctx, fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: %s, labels: {node.kubernetes.io/exclude-from-external-load-balancers: ""}}}`, owner))
		})
		complaint = ""
		if took > 300*time.Millisecond+slack {
			complaint = fmt.Sprintf("%s without an answer", took)
		}
		judge(t, fmt.Sprintf("the owner is excluded, %s", a), complaint)
		t.Logf("%s: exclusion of %s: longest gap %s", a, owner, took)
		w.one(t, a, owner)
	}
}

// slack is what a busy machine may add.
const slack = time.Second
