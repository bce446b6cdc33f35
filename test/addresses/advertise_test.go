//go:build addresses

package addresses

import (
	"encoding/base64"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"kube-router/internal/lab"
)

// learned is what a router says of a prefix: BIRD on r1 or FRR on r2. What it doesn't have is empty.
func (w *world) learned(t *testing.T, router, prefix string) string {
	t.Helper()
	if router == "bird" {
		out, err := w.Host("r1").Run(w.ctx, "/usr/sbin/birdc", "-s", "/run/bird.ctl", "show", "route", "all", prefix)
		if err != nil || strings.Contains(out, "Network not found") {
			return ""
		}
		return out
	}
	out, err := w.Host("r2").Run(w.ctx, "/usr/bin/vtysh", "--vty_socket", "/run/frr", "-c", "show bgp ipv4 unicast "+prefix)
	if err != nil || strings.Contains(out, "Network not in table") {
		return ""
	}
	return out
}

// told waits until a router has a prefix with all of these words or, where there are none, doesn't have it.
func (w *world) told(t *testing.T, router, prefix string, words ...string) string {
	t.Helper()
	have := ""
	err := w.Until(w.ctx, router+" and "+prefix, func() error {
		have = w.learned(t, router, prefix)
		if len(words) == 0 && have != "" {
			return fmt.Errorf("it has it: %s", have)
		}
		for _, word := range words {
			if !strings.Contains(strings.Join(strings.Fields(have), " "), word) {
				return fmt.Errorf("no %q in %q", word, have)
			}
		}
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return ""
}

const advertised = `
apiVersion: kube-router.io/v1alpha1
kind: AddressPool
metadata: {name: public}
spec: {addresses: [198.51.100.0/24]}
---
apiVersion: kube-router.io/v1alpha1
kind: BGPPeer
metadata: {name: tor2, labels: {place: inside}}
spec: {address: 172.30.0.201, asn: 64512}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: lab, ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default, labels: {tier: gold}, annotations: {kube-router.io/service.loadbalancer-ips: 198.51.100.7}}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: default, annotations: {kube-router.io/service.loadbalancer-ips: 198.51.100.9}}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {rack: "1"}}}
`

const ad = "\n---\n{apiVersion: kube-router.io/v1alpha1, kind: BGPAdvertisement, metadata: {name: %s}, spec: {%s}}"

// TestAdvertisementsAsObjects: what goes to whom, with which attributes, is said by objects, changed live, and filtered router by router.
func TestAdvertisementsAsObjects(t *testing.T) {
	w := start(t, lab.Config{
		Nodes: 2, Hosts: []lab.HostConfig{{Name: "r1"}, {Name: "r2"}},
		DaemonArgs: []string{"--run-loadbalancer", "--advertise-loadbalancer-ip"},
	})
	w.definitions(t, "addresspools", "bgppeers", "bgpadvertisements")
	w.bird(t, "sesame")
	w.frr(t, "router bgp 64512\n bgp router-id "+frrAddr+"\n no bgp network import-check\n neighbor 172.30.0.11 remote-as 64512\n neighbor 172.30.0.11 timers connect 1\n"+
		" neighbor 172.30.0.12 remote-as 64512\n neighbor 172.30.0.12 timers connect 1\n"+
		" address-family ipv4 unicast\n  network 203.0.113.0/24\n  network 203.0.113.64/26\n  network 192.0.2.0/24\n exit-address-family\n")
	w.must(t, w.Apply(w.ctx, fmt.Sprintf(keys, base64.StdEncoding.EncodeToString([]byte("sesame")))))
	w.must(t, w.Apply(w.ctx, fmt.Sprintf(tor1, "")+"---\n"+advertised))
	w.informed(t, "BGPPeer", "BGPAdvertisement", "AddressPool")
	w.established(t, "n1", "BGPPeer tor1 "+birdAddr, "BGPPeer tor2 "+frrAddr)
	judge(t, "by flags, to every router", w.told(t, "bird", "198.51.100.7/32", "172.30.0.11", "172.30.0.12"))
	judge(t, "and inside", w.told(t, "frr", "198.51.100.7/32", "172.30.0.11"))
	before := w.established(t, "n1", "BGPPeer tor1 "+birdAddr, "BGPPeer tor2 "+frrAddr)

	w.must(t, w.Apply(w.ctx, fmt.Sprintf(ad, "gold", `pools: [public], serviceSelector: {matchLabels: {tier: gold}}, nodeSelector: {matchLabels: {rack: "1"}}, peers: [tor1], communities: ["64512:7", "64512:1:2", no-export], med: 33`)))
	judge(t, "by an object: its communities and metric", w.told(t, "bird", "198.51.100.7/32", "172.30.0.11", "(64512,7)", "(65535,65281)", "(64512, 1, 2)", "BGP.med: 33"))
	complaint := ""
	if have := w.learned(t, "bird", "198.51.100.7/32"); strings.Contains(have, "172.30.0.12") {
		complaint = have
	}
	judge(t, "by the nodes that it selects alone", complaint)
	judge(t, "to the routers that it names alone", w.told(t, "frr", "198.51.100.7/32"))
	judge(t, "what it doesn't speak of stays as it was", w.told(t, "frr", "198.51.100.9/32", "172.30.0.11"))

	w.must(t, w.Apply(w.ctx, fmt.Sprintf(ad, "inside", `serviceSelector: {matchLabels: {tier: gold}}, peerSelector: {matchLabels: {place: inside}}, localPreference: 300, aggregationLength4: 26`)))
	judge(t, "local preference for those of the same AS, and an aggregate", w.told(t, "frr", "198.51.100.0/26", "172.30.0.11", "localpref 300"))
	judge(t, "which is no business of the others", w.told(t, "bird", "198.51.100.0/26"))
	judge(t, "an aggregate's addresses that nobody has are refused", w.refused(t))

	// Filters, live and without a reset.
	peer := "\n---\n{apiVersion: kube-router.io/v1alpha1, kind: BGPPeer, metadata: {name: %s}, spec: {%s}}"
	w.must(t, w.Apply(w.ctx, fmt.Sprintf(peer, "tor1", `export: [{action: Accept, prefixes: [{prefix: 198.51.100.9/32}]}, {action: Reject, prefixes: [{prefix: 198.51.100.0/24, ge: 25}]}]`)))
	judge(t, "an export filter withdraws what it refuses", w.told(t, "bird", "198.51.100.7/32"))
	judge(t, "and not what an earlier rule accepts", w.told(t, "bird", "198.51.100.9/32", "172.30.0.11"))
	routes := func(want, not string) string {
		err := w.Until(w.ctx, "routes of n1", func() error {
			out, err := w.Node("n1").Run(w.ctx, "ip", "route")
			if err == nil && (!strings.Contains(out, want) || not != "" && strings.Contains(out, not)) {
				err = fmt.Errorf("want %s and not %s: %s", want, not, out)
			}
			return err
		})
		if err != nil {
			return err.Error()
		}
		return ""
	}
	judge(t, "before an import filter", routes("203.0.113.0/24", ""))
	w.must(t, w.Apply(w.ctx, fmt.Sprintf(peer, "tor2", `import: [{action: Accept, prefixes: [{prefix: 203.0.113.64/26}]}, {action: Reject, prefixes: [{prefix: 203.0.113.0/24, le: 32}]}]`)))
	judge(t, "an import filter takes routes that are there", routes("203.0.113.64/26", "203.0.113.0/24"))
	out, err := w.Node("n1").Run(w.ctx, programs+"/kube-router", "show", "routes", "203.0.113.0/24")
	if complaint = ""; err != nil || !strings.Contains(out, "refused of "+frrAddr) {
		complaint = fmt.Sprint(err, out)
	}
	judge(t, "which is shown", complaint)
	out, err = w.Node("n1").Run(w.ctx, programs+"/kube-router", "show", "advertised", "web")
	if complaint = ""; err != nil || !strings.Contains(out, "BGPAdvertisement gold") || !strings.Contains(out, "export filters keep it") {
		complaint = fmt.Sprint(err, out)
	}
	judge(t, "as is what goes to whom", complaint)
	w.must(t, w.Apply(w.ctx, fmt.Sprintf(peer, "tor2", `import: [], export: []`)))
	judge(t, "and gives them back", routes("203.0.113.0/24", ""))
	w.must(t, w.Apply(w.ctx, fmt.Sprintf(peer, "tor1", `export: []`)))
	judge(t, "as an export filter that is no more", w.told(t, "bird", "198.51.100.7/32", "172.30.0.11", "(64512,7)"))
	w.must(t, w.Apply(w.ctx, "{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {unschedulable: true}}"))
	judge(t, "a node that is cordoned asks for other ways", w.told(t, "bird", "198.51.100.7/32", "(65535,0)", "(64512,7)"))
	judge(t, "and inside with the lowest preference", w.told(t, "frr", "198.51.100.0/26", "localpref 1,", "graceful-shutdown"))
	w.must(t, w.Apply(w.ctx, "{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {unschedulable: false}}"))
	judge(t, "and takes it back", w.told(t, "frr", "198.51.100.0/26", "localpref 300"))
	complaint = ""
	for name, at := range w.established(t, "n1", "BGPPeer tor1 "+birdAddr, "BGPPeer tor2 "+frrAddr) {
		if !at.Equal(before[name]) {
			complaint = fmt.Sprintf("%s: established at %v, before %v", name, at, before[name])
		}
	}
	judge(t, "no session began anew", complaint)

	for _, name := range []string{"gold", "inside"} {
		w.must(t, w.Client.Remove(w.ctx, []byte("{apiVersion: kube-router.io/v1alpha1, kind: BGPAdvertisement, metadata: {name: "+name+"}}")))
	}
	judge(t, "without objects, by flags again", w.told(t, "frr", "198.51.100.7/32", "172.30.0.11", "172.30.0.12"))
	judge(t, "and no aggregate", w.told(t, "frr", "198.51.100.0/26"))
	w.converted(t)
}

// converted applies what is made of MetalLB's objects and of flags: the API server takes all of it.
func (w *world) converted(t *testing.T) {
	t.Helper()
	w.definitions(t, "l2advertisements")
	for _, name := range []string{"metallb", "flags"} {
		out, err := exec.CommandContext(w.ctx, programs+"/kube-router", "convert", "-f", "../../internal/convert/testdata/"+name+".yaml").Output()
		w.must(t, err)
		complaint := ""
		if err := w.Until(w.ctx, "the kinds to be served", func() error { return w.Apply(w.ctx, string(out)) }); err != nil {
			complaint = err.Error()
		}
		judge(t, "what is made of "+name+" is taken", complaint)
	}
}

// refused tells whether what is for an address in the aggregate that no Service has is refused by n1, which would otherwise send it back.
func (w *world) refused(t *testing.T) string {
	t.Helper()
	out, err := w.Node("n1").Run(w.ctx, "nft", "list", "set", "inet", "kube-router", "host-refuse4")
	if err != nil || !strings.Contains(out, "198.51.100.0/24") {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return ""
}
