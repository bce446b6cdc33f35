//go:build routes

package routes

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// both runs iptables in both families; Y stands for the tool.
func both(command string) string {
	return strings.ReplaceAll(command, "Y ", "iptables-nft ") + "; " + strings.ReplaceAll(command, "Y ", "ip6tables-nft ")
}

// TestOthersDropAtForward has another program drop what it doesn't know at hook forward.
func TestOthersDropAtForward(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 2})
	w.check(w.Apply(w.ctx, `
apiVersion: v1
kind: Service
metadata: {name: four, namespace: default}
spec: {ipFamilyPolicy: SingleStack, ipFamilies: [IPv4], clusterIP: 10.96.7.7, ports: [{port: 80, targetPort: 8080}], selector: {app: web}}
---
apiVersion: v1
kind: Service
metadata: {name: six, namespace: default}
spec: {ipFamilyPolicy: SingleStack, ipFamilies: [IPv6], clusterIP: "fd00:10:96::77", ports: [{port: 80, targetPort: 8080}], selector: {app: web}}
`))
	services := []string{"10.96.7.7", "fd00:10:96::77"}
	const group = "others drop at hook forward"
	n1 := w.Node("n1")
	bin := filepath.Join(programs, "kube-router")
	passes := func(what string) {
		t.Helper()
		for f, name := range families {
			took, err := w.within(20*time.Second, func() error {
				if err := w.everyPair(f, "tcp"); err != nil {
					return err
				}
				for range 4 {
					q := probe.Request{To: netip.AddrPortFrom(netip.MustParseAddr(services[f]), 80)}
					if r := w.pod("n1").Probe(q); !r.OK() {
						return fmt.Errorf("the Service: %v", r)
					}
				}
				return nil
			})
			w.judge(group, what+", "+name, err, "after %s", took)
		}
	}
	// lost is an error unless no pod of another node is reached.
	lost := func() error {
		for f := range families {
			if reaches(w.pod("n1"), w.pod("n2"), f, "tcp") == nil {
				return fmt.Errorf("%s passes", families[f])
			}
		}
		return nil
	}
	look := both("Y -S FORWARD")
	readyz := "curl -s http://127.0.0.1:20244/readyz; true"
	silent := func(command string, words ...string) func() error {
		return func() error {
			out := w.sh(n1.Host, "%s", command)
			for _, word := range words {
				if strings.Contains(out, word) {
					return fmt.Errorf("%q in\n%s", word, out)
				}
			}
			return nil
		}
	}
	judge := func(what string, f func() error) {
		t.Helper()
		took, err := w.within(20*time.Second, f)
		w.judge(group, what, err, "after %s", took)
	}

	passes("nothing drops")
	w.sh(n1.Host, "%s", both("Y -A FORWARD -i mine -j ACCEPT"))
	judge("where nothing drops nothing is written", silent(look, "kube-router"))
	w.sh(n1.Host, "%s", both("Y -P FORWARD DROP"))
	passes("policy drop while the daemon runs")
	w.sh(n1.Host, "%s", both("Y -F FORWARD"))
	passes("after a flush")
	w.check(n1.StopDaemon())
	w.sh(n1.Host, "%s", both("Y -F FORWARD")+"; "+both("Y -A FORWARD -i mine -j ACCEPT")+"; "+both("Y -A FORWARD -p tcp -j REJECT"))
	judge("nothing passes without a daemon", lost)
	w.check(n1.StartDaemon())
	passes("policy drop and a rule that rejects before the daemon starts")
	judge("ready", func() error { return w.says(n1.Host, readyz, "OK") })
	judge("iptables reads it", func() error { return w.says(n1.Host, look, "kube-router: pods", "-i mine") })

	// The lab's network policy of ours still decides.
	w.check(w.Apply(w.ctx, `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: none, namespace: default}
spec: {podSelector: {}, policyTypes: [Ingress]}
`))
	judge("a policy still decides", lost)
	w.sh(n1.Host, "%s show rows forward", bin)

	w.check(n1.StopDaemon())
	w.sh(n1.Host, "%s cleanup", bin)
	judge("cleanup leaves theirs", silent(look, "kube-router"))
	judge("and all of theirs", func() error { return w.says(n1.Host, look, "-P FORWARD DROP", "-i mine", "REJECT") })

	w.check(n1.StartDaemon("--foreign-forward-accept=false"))
	judge("forbidden: not ready, and why", func() error { return w.says(n1.Host, readyz, "ip filter FORWARD", "ip6 filter FORWARD") })
	judge("forbidden: shown", func() error { return w.says(n1.Host, bin+" show", "ip filter FORWARD") })
	judge("forbidden: nothing is written", silent(look, "kube-router"))
	w.sh(n1.Host, "%s", both("Y -I FORWARD -i kube-bridge -j ACCEPT"))
	judge("forbidden, and the operator's own rule: ready", func() error { return w.says(n1.Host, readyz, "OK") })
	w.sh(n1.Host, "%s", both("Y -P FORWARD ACCEPT")+"; "+both("Y -F FORWARD"))

	w.sh(n1.Host, "nft 'table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; policy drop; ct state established accept; }; }'")
	judge("another table: not ready, and why", func() error { return w.says(n1.Host, readyz, "inet firewalld filter_FORWARD") })
	judge("another table: shown", func() error { return w.says(n1.Host, bin+" show", "inet firewalld filter_FORWARD") })
	w.sh(n1.Host, "nft delete table inet firewalld")
	judge("ready once it is gone", func() error { return w.says(n1.Host, readyz, "OK") })
}

// TestLegacyDropsAtForward has iptables-legacy drop what it doesn't know: no rule of ours may stand there, so the node says that its pods reach nobody,
// at once where it starts so and within seconds where it comes later, until the operator lets them pass.
func TestLegacyDropsAtForward(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 2})
	const group = "iptables-legacy drops at hook forward"
	n1 := w.Node("n1")
	bin := filepath.Join(programs, "kube-router")
	legacy := func(command string) { w.sh(n1.Host, "%s", strings.ReplaceAll(both(command), "-nft", "-legacy")) }
	says := func(what, command string, words ...string) {
		t.Helper()
		took, err := w.within(20*time.Second, func() error { return w.says(n1.Host, command, words...) })
		w.judge(group, what, err, "after %s", took)
	}
	pass := func(what string, want bool) {
		t.Helper()
		for f, name := range families {
			_, err := w.within(20*time.Second, func() error {
				if err := reaches(w.pod("n1"), w.pod("n2"), f, "tcp"); (err == nil) != want {
					return fmt.Errorf("passes: %t: %v", !want, err)
				}
				return nil
			})
			w.judge(group, what+", "+name, err, "")
		}
	}
	const readyz = "curl -s http://127.0.0.1:20244/readyz; true"
	told := func(when string) {
		t.Helper()
		says(when+": not ready, and why", readyz, "iptables-legacy filter FORWARD", "ip6tables-legacy filter FORWARD", "kube-bridge")
		says(when+": shown", bin+" show", "iptables-legacy filter FORWARD")
		says(when+": a remark", bin+" show remarks", "ForwardChain ip6tables-legacy filter FORWARD", "drops packets of pods")
	}
	pass("before", true)
	legacy("Y -P FORWARD DROP; Y -A FORWARD -i docker0 -j ACCEPT")
	pass("policy drop", false)
	told("policy drop while the daemon runs")
	w.check(n1.RestartDaemon())
	told("before it starts")
	legacy("Y -A FORWARD -i kube-bridge -j ACCEPT; Y -A FORWARD -o kube-bridge -j ACCEPT")
	pass("with rules of the operator's", true)
	says("with rules of the operator's: ready", readyz, "OK")
	legacy("Y -F FORWARD; Y -P FORWARD ACCEPT; Y -A FORWARD -p tcp -j REJECT; Y -A FORWARD -j DROP")
	pass("rules that reject and drop", false)
	told("rules that reject and drop")
	legacy("Y -F FORWARD")
	pass("after a flush", true)
	says("after a flush: ready", readyz, "OK")
	took, err := w.within(time.Second, func() error {
		if out := w.sh(n1.Host, "iptables-legacy-save; ip6tables-legacy-save"); strings.Contains(out, "kube-router") {
			return fmt.Errorf("ours is in\n%s", out)
		}
		return nil
	})
	w.judge(group, "nothing is written there", err, "after %s", took)
}
