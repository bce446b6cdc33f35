//go:build services

package services

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

const tableGroup = "traffic policies, source addresses, fronts, families, protocols"

// asker is a client of the table: where it asks from, and where its packets enter by a Service's address.
type asker struct {
	who
	host  *lab.Host
	entry who
}

// policies are the Services of the table: number, policies, and whether they have endpoints.
type policies struct {
	n                  int
	internal, external policy
	app                string
}

func tableServices() []policies {
	return []policies{
		{1, cluster, cluster, "web"}, {2, cluster, local, "web"}, {3, local, cluster, "web"}, {4, local, local, "web"},
		{5, cluster, cluster, "nobody"}, {6, local, local, "nobody"},
	}
}

// TestTable asks every kind of client at every kind of address under every policy, in both families and each protocol: who answers, and
// which source address does it see?
func TestTable(t *testing.T) {
	w := shared
	for _, p := range tableServices() {
		s := balanced(newService(fmt.Sprintf("table-%d", p.n), p.n, p.app), p.n)
		internal := corev1.ServiceInternalTrafficPolicy(p.internal)
		s.Spec.InternalTrafficPolicy = &internal
		s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicy(p.external)
		w.create(t, s, balancerIPs(p.n)...)
	}
	w.settled(t)
	var endpoints []who
	for _, p := range w.web() {
		endpoints = append(endpoints, who{name: p.Name, node: p.NodeName()})
	}
	head := []string{"internal", "external", "endpoints", "front", "client", "entry", "answers", "source"}
	for _, f := range []string{"IPv4", "IPv6"} {
		for _, p := range w.protocols() {
			head = append(head, f+"/"+p)
		}
	}
	w.score.Row(tableGroup, head)
	var lines []*line
	for _, p := range tableServices() {
		on := endpoints
		if p.app != "web" {
			on = nil
		}
		for _, k := range []kind{clusterKind, balancerKind, externalKind, nodePortKind} {
			lines = append(lines, w.linesOf(p, k, on)...)
		}
	}
	w.fill(t, lines)
	for _, p := range tableServices() {
		w.delete(t, newService(fmt.Sprintf("table-%d", p.n), p.n, p.app))
	}
}

// written waits until every table of every node is as wanted. With the engine ipvs a frontend's virtual server may come before the rules that
// give its clients the node's address: see the known limits in docs/operating.md.
func (w *the) written(t *testing.T) {
	t.Helper()
	for _, n := range w.Nodes() {
		err := w.eventually(10*time.Second, func() error {
			text, err := n.Run(w.ctx, w.program(), "show", "tables")
			for _, line := range strings.Split(strings.TrimSpace(text), "\n")[1:] {
				if err == nil && !strings.Contains(line, "settled") {
					err = errors.New(line)
				}
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", n.Name, err)
		}
	}
}

// settled waits until every node serves every Service of the table that has endpoints.
func (w *the) settled(t *testing.T) {
	t.Helper()
	for _, n := range w.Nodes() {
		for _, p := range tableServices() {
			for _, a := range balancerIPs(p.n) {
				for _, proto := range w.protocols() {
					err := w.eventually(10*time.Second, func() error {
						r := n.Probe(front(a, 80, proto))
						if p.app == "web" && !r.OK() || p.app != "web" && !refusal(r, proto) {
							return fmt.Errorf("%s at %s: %v", a, n.Name, r)
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			}
		}
	}
}

func (w *the) askers() []asker {
	n1, n3 := w.nodeWho("n1"), w.nodeWho("n3")
	pod := func(name string, at who) asker {
		h := w.Pod(name)
		return asker{who{"pod on " + at.name, at.name, true, h.Addrs()}, h, at}
	}
	node := func(at who) asker { return asker{at, w.Node(at.name).Host, at} }
	outside := func(h *lab.Host, at who) asker { return asker{who{"outside", "", false, h.Addrs()}, h, at} }
	return []asker{pod("client-1", n1), pod("client-3", n3), node(n1), node(n3), outside(w.Outside(), n1), outside(w.Host(far), n3)}
}

// nodeWho is a node with all the addresses that are its own: those of its link and of its bridge.
func (w *the) nodeWho(name string) who {
	n := w.Node(name)
	bridge := []netip.Addr{netip.MustParseAddr(fmt.Sprintf("10.244.%d.1", n.Number())), netip.MustParseAddr(fmt.Sprintf("fd00:10:244:%x::1", n.Number()))}
	return who{name, name, false, append(n.Addrs(), bridge...)}
}

// line is one line of the table: a client at a kind of front.
type line struct {
	asker
	policies
	kind      kind
	endpoints []who
	cells     []string
}

// linesOf are those of one kind of front. A node port can be asked for at any node, so inside clients ask at n1 and n3.
func (w *the) linesOf(p policies, k kind, endpoints []who) (list []*line) {
	for _, a := range w.askers() {
		list = append(list, &line{asker: a, policies: p, kind: k, endpoints: endpoints})
		if k == nodePortKind && a.node != "" {
			a.entry = w.nodeWho(map[string]string{"n1": "n3", "n3": "n1"}[a.node])
			list = append(list, &line{asker: a, policies: p, kind: k, endpoints: endpoints})
		}
	}
	return list
}

// atOnce is how many clients ask at the same time: most of them wait for an answer that must not come.
const atOnce = 16

// fill asks for every line and puts what came of it into its cells.
func (w *the) fill(t *testing.T, lines []*line) {
	var all sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, l := range lines {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			w.fillLine(t, l)
		})
	}
	all.Wait()
	for _, l := range lines {
		w.score.Row(tableGroup, l.cells)
	}
}

func (w *the) fillLine(t *testing.T, l *line) {
	want := expect(question{l.internal, l.external, l.kind, l.who, l.entry}, l.endpoints)
	seen := map[string]bool{}
	var verdicts []string
	for family := range 2 {
		for _, proto := range w.protocols() {
			q := front(w.address(l.n, l.kind, l.entry, family), portOf(l.n, l.kind), proto)
			err := w.ask(l.asker, q, want, len(l.endpoints) == 0, seen)
			name := fmt.Sprintf("%s/%s %s %s/%s: %s by %s", l.internal, l.external, l.kind, []string{"IPv4", "IPv6"}[family], proto, l.name, l.entry.name)
			w.score.Judge(t, tableGroup, name, err, "")
			verdicts = append(verdicts, map[bool]string{true: "ok", false: "FAILED"}[err == nil])
		}
	}
	l.cells = append([]string{
		string(l.internal), string(l.external), l.app, string(l.kind), l.name, l.entry.name, want.String(), strings.Join(sorted(seen), "+"),
	}, verdicts...)
}

func (w *the) address(n int, k kind, entry who, family int) netip.Addr {
	switch k {
	case clusterKind:
		return clusterIPs(n)[family]
	case balancerKind:
		return balancerIPs(n)[family]
	case externalKind:
		return externalIPs(n)[family]
	}
	return entry.addrs[family]
}

func portOf(n int, k kind) uint16 {
	if k == nodePortKind {
		return nodePort(n)
	}
	return 80
}

// refusal tells whether nobody answered, and said so. SCTP takes an unreachable port for something that may pass (RFC 9260, section 10).
func refusal(r probe.Result, proto string) bool {
	return r.Class == probe.Refused || r.Class == probe.Prohibited || proto == "sctp" && r.Class == probe.Timeout
}

// mostAsked is how often a front is asked at most for each of its endpoints to answer once: with three of them, one in 10^8 tries at
// random would miss one.
const mostAsked = 45

// patience is for answers that must come: what is judged is who answers, and a machine may be busy.
const patience = 5 * time.Second

// ask asks one front until everybody who must answer has, and notes whose address was seen.
func (w *the) ask(a asker, q probe.Request, want answer, refused bool, seen map[string]bool) error {
	q.Timeout = w.limit()
	if len(want.must) > 0 {
		q.Timeout = patience
	}
	if len(want.may) == 0 {
		r := a.host.Probe(q)
		seen[string(r.Class)] = true
		own := r.Class == probe.Prohibited && a.name == a.entry.name // what a node drops of its own is an error of the system call
		if refused && refusal(r, q.Proto) || !refused && (r.Class == probe.Timeout || own) {
			return nil
		}
		return fmt.Errorf("%v, want %s", r, map[bool]string{true: "a refusal", false: "silence"}[refused])
	}
	missing := slices.Clone(want.must)
	for n := 0; n < mostAsked && (len(missing) > 0 || n < 4); n++ {
		r := a.host.Probe(q)
		if r.Class == probe.Timeout && q.Proto == "udp" && !want.nobody {
			r = a.host.Probe(q) // one datagram may be lost; that 10,000 are not is judged elsewhere
		}
		if !r.OK() {
			if want.nobody && n == 0 {
				seen[string(r.Class)] = true
				return nil
			}
			return fmt.Errorf("question %d: %v", n, r)
		}
		source := r.Client.Addr()
		if !slices.Contains(want.may, r.Pod) {
			return fmt.Errorf("%s answered, want one of %v", r.Pod, want.may)
		}
		if !slices.Contains(want.sources[r.Pod], source) {
			return fmt.Errorf("%s saw %s, want one of %v", r.Pod, source, want.sources[r.Pod])
		}
		seen[map[bool]string{true: "client", false: "node"}[slices.Contains(a.addrs, source)]] = true
		missing = slices.DeleteFunc(missing, func(p string) bool { return p == r.Pod })
	}
	if len(missing) > 0 {
		return errors.New("no answer from " + strings.Join(missing, ", "))
	}
	return nil
}

// String is the answer in a word.
func (a answer) String() string {
	short := func(l []string) string { return strings.ReplaceAll(strings.Join(l, " "), "default/web-", "") }
	switch {
	case len(a.may) == 0:
		return "nobody"
	case len(a.must) < len(a.may):
		return "some of " + short(a.may)
	}
	return short(a.may)
}

func sorted(set map[string]bool) (list []string) {
	for s := range set {
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}
