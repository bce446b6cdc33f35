package agent

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/reconcile"
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
	p := newPolicies(ledgers{nft: reconcile.NewLedger[row.NftKey, row.Nft]()})
	for _, u := range p.units(m) {
		p.plan(m, u)
	}
	p.settle(m)
	rows := map[row.NftKey]row.Nft{}
	for k, r := range p.nft.All {
		rows[k] = r
	}
	f := policy.Flow{From: from, To: to, Protocol: model.TCP, Port: 80}
	egress, ingress := p.planner.Judge(f)
	ask := func() string {
		page, err := flowPage(row.NewNftTracer(maps.Values(rows)), []policy.Flow{f}, [][2]policy.End{{egress, ingress}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(slices.Concat(page.Rows...))
	}
	if text := ask(); strings.Contains(text, "DIFFERS") || !strings.Contains(text, "isolated by policy [x/closed]") {
		t.Errorf("the kernel is as wanted: %s", text)
	}
	base := maps.Clone(rows)
	for _, r := range nft.Firewall(p.walls["x/server"]) {
		if e, ok := r.(row.NftElement); ok && e.Of.Value().Name == "policy-ingress4" {
			delete(rows, r.Key())
		}
	}
	if len(rows) == len(base) {
		t.Fatal("nothing was taken")
	}
	if text := ask(); !strings.Contains(text, "THE KERNEL DIFFERS: by policy this node says denied, by its rules allowed") {
		t.Errorf("the kernel lets it pass: %s", text)
	}
}
