//go:build addresses

package addresses

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/labtest"
	"kube-router/internal/lab/podserver"
	"kube-router/internal/lab/probe"
)

// The addresses of the gateway "pay".
var (
	pay4 = netip.MustParseAddr("198.18.0.7")
	pay6 = netip.MustParseAddr("fd00:198:18::7")
)

const payGateway = `
apiVersion: kube-router.io/v1alpha1
kind: EgressGateway
metadata: {name: pay}
spec:
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: pay}}
  addresses: [198.18.0.7, "fd00:198:18::7"]
  nodeSelector: {matchLabels: {egress: "yes"}}
`

// scene is a lab with a gateway's nodes, a namespace of those that leave by it, and a host outside that notes every source.
type scene struct {
	*world
	heard *capture
}

func newScene(t *testing.T, c lab.Config, gateways ...string) *scene {
	t.Helper()
	if c.Nodes == 0 {
		c.Nodes = 4
	}
	c.DaemonArgs = append([]string{"--run-egress"}, c.DaemonArgs...)
	s := &scene{world: start(t, c)}
	s.install(t)
	for _, n := range gateways {
		s.must(t, s.Apply(s.ctx, fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: %s, labels: {egress: "yes"}}}`, n)))
	}
	s.must(t, s.Apply(s.ctx, `
apiVersion: v1
kind: Namespace
metadata: {name: pay, labels: {kubernetes.io/metadata.name: pay}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web, namespace: pay}
spec: &spec
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: lab, ports: [{containerPort: 8080}]}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: other, namespace: default}
spec:
  selector: {matchLabels: {app: other}}
  template:
    metadata: {labels: {app: other}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: lab, ports: [{containerPort: 8080}]}]
`))
	s.must(t, s.WaitReady(s.ctx))
	var server *podserver.Server
	s.must(t, s.Outside().Do(func() (err error) {
		server, err = podserver.Listen(podserver.Config{Pod: "outside", Node: "outside", TCP: []uint16{port}, UDP: []uint16{port}})
		return err
	}))
	t.Cleanup(func() { server.Close() })
	s.heard = listen(t, s.Outside())
	return s
}

// install makes the API server know our kinds.
func (w *world) install(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("../../deploy/kustomize/crds/*gateways.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no definitions: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil {
			err = w.Apply(w.ctx, string(text))
		}
		w.must(t, err)
	}
}

func (w *world) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// leaving is a line of `show egress`.
type leaving struct {
	Gateway, Node, Way string
	Address            netip.Addr
	Pods               int
}

// shown is what a node says of an address.
func (s *scene) shown(node string, a netip.Addr) (leaving, error) {
	out, err := s.Node(node).Run(s.ctx, programs+"/kube-router", "show", "egress", "-o", "json")
	if err != nil {
		return leaving{}, fmt.Errorf("%w: %s", err, out)
	}
	var list []leaving
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return leaving{}, fmt.Errorf("%w in %s", err, out)
	}
	for _, l := range list {
		if l.Address == a {
			return l, nil
		}
	}
	return leaving{}, fmt.Errorf("%s is not shown in %s", a, out)
}

// home waits until every node names the same node for an address, among those, and leads the router there: what an announcement does.
func (s *scene) home(t *testing.T, a netip.Addr, among ...string) string {
	t.Helper()
	var node string
	s.must(t, s.Until(s.ctx, "the gateway of "+a.String(), func() error {
		node = ""
		for _, n := range s.Nodes() {
			if !n.DaemonRunning() {
				continue
			}
			l, err := s.shown(n.Name, a)
			switch {
			case err != nil:
				return err
			case node != "" && l.Node != node:
				return fmt.Errorf("%s says %s, others %s", n.Name, l.Node, node)
			case !strings.Contains(strings.Join(among, " "), l.Node) || l.Node == "":
				return fmt.Errorf("%s says %q", n.Name, l.Node)
			}
			node = l.Node
		}
		return nil
	}))
	s.lead(t, a, node)
	return node
}

// lead leads the router to a node for an address.
func (s *scene) lead(t *testing.T, a netip.Addr, node string) {
	t.Helper()
	f := 0
	if a.Is6() {
		f = 1
	}
	s.must(t, s.Fabric().Route(netip.PrefixFrom(a, a.BitLen()), s.Node(node).Addrs()[f]))
}

// from asks the host outside from a pod until it answers and has seen an address.
func (s *scene) from(t *testing.T, pod *lab.Host, proto string, want netip.Addr) string {
	t.Helper()
	f := 0
	if want.Is6() {
		f = 1
	}
	ctx, cancel := context.WithTimeout(s.ctx, 20*time.Second)
	defer cancel()
	if err := s.Until(ctx, "an answer", func() error {
		r := pod.Probe(probe.Request{To: netip.AddrPortFrom(s.Outside().Addrs()[f], port), Proto: proto, Timeout: time.Second})
		if !r.OK() || r.Client.Addr() != want {
			return fmt.Errorf("%s on %s: %v, want %s seen", pod.Name, pod.NodeName(), r, want)
		}
		return nil
	}); err != nil {
		return err.Error()
	}
	return ""
}

// TestPodsLeaveAsTheirGateway: pods of every node, and of the gateway itself, leave by the gateway's addresses, in both families; others don't, and
// nothing else changes for those that do.
func TestPodsLeaveAsTheirGateway(t *testing.T) {
	s := newScene(t, lab.Config{}, "n3", "n4")
	s.must(t, s.Apply(s.ctx, payGateway))
	s.leave(t)
}

// TestEngineThroughTunnels: the same where nodes are in two subnets, with a tunnel to the gateway and back.
func TestEngineThroughTunnels(t *testing.T) {
	encap := map[bool]string{true: "ipip", false: "vxlan"}[labtest.Engine() == "ipvs"] // what this kernel has
	s := newScene(t, lab.Config{Subnets: 2, DaemonArgs: []string{"--overlay-encap=" + encap}}, "n3", "n4")
	s.must(t, s.Apply(s.ctx, payGateway))
	s.leave(t)
}

// leave judges who leaves with which address.
func (s *scene) leave(t *testing.T) {
	t.Helper()
	for _, a := range []netip.Addr{pay4, pay6} {
		node := s.home(t, a, "n3", "n4")
		s.heard.take()
		for _, pod := range s.Pods("pay", "app=web") {
			for _, proto := range []string{"tcp", "udp"} {
				judge(t, fmt.Sprintf("%s of %s leaves by %s, %s", pod.NodeName(), a, node, proto), s.from(t, pod, proto, a))
			}
		}
		judge(t, "nobody saw another source than "+a.String(), only(s.heard.take(), a))
		for _, pod := range s.Pods("default", "app=other") {
			f := 0
			if a.Is6() {
				f = 1
			}
			judge(t, "a pod that isn't selected leaves with its node's address", s.from(t, pod, "tcp", s.Node(pod.NodeName()).Addrs()[f]))
		}
	}
}
