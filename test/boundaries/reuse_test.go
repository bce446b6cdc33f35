//go:build boundaries

package boundaries

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// TestReusedAddress: a pod that gets the addresses of one that has gone is reached at once, by whoever knew the other: its neighbours,
// the node, and pods of other nodes.
func TestReusedAddress(t *testing.T) {
	s := newScene(t, lab.Config{})
	askers := map[string]*lab.Host{"a neighbour": s.teller, "the node": s.Node("n1").Host, "a pod elsewhere": s.teller2, "another node": s.Node("n2").Host}
	const pod = `{apiVersion: v1, kind: Pod, metadata: {name: NAME, namespace: bank}, spec: {nodeName: n1, terminationGracePeriodSeconds: 0, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}}`
	run := func(name string) *lab.Host {
		if err := s.Apply(s.ctx, strings.Replace(pod, "NAME", name, 1)); err != nil {
			t.Fatal(err)
		}
		if err := s.WaitReady(s.ctx); err != nil {
			t.Fatal(err)
		}
		return s.Pod("bank/" + name)
	}
	first := run("first")
	addrs, mac := first.Addrs(), macOf(t, first, "eth0")
	reached := func(a netip.Addr, from *lab.Host) (time.Duration, string) {
		began := time.Now()
		for {
			r := from.Probe(probe.Request{To: netip.AddrPortFrom(a, 8080), Timeout: 500 * time.Millisecond})
			if r.OK() {
				return time.Since(began), ""
			}
			if time.Since(began) > 70*time.Second {
				return 0, r.String()
			}
		}
	}
	for name, from := range askers {
		for _, a := range addrs {
			if _, complaint := reached(a, from); complaint != "" {
				t.Fatal(name, complaint)
			}
		}
	}
	if err := s.Delete(s.ctx, strings.Replace(pod, "NAME", "first", 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitGone(s.ctx, "bank", "first"); err != nil {
		t.Fatal(err)
	}
	if err := s.Until(s.ctx, "the address is free", func() error {
		_, err := s.Node("n1").Run(s.ctx, "sh", "-c", "! ls /var/lib/cni/networks/*/"+addrs[0].String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for i, a := range addrs { // host-local goes round, and comes back after a whole range
		mustRun(t, s.world, s.Node("n1").Host, "sh", "-c", fmt.Sprintf("for d in /var/lib/cni/networks/*; do echo -n %s >$d/last_reserved_ip.%d; done", a.Prev(), i))
	}
	second := run("second")
	if fmt.Sprint(second.Addrs()) != fmt.Sprint(addrs) || macOf(t, second, "eth0").String() == mac.String() {
		t.Fatalf("the second pod has %v at %s; the first had %v at %s", second.Addrs(), macOf(t, second, "eth0"), addrs, mac)
	}
	for name, from := range askers {
		for _, a := range addrs {
			took, complaint := reached(a, from)
			if complaint == "" && took > 2*time.Second {
				complaint = fmt.Sprintf("reached after %s", took)
			}
			judge(t, fmt.Sprintf("%s reaches %s", name, a), complaint)
		}
	}
}
