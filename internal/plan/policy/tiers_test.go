package policy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"kube-router/internal/api/clusterapi"
	"kube-router/internal/model"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/watch/kube"
)

// clusterPolicy makes a policy of its spec.
func clusterPolicy(t *testing.T, name, spec string) *model.ClusterPolicy {
	t.Helper()
	o := &clusterapi.ClusterNetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u"}}
	if err := yaml.Unmarshal([]byte(spec), &o.Spec); err != nil {
		t.Fatal(err)
	}
	return kube.ConvertClusterPolicy(o)
}

func tierPod(ns, name, addr string) *model.Pod {
	return &model.Pod{Name: model.Name{Namespace: ns, Name: name}, Node: "n1", Addrs: []netip.Addr{netip.MustParseAddr(addr)}, Labels: map[string]string{"pod": name}}
}

func tierWorld(t *testing.T, more ...model.Object) *node {
	t.Helper()
	return newNode(settings("n1"), append([]model.Object{
		&model.Namespace{Name: "x", Labels: map[string]string{"ns": "x"}}, &model.Namespace{Name: "y", Labels: map[string]string{"ns": "y"}},
		tierPod("x", "a", "10.1.0.1"), tierPod("y", "b", "10.1.1.1"), tierPod("x", "a6", "fd00::1"), tierPod("y", "b6", "fd00::2"),
	}, more...)...)
}

func trace(t *testing.T, n *node, p row.NftPacket) row.NftTrail {
	t.Helper()
	if p.State == 0 {
		p.State = row.NftStateNew
	}
	trail, err := n.tracer().Trace(row.NftForward, "policy-", p)
	if err != nil {
		t.Fatal(err)
	}
	return trail
}

// TestAcceptIsolatesNobody: rules that only accept close nothing, neither the middle of flows nor what no policy can name.
func TestAcceptIsolatesNobody(t *testing.T) {
	n := tierWorld(t)
	before := lines(n)
	p := clusterPolicy(t, "p", `{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}]}], egress: [{action: Pass, to: [{namespaces: {}}]}]}`)
	n.change(map[model.Ref]model.Object{p.Ref(): p})
	for _, l := range lines(n) {
		if strings.Contains(l, "policy-guarded") && strings.Contains(l, "element") || strings.Contains(l, "rule") && strings.Contains(l, "policy-beside-end counter") {
			t.Errorf("isolates: %s", l)
		}
	}
	n.change(map[model.Ref]model.Object{p.Ref(): nil})
	if after := lines(n); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Error("a policy that is gone leaves something behind")
	}
}

// TestDenyStopsPing: a rule without protocols is about all of them, echo too, but not about errors and neighbours; and nobody is told.
func TestDenyStopsPing(t *testing.T) {
	for _, tier := range []string{"Admin", "Baseline"} {
		p := clusterPolicy(t, "p", `{tier: `+tier+`, priority: 1, subject: {namespaces: {matchLabels: {ns: x}}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}`)
		n := tierWorld(t, p)
		v4, v6 := [2]netip.Addr{netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("10.1.0.1")}, [2]netip.Addr{netip.MustParseAddr("fd00::2"), netip.MustParseAddr("fd00::1")}
		for _, c := range []struct {
			ends  [2]netip.Addr
			proto uint8
			icmp  uint8
			open  bool
		}{
			{v4, 1, 8, false}, {v4, 1, 3, true}, {v4, 1, 11, true}, {v6, 58, 128, false}, {v6, 58, 2, true}, {v6, 58, 135, true}, {v6, 58, 136, true},
			{v4, 6, 0, false}, {v4, 17, 0, false}, {v4, 132, 0, false}, {v6, 6, 0, false}, {v4, 47, 0, false},
		} {
			trail := trace(t, n, row.NftPacket{Src: c.ends[0], Dst: c.ends[1], Protocol: c.proto, ICMPType: c.icmp, DstPort: 80})
			if trail.Accepted() != c.open || !c.open && trail.Verdict != row.NftDropPkt {
				t.Errorf("%s, protocol %d, type %d: %v\n%s", tier, c.proto, c.icmp, trail.Verdict, trail)
			}
		}
		back := row.NftPacket{Src: v4[1], Dst: v4[0], Protocol: 6, SrcPort: 80, DstPort: 4000, Midway: true}
		if trace(t, n, back).Accepted() {
			t.Errorf("%s: what a denied server sends in the middle of a flow begins it anew", tier)
		}
	}
}

// TestNotUnderstood: what isn't understood accepts nothing, and denies everything.
func TestNotUnderstood(t *testing.T) {
	for _, c := range []struct {
		rule string
		open bool // where everything is denied behind the rule
		over bool // where nothing is
	}{
		{`{action: Accept, from: [{}]}`, false, true},
		{`{action: Deny, from: [{}], protocols: [{tcp: {destinationPort: {number: 9}}}]}`, false, false},
		{`{action: Pass, from: [{}]}`, false, false},
		{`{action: Accept, from: [{namespaces: {}}, {cluster: all}]}`, false, true},
		{`{action: Accept, from: [{namespaces: {}}], protocols: [{}]}`, false, true},
		{`{action: Deny, from: [{namespaces: {}}], protocols: [{quic: {}}]}`, false, false},
		{`{action: Accept, from: [{namespaces: {}}], unless: true}`, false, true},
		{`{action: Accept, from: [{networks: [10.0.0.0/8]}]}`, false, true},
		{`{action: Accept, from: [{pods: {namespaceSelector: {}, podSelector: {}, notTheseNamespaces: [y]}}]}`, false, true},
		{`{action: Shrug, from: [{namespaces: {}}]}`, false, false},
		{`{action: Accept, from: [{namespaces: {}}]}`, true, true},
	} {
		for _, deny := range []bool{false, true} {
			spec := `{tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {ns: x}}}, ingress: [` + c.rule
			want := c.over
			if deny {
				spec += `, {action: Deny, from: [{namespaces: {}}]}`
				want = c.open
			}
			p := clusterPolicy(t, "p", spec+`]}`)
			n := tierWorld(t, p)
			trail := trace(t, n, row.NftPacket{Src: netip.MustParseAddr("10.1.1.1"), Dst: netip.MustParseAddr("10.1.0.1"), Protocol: 6, DstPort: 80})
			if trail.Accepted() != want {
				t.Errorf("%s, deny behind it: %t: accepted %t\n%s", c.rule, deny, trail.Accepted(), trail)
			}
			if understood := len(p.Remarks) == 0; understood != (c.open && c.over) {
				t.Errorf("%s: remarks %v", c.rule, p.Remarks)
			}
		}
	}
	p := clusterPolicy(t, "p", `{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{domainNames: [example.com]}]}]}`)
	n := tierWorld(t, p)
	if trace(t, n, row.NftPacket{Src: netip.MustParseAddr("10.1.1.1"), Dst: netip.MustParseAddr("192.0.2.1"), Protocol: 6, DstPort: 80}).Accepted() {
		t.Error("a name that can't be known is not denied")
	}
}

// TestNamespaceLabels: who a policy is about, and who its peers are, follows the labels of namespaces; and a pod of a namespace that
// nobody knows yet has not been decided.
func TestNamespaceLabels(t *testing.T) {
	p := clusterPolicy(t, "p", `{tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {shut: "yes"}}}, ingress: [{action: Deny, from: [{namespaces: {matchLabels: {bad: "yes"}}}]}]}`)
	n := tierWorld(t, p)
	packet := row.NftPacket{Src: netip.MustParseAddr("10.1.1.1"), Dst: netip.MustParseAddr("10.1.0.1"), Protocol: 6, DstPort: 80}
	for _, c := range []struct {
		shut, bad string
	}{{"no", "no"}, {"yes", "no"}, {"yes", "yes"}, {"no", "yes"}, {"yes", "yes"}, {"yes", "no"}} {
		x := &model.Namespace{Name: "x", Labels: map[string]string{"ns": "x", "shut": c.shut}}
		y := &model.Namespace{Name: "y", Labels: map[string]string{"ns": "y", "bad": c.bad}}
		n.change(map[model.Ref]model.Object{x.Ref(): x})
		n.change(map[model.Ref]model.Object{y.Ref(): y})
		if open := trace(t, n, packet).Accepted(); open == (c.shut == "yes" && c.bad == "yes") {
			t.Errorf("%+v: open %t", c, open)
		}
		n.same(t)
	}
	z := tierPod("z", "c", "10.1.2.1")
	n.change(map[model.Ref]model.Object{z.Ref(): z})
	if n.planner.Decided(z.Name) {
		t.Error("a pod is let go before its namespace is known")
	}
	ns := &model.Namespace{Name: "z"}
	n.change(map[model.Ref]model.Object{ns.Ref(): ns})
	if !n.planner.Decided(z.Name) {
		t.Error("it is not let go afterwards")
	}
}

// TestSamePriority: of equal priorities the name decides, whichever policy came first.
func TestSamePriority(t *testing.T) {
	spec := `{tier: Admin, priority: 5, subject: {namespaces: {matchLabels: {ns: x}}}, ingress: [{action: %s, from: [{namespaces: {}}]}]}`
	a, b := clusterPolicy(t, "a", fmt.Sprintf(spec, "Accept")), clusterPolicy(t, "b", fmt.Sprintf(spec, "Deny"))
	packet := row.NftPacket{Src: netip.MustParseAddr("10.1.1.1"), Dst: netip.MustParseAddr("10.1.0.1"), Protocol: 6, DstPort: 80}
	for _, order := range [][]*model.ClusterPolicy{{a, b}, {b, a}} {
		n := tierWorld(t)
		for _, p := range order {
			n.change(map[model.Ref]model.Object{p.Ref(): p})
		}
		if !trace(t, n, packet).Accepted() {
			t.Error("a does not judge before b")
		}
	}
}

// TestRuleCounters: what a rule decides is counted where it is looked for, and nothing else is.
func TestRuleCounters(t *testing.T) {
	n := tierWorld(t, clusterPolicy(t, "p", `{tier: Admin, priority: 5, subject: {namespaces: {}}, egress: [
{action: Accept, to: [{networks: [10.0.0.0/8, 192.0.2.0/24]}, {namespaces: {}}], protocols: [{tcp: {}}, {udp: {destinationPort: {number: 53}}}]},
{action: Pass, to: [{pods: {namespaceSelector: {}, podSelector: {}}}]}, {action: Deny, to: [{networks: ["::/0"]}]}]}`))
	rows, counted := n.all(), map[int]int{}
	for _, tier := range n.tiers.All {
		keys := nft.RuleCounters(tier)
		for key, i := range keys {
			if r := rows[key]; r == nil || !strings.Contains(r.String(), " counter ") {
				t.Errorf("rule %d is counted by %v, which is %v", i, key, r)
			}
			counted[i]++
		}
		for key, r := range rows {
			_, known := keys[key]
			if strings.Contains(key.Name, tier.ID) && strings.Contains(r.String(), " counter ") && !known && !strings.HasSuffix(r.String(), key.Name+" counter goto policy-next-out") {
				t.Errorf("counted by nobody: %s", r)
			}
		}
	}
	if len(counted) != 3 || counted[2] != 1 {
		t.Errorf("rules of the chains: %v", counted)
	}
}
