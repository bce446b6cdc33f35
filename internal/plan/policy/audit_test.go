package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kube-router/internal/model"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
)

func auditedPolicy(t *testing.T, name, spec string) *model.ClusterPolicy {
	t.Helper()
	p := clusterPolicy(t, name, spec)
	p.Audit = true
	return p
}

func rehearsed(trail row.NftTrail) bool {
	return slices.ContainsFunc(trail.Rules, func(r row.NftRule) bool { return strings.HasPrefix(r.Chain, nft.RehearsedPrefix) })
}

// TestRehearsalGoes: a rehearsal that is over leaves nothing behind, and isolates nobody while it is there.
func TestRehearsalGoes(t *testing.T) {
	n := tierWorld(t)
	before := lines(n)
	p := auditedPolicy(t, "p", `{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}`)
	np := &model.Policy{Name: model.Name{Namespace: "x", Name: "np"}, Ingress: &model.Rules{}, Egress: &model.Rules{}, Audit: true}
	n.change(map[model.Ref]model.Object{p.Ref(): p, np.Ref(): np})
	n.same(t)
	for _, l := range lines(n) {
		if strings.Contains(l, "policy-guarded") && strings.Contains(l, "element") || strings.Contains(l, "rule") && strings.Contains(l, "policy-beside-end counter") {
			t.Errorf("isolates: %s", l)
		}
	}
	if n.planner.Denies() {
		t.Error("an audited policy denies")
	}
	n.change(map[model.Ref]model.Object{p.Ref(): nil})
	n.same(t)
	n.change(map[model.Ref]model.Object{np.Ref(): nil})
	if after := lines(n); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Error("a rehearsal that is over leaves something behind")
	}
}

// TestRehearsalOfEcho: what passes whatever NetworkPolicies say is rehearsed where a ClusterNetworkPolicy would be asked, and errors and
// neighbours aren't.
func TestRehearsalOfEcho(t *testing.T) {
	np := &model.Policy{Name: model.Name{Namespace: "x", Name: "np"}, Ingress: &model.Rules{}}
	n := tierWorld(t, np, auditedPolicy(t, "p", `{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: ["0.0.0.0/0", "::/0"]}]}]}`))
	v4, v6 := [2]netip.Addr{netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("10.1.0.1")}, [2]netip.Addr{netip.MustParseAddr("fd00::2"), netip.MustParseAddr("fd00::1")}
	for _, c := range []struct {
		ends    [2]netip.Addr
		proto   uint8
		icmp    uint8
		passes  bool
		counted bool
	}{
		{v4, 1, 8, true, true}, {v4, 1, 3, true, false}, {v6, 58, 128, true, true}, {v6, 58, 135, true, false}, {v6, 58, 2, true, false},
		{v4, 6, 0, false, false}, {v6, 17, 0, false, false}, // refused by the policy that is in force
	} {
		trail := trace(t, n, row.NftPacket{Src: c.ends[0], Dst: c.ends[1], Protocol: c.proto, ICMPType: c.icmp, DstPort: 80})
		if trail.Accepted() != c.passes || rehearsed(trail) != c.counted {
			t.Errorf("protocol %d, type %d: passes %t, counted %t\n%s", c.proto, c.icmp, trail.Accepted(), rehearsed(trail), trail)
		}
	}
}

// TestRehearsalCost: a packet meets the same rules however many policies are rehearsed at other pods.
func TestRehearsalCost(t *testing.T) {
	spec := `{tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {ns: %s}}}, ingress: [{action: Deny, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {role: r%d}}}}]}]}`
	n := tierWorld(t, auditedPolicy(t, "own", fmt.Sprintf(spec, "x", 0)))
	packet := row.NftPacket{Src: netip.MustParseAddr("10.1.1.1"), Dst: netip.MustParseAddr("10.1.0.1"), Protocol: 6, DstPort: 80}
	before := len(trace(t, n, packet).Rules)
	changes := map[model.Ref]model.Object{}
	for i := range 300 {
		p := auditedPolicy(t, fmt.Sprint("p", i), fmt.Sprintf(spec, "y", i))
		changes[p.Ref()] = p
	}
	n.change(changes)
	if after := len(trace(t, n, packet).Rules); after != before {
		t.Errorf("%d rules, with 300 more policies %d", before, after)
	}
}
