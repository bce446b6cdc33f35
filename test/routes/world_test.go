//go:build routes || guest

package routes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
	"kube-router/internal/lab/labtest"
	"kube-router/internal/lab/probe"
)

// pods is one pod on every node.
const pods = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: lab, ports: [{containerPort: 8080}, {containerPort: 8080, protocol: UDP}]}]
`

const port = 8080

// families are the positions of a lab host's addresses.
var families = []string{"IPv4", "IPv6"}

// world is a lab with what tests ask of it.
type world struct {
	*lab.Lab
	t   testing.TB
	ctx context.Context
}

// begin starts a lab with a pod on every node, and waits until they reach each other.
func begin(t testing.TB, config lab.Config, args ...string) *world {
	t.Helper()
	config.DaemonArgs = args
	l, ctx := labtest.Start(t, 15*time.Minute, programs, config)
	w := &world{Lab: l, t: t, ctx: ctx}
	w.check(l.Apply(ctx, pods))
	w.check(l.WaitReady(ctx))
	return w
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

// within waits until ask is content and returns how long that took.
func (w *world) within(limit time.Duration, ask func() error) (time.Duration, error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(w.ctx, limit)
	defer cancel()
	err := w.Until(ctx, "it", ask)
	return round(time.Since(begun)), err
}

// sh runs a command line on a host.
func (w *world) sh(h *lab.Host, command string, args ...any) string {
	w.t.Helper()
	command = fmt.Sprintf(command, args...)
	out, err := h.Run(w.ctx, "sh", "-c", command)
	if err != nil {
		w.t.Fatalf("%s: %s: %v\n%s", h.Name, command, err, out)
	}
	return out
}

// says is an error unless a command line on a host succeeds and prints all words.
func (w *world) says(h *lab.Host, command string, words ...string) error {
	out, err := h.Run(w.ctx, "sh", "-c", command)
	if err != nil {
		return fmt.Errorf("%s: %s: %w: %s", h.Name, command, err, out)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			return fmt.Errorf("%s: %s: no %q in:\n%s", h.Name, command, word, out)
		}
	}
	return nil
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

// to asks a host's address of a family (a position in families) at a port.
func to(h *lab.Host, family int, port uint16) probe.Request {
	return probe.Request{To: netip.AddrPortFrom(h.Addrs()[family], port)}
}

// reaches is an error unless "to" answers "from" and saw its own address.
func reaches(from, target *lab.Host, family int, proto string) error {
	q := to(target, family, port)
	q.Proto = proto
	switch r := from.Probe(q); {
	case !r.OK():
		return fmt.Errorf("%s → %s %s: %v", from.NodeName(), target.NodeName(), families[family], r)
	case r.Pod != target.Name || r.Client.Addr() != from.Addrs()[family]:
		return fmt.Errorf("%s → %s: %s answered and saw %s, want %s to see %s",
			from.NodeName(), target.NodeName(), r.Pod, r.Client.Addr(), target.Name, from.Addrs()[family])
	}
	return nil
}

// everyPair is an error unless every pod reaches every other.
func (w *world) everyPair(family int, proto string) error {
	all := w.Pods("default", "app=web")
	for _, from := range all {
		for _, target := range all {
			if from == target {
				continue
			}
			if err := reaches(from, target, family, proto); err != nil {
				return err
			}
		}
	}
	return nil
}

// restart runs every daemon with more flags.
func (w *world) restart(more ...string) {
	w.t.Helper()
	for _, n := range w.Nodes() {
		w.check(n.RestartDaemon(more...))
	}
}

// annotate sets annotations of a node; an empty value takes one away.
func (w *world) annotate(node string, pairs ...string) {
	w.t.Helper()
	values := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		values["kube-router.io/"+pairs[i]] = pairs[i+1]
		if pairs[i+1] == "" {
			values["kube-router.io/"+pairs[i]] = nil
		}
	}
	obj := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	w.check(w.Client.Merge(w.ctx, obj, "", map[string]any{"metadata": map[string]any{"annotations": values}}))
}

// session is what "show peers" tells of a session.
type session struct {
	Node, Session, BFD string
	Since              time.Time
	Accepted           int
}

// peers are a node's sessions by the other's name.
func (w *world) peers(node string) (map[string]session, error) {
	out, err := w.Node(node).Command(w.ctx, filepath.Join(programs, "kube-router"), "show", "peers", "-o", "json").Output()
	if err != nil {
		return nil, fmt.Errorf("show peers on %s: %w", node, err)
	}
	var list []session
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, fmt.Errorf("show peers on %s: %w in %s", node, err, out)
	}
	all := map[string]session{}
	for _, s := range list {
		all[s.Node] = s
	}
	return all, nil
}

// round makes a time readable.
func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
