//go:build flows

package flows

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kube-router/internal/flow"
	"kube-router/internal/lab"
	"kube-router/internal/lab/labtest"
	"kube-router/internal/lab/probe"
)

// objects are a pod of each workload on every node, in two namespaces, and the Services that flows go through.
const objects = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: lab, ports: [{containerPort: 8080}, {containerPort: 8080, protocol: UDP}]}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: client, namespace: default}
spec:
  selector: {matchLabels: {app: client}}
  template:
    metadata: {labels: {app: client}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: lab, ports: [{containerPort: 8080}, {containerPort: 8080, protocol: UDP}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
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

// begin starts a lab whose nodes keep flows.
func begin(t testing.TB, config lab.Config, args ...string) *world {
	t.Helper()
	config.DaemonArgs = append([]string{"--flows=all"}, args...)
	l, ctx := labtest.Start(t, 8*time.Minute, programs, config)
	w := &world{Lab: l, t: t, ctx: ctx}
	w.apply(objects)
	w.check(l.WaitReady(ctx))
	return w
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) apply(manifest string) {
	w.t.Helper()
	w.check(w.Apply(w.ctx, manifest))
}

// judge notes a case.
func (w *world) judge(group, name string, err error) {
	w.t.Helper()
	scoring.Judge(w.t, group, name, err, "")
}

// pod is the pod of a workload on a node.
func (w *world) pod(namespace, app, node string) *lab.Host {
	w.t.Helper()
	for _, p := range w.Pods(namespace, "app="+app) {
		if p.NodeName() == node {
			return p
		}
	}
	w.t.Fatalf("no pod %s/%s on %s", namespace, app, node)
	return nil
}

// run is what a program of ours prints on a node; only what it prints for its user counts.
func (w *world) run(node string, words ...string) (string, error) {
	cmd := w.Node(node).Command(w.ctx, filepath.Join(programs, "kube-router"), words...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %s: %w: %s", node, strings.Join(words, " "), err, said.String())
	}
	return out.String(), nil
}

// records are the lines of JSON.
func records(text string) (list []flow.Record, err error) {
	for line := range strings.Lines(text) {
		var r flow.Record
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			return nil, fmt.Errorf("%w in %s", err, line)
		}
		list = append(list, r)
	}
	return list, nil
}

// soon asks again until it is content, for half a minute at most.
func (w *world) soon(ask func() error) error {
	ctx, cancel := context.WithTimeout(w.ctx, 30*time.Second)
	defer cancel()
	return w.Until(ctx, "it", ask)
}

// found waits until a node tells of a flow: a line with all of the words, and a record that is as it should be.
func (w *world) found(node string, filter []string, words []string, is func(flow.Record) string) error {
	return w.soon(func() error {
		args := append([]string{"flows", "--last", "50"}, filter...)
		text, err := w.run(node, args...)
		if err != nil {
			return err
		}
		lines := strings.Split(text, "\n")
		if !slices.ContainsFunc(lines, func(l string) bool {
			return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(l, word) })
		}) {
			return fmt.Errorf("%s %v: no line with %q in\n%s", node, filter, words, text)
		}
		text, err = w.run(node, append(args, "-o", "json")...)
		if err != nil {
			return err
		}
		list, err := records(text)
		if err != nil {
			return err
		}
		var complaints []string
		for _, r := range list {
			if r.Flow == nil {
				continue
			}
			complaint := is(r)
			if complaint == "" {
				return nil
			}
			complaints = append(complaints, complaint)
		}
		return fmt.Errorf("%s %v: %v in\n%s", node, filter, complaints, text)
	})
}

// ask sends one question, and doesn't mind what comes of it.
func ask(from *lab.Host, to netip.AddrPort, proto string) probe.Result {
	return from.Probe(probe.Request{To: to, Proto: proto, Timeout: 2 * time.Second})
}

// wanted compares texts, each with what it should be.
func wanted(pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != pairs[i+1] {
			return fmt.Sprintf("%q, want %q", pairs[i], pairs[i+1])
		}
	}
	return ""
}

// frontend is the cluster address of a Service of a family.
func (w *world) frontend(namespace, name string, family int) netip.Addr {
	w.t.Helper()
	out, err := w.run("n1", "show", "services", namespace+"/"+name, "-o", "json")
	w.check(err)
	var list []struct {
		Addr netip.Addr
		Kind int
	}
	w.check(json.Unmarshal([]byte(out), &list))
	for _, s := range list {
		if s.Addr.Is6() == (family == 1) {
			return s.Addr
		}
	}
	w.t.Fatalf("%s/%s has no address of %s: %s", namespace, name, families[family], out)
	return netip.Addr{}
}
