//go:build interop

package interop

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/labtest"
)

// programs is the directory of our programs.
var programs string

func TestMain(m *testing.M) { os.Exit(labtest.Run(m, &programs)) }

// world is a lab with what tests ask of it.
type world struct {
	*lab.Lab
	t   testing.TB
	ctx context.Context
}

// Addresses of the lab: nodes .11, .12, …; the first router .200, the second .201, and so in IPv6.
const (
	first   = "172.30.0.200"
	second  = "172.30.0.201"
	first6  = "fd00:172:30::200"
	second6 = "fd00:172:30::201"
)

// begin starts a lab with the routers r1 and r2 beside its nodes.
func begin(t testing.TB, config lab.Config, args ...string) *world {
	t.Helper()
	config.DaemonArgs = append(args, "--service-external-ip-range=fd00:10:98::/112")
	if config.Families != lab.IPv6Only {
		config.DaemonArgs = append(config.DaemonArgs, "--service-external-ip-range=10.98.0.0/16")
	}
	if len(config.Hosts) == 0 {
		config.Hosts = []lab.HostConfig{{Name: "r1"}, {Name: "r2"}}
	}
	if config.Nodes == 0 {
		config.Nodes = 2
	}
	l, ctx := labtest.Start(t, 3*time.Minute, programs, config)
	w := &world{Lab: l, t: t, ctx: ctx}
	return w
}

// peering are the flags for sessions with routers of AS 65001 and 65002, as many as there are addresses.
func peering(addrs ...string) []string {
	var asns []string
	for i := range addrs {
		asns = append(asns, fmt.Sprint(65001+i))
	}
	return []string{
		"--peer-router-ips=" + strings.Join(addrs, ","), "--peer-router-asns=" + strings.Join(asns, ","),
		"--advertise-external-ip=true",
	}
}

// until waits for a condition; the test fails when it isn't met in time.
func (w *world) until(what string, limit time.Duration, ask func() error) {
	w.t.Helper()
	begun := time.Now()
	ctx, cancel := context.WithTimeout(w.ctx, limit)
	defer cancel()
	if err := w.Until(ctx, what, ask); err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("%s after %v", what, time.Since(begun).Round(10*time.Millisecond))
}

// apply creates or changes objects.
func (w *world) apply(manifest string) {
	w.t.Helper()
	if err := w.Apply(w.ctx, manifest); err != nil {
		w.t.Fatal(err)
	}
}

// remove deletes objects.
func (w *world) remove(manifest string) {
	w.t.Helper()
	if err := w.Client.Remove(w.ctx, []byte(manifest)); err != nil {
		w.t.Fatal(err)
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
	w.patch(node, map[string]any{"metadata": map[string]any{"annotations": values}})
}

// show asks a node's daemon.
func (w *world) show(node string, what ...string) string {
	w.t.Helper()
	out, err := w.node(node).Run(w.ctx, filepath.Join(programs, "kube-router"), append([]string{"show"}, what...)...)
	if err != nil {
		w.t.Fatalf("show %v on %s: %v\n%s", what, node, err, out)
	}
	return out
}

func (w *world) node(name string) *lab.Node {
	for _, n := range w.Nodes() {
		if n.Name == name {
			return n
		}
	}
	w.t.Fatalf("no node %s", name)
	return nil
}

// routes are the routes of a node's kernel that came from BGP.
func (w *world) routes(node string) string {
	w.t.Helper()
	var all string
	for _, f := range []string{"-4", "-6"} {
		out, err := w.node(node).Run(w.ctx, "ip", f, "route", "show", "proto", "17")
		if err != nil {
			w.t.Fatalf("%v: %s", err, out)
		}
		all += out
	}
	return all
}

// contains is an error unless text has all words.
func contains(text string, words ...string) error {
	for _, word := range words {
		if !strings.Contains(squeeze(text), squeeze(word)) {
			return fmt.Errorf("no %q in:\n%s", word, text)
		}
	}
	return nil
}

// lacks is an error if text has one of the words.
func lacks(text string, words ...string) error {
	for _, word := range words {
		if strings.Contains(squeeze(text), squeeze(word)) {
			return fmt.Errorf("%q in:\n%s", word, text)
		}
	}
	return nil
}

// squeeze makes one space of the spaces of a table.
func squeeze(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	return strings.Join(lines, "\n")
}

// service is a Service with an external address and one endpoint on a node, without pods.
func service(name string, v4, v6, node, policy string) string {
	manifest := fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: default}
spec:
  type: NodePort
  externalTrafficPolicy: %[5]s
  ipFamilyPolicy: PreferDualStack
  externalIPs: [%[2]q, %[3]q]
  ports: [{port: 80}]
`, name, v4, v6, node, policy)
	for _, f := range []struct{ family, addr string }{{"IPv4", "192.0.2.1"}, {"IPv6", "2001:db8::1"}} {
		manifest += slice(name, f.family, f.addr, node)
	}
	return manifest
}

func slice(service, family, addr, node string) string {
	return fmt.Sprintf(`---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-%[5]s, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}
addressType: %[2]s
ports: [{port: 80, protocol: TCP, name: ""}]
endpoints: [{addresses: [%[3]q], nodeName: %[4]s, conditions: {ready: true}}]
`, service, family, addr, node, strings.ToLower(family))
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
