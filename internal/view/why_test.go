package view

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
)

// TestWhyTellsWhenTheKernelDiffers asks about one flow of a node whose kernel has all rules, and of one from whose kernel
// somebody took the way into a pod's list.
func TestWhyTellsWhenTheKernelDiffers(t *testing.T) {
	m := model.New(model.Settings{Node: "n1", Firewall: true, IPv4: true, Proxy: true})
	from, to := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2")
	for name, a := range map[string]netip.Addr{"client": from, "server": to} {
		m.Put(&model.Pod{Name: model.Name{Namespace: "x", Name: name}, Node: "n1", Addrs: []netip.Addr{a}, Labels: map[string]string{"app": name}})
	}
	server := model.Selector{Requirements: []model.Requirement{{Key: "app", Op: model.In, Values: []string{"server"}}}}
	m.Put(&model.Policy{Name: model.Name{Namespace: "x", Name: "closed"}, Pods: server, Ingress: &model.Rules{}})
	planner := policy.New(m)
	planner.Units() // builds its index
	rows := map[row.NftKey]row.Nft{}
	take := func(list []row.Nft) {
		for _, r := range list {
			rows[r.Key()] = r
		}
	}
	base, _ := policy.Base(m)
	take(nft.FirewallBase(base))
	var wall *intent.Firewall
	for _, name := range []string{"client", "server"} {
		pod := model.Name{Namespace: "x", Name: name}
		planner.Decide(pod, func(model.Ref) {})
		if wall, _ = planner.Plan(pod); wall == nil {
			continue
		}
		take(nft.Firewall(wall))
		for _, tier := range wall.Tiers() {
			take(nft.Tier(tier))
		}
	}
	f := policy.Flow{From: from, To: to, Protocol: model.TCP, Port: 80}
	egress, ingress := planner.Judge(f)
	ask := func() string {
		rows, _, err := flowRows(row.NewNftTracer(maps.Values(rows)), []policy.Flow{f}, [][2]policy.End{{egress, ingress}}, [][2]policy.End{{egress, ingress}}, []ways{{}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(slices.Concat(rows...))
	}
	if text := ask(); strings.Contains(text, "DIFFERS") || !strings.Contains(text, "isolated by policy [x/closed]") {
		t.Errorf("the kernel is as wanted: %s", text)
	}
	whole := len(rows)
	for _, r := range nft.Firewall(wall) {
		if e, ok := r.(row.NftElement); ok && e.Of.Value().Name == "policy-ingress4" {
			delete(rows, r.Key())
		}
	}
	if len(rows) == whole {
		t.Fatal("nothing was taken")
	}
	if text := ask(); !strings.Contains(text, "THE KERNEL DIFFERS: by policy this node says denied, by its rules allowed") {
		t.Errorf("the kernel lets it pass: %s", text)
	}
}
