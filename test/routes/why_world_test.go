//go:build routes

package routes

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
	"kube-router/internal/show"
)

// The random world: how many questions are asked in it, 2,000 for the whole, and by which number it is made.
var (
	whyQuestions = flag.Int("why", 100, "questions whose answers are compared with real packets")
	whySeed      = flag.Uint64("why-seed", 1, "what the random world is made from")
)

// whyWorld is a cluster of random policies and Services, in which somebody adds routes that lead nowhere.
type whyWorld struct {
	*world
	r        *rand.Rand
	pods     []*lab.Host
	services []netip.Addr
	astray   string // the route that is there now, on n1 or n2
	family   int    // of that
	tally    map[string]int
}

// clusterPolicies is how many ClusterNetworkPolicies there are, beside NetworkPolicies.
const clusterPolicies = 5

// apps of pods, two on every node in two namespaces.
var apps = []string{"a", "b", "c"}

// manifests are the pods, Services of some of them, and random policies about them.
func (w *whyWorld) manifests() string {
	var b strings.Builder
	for _, ns := range []string{"one", "two"} {
		fmt.Fprintf(&b, "{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {name: %s}}}\n---\n", ns, ns)
		for _, app := range apps {
			for _, node := range []string{"n1", "n2"} {
				fmt.Fprintf(&b, "{apiVersion: v1, kind: Pod, metadata: {name: %s-%s, namespace: %s, labels: {app: %s}}, spec: {nodeName: %s, containers: [{name: c, image: lab, ports: [{containerPort: 8080}, {containerPort: 8080, protocol: UDP}]}]}}\n---\n", app, node, ns, app, node)
			}
			fmt.Fprintf(&b, "{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: {ipFamilyPolicy: RequireDualStack, internalTrafficPolicy: %s, selector: {app: %s}, ports: [{port: 80, targetPort: 8080}]}}\n---\n", app, ns, w.one("Cluster", "Local"), w.one(app, app, app, "nobody"))
		}
	}
	for i := range 14 {
		way := w.one("ingress", "egress")
		side := map[string]string{"ingress": "from", "egress": "to"}[way]
		fmt.Fprintf(&b, "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p%d, namespace: %s}, spec: {podSelector: {matchLabels: {app: %s}}, policyTypes: [%s], %s: [{%s: [%s, %s], ports: [%s]}]}}\n---\n",
			i, w.one("one", "two"), w.one(apps...), map[string]string{"ingress": "Ingress", "egress": "Egress"}[way], way, side, w.peer(), w.peer(), w.one("{port: 8080}", "{port: 8080}, {port: 8080, protocol: UDP}", "{port: 8000, endPort: 8100}", "{port: 80}"))
	}
	return strings.TrimSuffix(b.String(), "---\n")
}

// cluster are random ClusterNetworkPolicies about the same pods.
func (w *whyWorld) cluster() string {
	var b strings.Builder
	for i := range clusterPolicies {
		tier := w.one("Admin", "Admin", "Baseline")
		action := w.one(map[string][]string{"Admin": {"Accept", "Deny", "Pass"}, "Baseline": {"Accept", "Deny"}}[tier]...)
		way := w.one("ingress", "egress")
		end := func() string {
			return w.one("{namespaces: {matchLabels: {name: "+w.one("one", "two")+"}}}", "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: "+w.one(apps...)+"}}}}")
		}
		fmt.Fprintf(&b, "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: c%d}, spec: {tier: %s, priority: %d, subject: %s, %s: [{action: %s, %s: [%s]%s}]}}\n---\n",
			i, tier, i, end(), way, action, map[string]string{"ingress": "from", "egress": "to"}[way], end(), w.one("", ", protocols: [{tcp: {destinationPort: {number: 8080}}}]", ", protocols: [{udp: {destinationPort: {number: 8080}}}]"))
	}
	return strings.TrimSuffix(b.String(), "---\n")
}

// govern installs the kind of ClusterNetworkPolicies and some of them, and waits until both nodes have them.
func (w *whyWorld) govern() {
	crd, err := os.ReadFile("../../deploy/kustomize/policy-crd/clusternetworkpolicies.yaml")
	w.check(errors.Join(err, w.Apply(w.ctx, string(crd)), w.Apply(w.ctx, w.cluster())))
	for _, n := range w.Nodes() {
		_, err := w.within(time.Minute, func() error {
			var words []string
			for i := range clusterPolicies {
				words = append(words, fmt.Sprintf("c%d", i))
			}
			return w.says(n.Host, programs+"/kube-router show policies", words...)
		})
		w.check(err)
	}
}

func (w *whyWorld) one(list ...string) string { return list[w.r.IntN(len(list))] }

func (w *whyWorld) peer() string {
	return w.one("{podSelector: {matchLabels: {app: "+w.one(apps...)+"}}}", "{namespaceSelector: {matchLabels: {name: "+w.one("one", "two")+"}}}",
		"{namespaceSelector: {}, podSelector: {matchLabels: {app: "+w.one(apps...)+"}}}", "{ipBlock: {cidr: "+w.one("10.244.1.0/24", "10.244.0.0/16", "fd00:10:244:2::/64")+"}}")
}

// leadAstray ends the last wrong route, and sometimes adds one: on one node, to the pods of the other.
func (w *whyWorld) leadAstray() {
	for _, n := range w.Nodes() {
		if command, there := strings.CutPrefix(w.astray, n.Name+" "); there {
			w.sh(n.Host, "%s", strings.Replace(command, " add ", " del ", 1))
		}
	}
	w.astray = ""
	if w.r.IntN(2) == 0 {
		return
	}
	i, f := w.r.IntN(2), w.r.IntN(2)
	n, far := w.Nodes()[i], [][]string{{"10.244.2.0/25", "fd00:10:244:2::/65"}, {"10.244.1.0/25", "fd00:10:244:1::/65"}}[i][f]
	command := fmt.Sprintf("ip %s route add %s %s", []string{"-4", "-6"}[f], w.one("unreachable", "prohibit"), far)
	w.sh(n.Host, "%s", command)
	w.astray, w.family = n.Name+" "+command, f
}

// answer is what why says of a flow on the nodes of both ends: the worse counts.
type answer struct {
	passes, refused, dropped bool
	verdict, text            string // the worst, and all
}

// ask asks on some nodes. Lines that aren't indented are verdicts; of several endpoints' each may be the one that answers.
func (w *whyWorld) ask(nodes []string, from, to, port string) (list map[string]*answer) {
	list = map[string]*answer{}
	for _, name := range nodes {
		p, err := show.Ask(w.ctx, filepath.Join(w.Node(name).RunDir(), "kube-router", "control.sock"), "why", []string{from, to, port})
		w.check(err)
		for _, r := range p.Rows {
			flow, verdict, is := strings.Cut(r[0], "/"+strings.SplitN(port, "/", 2)[1]+": ")
			if !is || strings.HasPrefix(r[0], " ") {
				continue
			}
			_, end, _ := strings.Cut(flow, " → ")
			a := list[end]
			if a == nil {
				a = &answer{passes: true}
				list[end] = a
			}
			verdict, _, _ = strings.Cut(verdict, ":")
			if a.verdict == "" || a.passes {
				a.verdict = verdict
			}
			a.passes = a.passes && verdict == "allowed"
			a.refused = a.refused || verdict == "refused"
			a.dropped = a.dropped || verdict == "dropped"
			a.text += name + ": " + r[0] + "\n"
		}
	}
	return list
}

// question is a pod, whom it calls, and the nodes that are asked why.
func (w *whyWorld) question() (from *lab.Host, q probe.Request, nodes []string) {
	from, f := w.pods[w.r.IntN(len(w.pods))], w.r.IntN(2)
	q = probe.Request{Proto: w.one("tcp", "tcp", "udp"), Timeout: time.Second}
	// Which endpoints a Service has differs between nodes, and what the way back is only the other knows: where it leads astray, pods are called.
	if w.astray == "" && w.r.IntN(2) == 0 {
		q.To = netip.AddrPortFrom(w.services[w.r.IntN(len(w.services))], []uint16{80, 80, 80, 81}[w.r.IntN(4)])
		return from, q, []string{from.NodeName()}
	}
	pod := w.pods[w.r.IntN(len(w.pods))]
	for pod == from || w.astray != "" && pod.NodeName() == from.NodeName() { // another one, and one that the route concerns
		pod = w.pods[w.r.IntN(len(w.pods))]
	}
	if w.astray != "" {
		f = w.family
	}
	q.To = netip.AddrPortFrom(pod.Addrs()[f], 8080)
	return from, q, []string{"n1", "n2"} // as kubectl kuberouter does: those of both ends
}

// compare asks a question, sends a packet, and is an error if they disagree.
func (w *whyWorld) compare() error {
	from, q, nodes := w.question()
	proto := q.Proto
	said := w.ask(nodes, from.Name, q.To.Addr().String(), fmt.Sprintf("%d/%s", q.To.Port(), proto))
	r := from.Probe(q)
	for range 3 { // Linux tells one host no more often than once a second that it is refused (icmp_ratelimit)
		if r.Class != probe.Timeout || !anyRefused(said) {
			break
		}
		r = from.Probe(q)
	}
	var all string
	some, every := false, true
	for end, a := range said {
		all += a.text
		w.tally[a.verdict]++
		some, every = some || a.passes, every && a.passes
		if a.refused && r.Class != probe.Refused || a.dropped && r.Class != probe.Timeout {
			return fmt.Errorf("%s: a packet: %s, but\n%s", end, r, a.text)
		}
	}
	switch {
	case len(said) == 0:
		return fmt.Errorf("no verdict about %s → %s", from.Name, q.To)
	case r.OK() && !some, !r.OK() && every:
		return fmt.Errorf("%s → %s/%s: a packet: %s, but\n%s", from.Name, q.To, proto, r, all)
	case r.OK() && !slices.ContainsFunc(w.pods, func(p *lab.Host) bool {
		a := said[netip.AddrPortFrom(p.Addrs()[familyOf(q.To)], 8080).String()]
		return p.Name == r.Pod && a != nil && a.passes
	}):
		return fmt.Errorf("%s → %s/%s: %s answers, but\n%s", from.Name, q.To, proto, r.Pod, all)
	}
	return nil
}

func anyRefused(said map[string]*answer) bool {
	for _, a := range said {
		if a.refused {
			return true
		}
	}
	return false
}

// familyOf is the family of an address, as a position in families.
func familyOf(a netip.AddrPort) int {
	if a.Addr().Is6() {
		return 1
	}
	return 0
}

// TestWhyWorld compares what why says in a random world with real packets.
func TestWhyWorld(t *testing.T) {
	w := &whyWorld{world: begin(t, lab.Config{Nodes: 2}), r: rand.New(rand.NewPCG(*whySeed, 0)), tally: map[string]int{}}
	w.check(w.Apply(w.ctx, w.manifests()))
	w.govern()
	w.check(w.WaitReady(w.ctx))
	for _, ns := range []string{"one", "two"} {
		for _, app := range apps {
			w.pods = append(w.pods, w.Pod(ns+"/"+app+"-n1"), w.Pod(ns+"/"+app+"-n2"))
			s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: app}}
			w.check(w.Client.Get(w.ctx, s))
			for _, at := range s.Spec.ClusterIPs {
				w.services = append(w.services, netip.MustParseAddr(at))
			}
		}
	}
	time.Sleep(time.Second) // policies are in force within milliseconds of being written
	var wrong []error
	begun := time.Now()
	for i := range *whyQuestions {
		if i%20 == 0 {
			w.leadAstray()
		}
		if err := w.compare(); err != nil && len(wrong) < 10 {
			wrong = append(wrong, err)
		}
	}
	err := errors.Join(wrong...)
	for _, verdict := range []string{"allowed", "denied", "refused", "no route", "no route back"} {
		if w.tally[verdict] == 0 {
			err = errors.Join(err, fmt.Errorf("nothing was %s: %v", verdict, w.tally))
		}
	}
	w.judge("why, a random world", "what it says of a flow becomes of a packet", err, "%d questions in %s, made from %d: %v", *whyQuestions, round(time.Since(begun)), *whySeed, w.tally)
}
