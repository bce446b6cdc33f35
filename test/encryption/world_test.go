//go:build encryption || guest

package encryption

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/labtest"
	"kube-router/internal/lab/probe"
)

// pods is one pod on every node, and a Service of all.
const pods = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeSelector: {kubernetes.io/os: linux}
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: lab, ports: [{containerPort: 8080}, {containerPort: 8080, protocol: UDP}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
`

const port, nodePort = 8080, 30080

// families are the positions of a lab host's addresses.
var families = []string{"IPv4", "IPv6"}

// The flags of encryption. A lab node's /run is its own.
var (
	encrypted = []string{"--encryption=wireguard", "--wireguard-key-file=/run/kube-router/wireguard.key"}
	strict    = append(encrypted[:2:2], "--encryption-strict")
)

// ranges tells where pods are, which strict mode needs.
const ranges = "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48"

// world is a lab with what tests ask of it.
type world struct {
	*lab.Lab
	t     testing.TB
	ctx   context.Context
	wires []*wire
	left  sync.Map // names of pods that went with their node: what is open to them ends
}

// begin starts a lab with a pod on every node, and watches every node's wire.
func begin(t testing.TB, config lab.Config, args ...string) *world {
	t.Helper()
	config.DaemonArgs = append([]string{ranges}, args...)
	l, ctx := labtest.Start(t, 10*time.Minute, programs, config)
	w := &world{Lab: l, t: t, ctx: ctx}
	t.Cleanup(func() {
		for _, tap := range w.wires {
			tap.close()
		}
	})
	w.check(l.Apply(ctx, pods))
	w.check(l.WaitReady(ctx))
	return w
}

// tap watches the wire of every node from now on.
func (w *world) tap() {
	w.t.Helper()
	for _, n := range w.Nodes() {
		tap, err := tapped(n.Host)
		w.check(err)
		w.wires = append(w.wires, tap)
	}
}

// inClear is an error if anything of pods was on a wire since the last time.
func (w *world) inClear() error {
	var all []error
	for _, tap := range w.wires {
		all = append(all, tap.seen())
	}
	return errors.Join(all...)
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// judge notes a case.
func (w *world) judge(group, name string, err error, note string, args ...any) {
	w.t.Helper()
	scoring.Judge(w.t, group, name, err, note, args...)
}

// within waits until ask is content.
func (w *world) within(limit time.Duration, ask func() error) error {
	ctx, cancel := context.WithTimeout(w.ctx, limit)
	defer cancel()
	return w.Until(ctx, "it", ask)
}

// pod is the pod on a node.
func (w *world) pod(node string) *lab.Host {
	w.t.Helper()
	for _, p := range w.Pods("default", "app=web") {
		if p.NodeName() == node {
			return p
		}
	}
	w.t.Fatalf("no pod on %s", node)
	return nil
}

// reaches is an error unless "to" answers "from" and saw its own address.
func reaches(from, target *lab.Host, family int, proto string, size int) error {
	q := probe.Request{To: netip.AddrPortFrom(target.Addrs()[family], port), Proto: proto, Size: size}
	switch r := from.Probe(q); {
	case !r.OK():
		return fmt.Errorf("%s → %s %s %s: %v", from.NodeName(), target.NodeName(), families[family], proto, r)
	case r.Pod != target.Name || r.Client.Addr() != from.Addrs()[family]:
		return fmt.Errorf("%s → %s: %s answered and saw %s, want %s to see %s",
			from.NodeName(), target.NodeName(), r.Pod, r.Client.Addr(), target.Name, from.Addrs()[family])
	}
	return nil
}

// everyPair is an error unless every pod reaches every other, with the family's TCP, UDP, and large datagrams.
func (w *world) everyPair(family int) error {
	all := w.Pods("default", "app=web")
	for _, from := range all {
		for _, target := range all {
			if from == target {
				continue
			}
			for _, size := range []int{0, 4000} {
				if err := reaches(from, target, family, "udp", size); err != nil {
					return err
				}
			}
			if err := reaches(from, target, family, "tcp", 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// show is what a command of ours prints on a node.
func (w *world) show(node string, words ...string) (string, error) {
	out, err := w.Node(node).Command(w.ctx, filepath.Join(programs, "kube-router"), words...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %s: %w: %s", node, strings.Join(words, " "), err, out)
	}
	return string(out), nil
}

// steered is an error unless every node's routes to every other's pods lead into WireGuard.
func (w *world) steered(nodes ...*lab.Node) error {
	for _, from := range nodes {
		for _, to := range nodes {
			if from == to {
				continue
			}
			for _, cmd := range []string{fmt.Sprintf("ip route show 10.244.%d.0/24", to.Number()), fmt.Sprintf("ip -6 route show fd00:10:244:%x::/64", to.Number())} {
				out, err := from.Run(w.ctx, "sh", "-c", cmd)
				if err != nil || !strings.Contains(out, "dev kube-wg") {
					return fmt.Errorf("%s: %s: %v %q", from.Name, cmd, err, out)
				}
			}
		}
	}
	return nil
}
