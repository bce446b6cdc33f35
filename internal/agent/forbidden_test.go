package agent

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"kube-router/internal/driver/conntrack"
	"kube-router/internal/model"
	"kube-router/internal/stage"
	"kube-router/internal/think"
)

// TestForbidden judges flows that stand: by policies, by who really answers, and by whether their pod is still there.
func TestForbidden(t *testing.T) {
	m := model.New(model.Settings{Node: "n1", Firewall: true, IPv4: true, Proxy: true})
	for name, a := range map[string]string{"friend": "10.1.0.1", "server": "10.1.0.2", "other": "10.1.0.3"} {
		m.Put(&model.Pod{Name: model.Name{Namespace: "x", Name: name}, Node: "n1", Addrs: []netip.Addr{netip.MustParseAddr(a)}, Labels: map[string]string{"app": name}})
	}
	app := func(v string) *model.Selector {
		return &model.Selector{Requirements: []model.Requirement{{Key: "app", Op: model.In, Values: []string{v}}}}
	}
	m.Put(&model.Policy{Name: model.Name{Namespace: "x", Name: "p"}, Pods: *app("server"), Ingress: &model.Rules{Rules: []model.Rule{
		{Peers: []model.PolicyPeer{{Pods: app("friend")}}, Ports: []model.PolicyPort{{Protocol: model.TCP, Port: 80}}}}}})
	network := stage.New(stage.NewLedgers())
	in := think.NewInbox()
	a := &agent{thinker: think.New(m, in, network.Stages(), think.Hooks{}), network: network}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	in.Nudge()
	go func() { done <- a.thinker.Run(ctx) }()
	<-a.thinker.Started()
	flow := func(proto uint8, from, front, to string) conntrack.Flow {
		return conntrack.Flow{Protocol: proto,
			Orig:  conntrack.Tuple{Src: netip.MustParseAddrPort(from), Dst: netip.MustParseAddrPort(front)},
			Reply: conntrack.Tuple{Src: netip.MustParseAddrPort(to), Dst: netip.MustParseAddrPort(from)}}
	}
	fine := []conntrack.Flow{
		flow(6, "10.1.0.1:4000", "10.1.0.2:80", "10.1.0.2:80"),
		flow(6, "10.1.0.1:4001", "10.96.0.1:8000", "10.1.0.2:80"),
		flow(6, "10.1.0.2:4000", "10.1.0.3:80", "10.1.0.3:80"),
		flow(1, "10.1.0.3:0", "10.1.0.2:0", "10.1.0.2:0"),
		flow(17, "10.1.0.3:4000", "10.1.0.8:53", "10.1.0.8:53"), // no pod's, but nothing changed about it
	}
	bad := []conntrack.Flow{
		flow(6, "10.1.0.3:4000", "10.1.0.2:80", "10.1.0.2:80"),
		flow(6, "10.1.0.3:4001", "10.96.0.1:80", "10.1.0.2:80"),
		flow(6, "10.1.0.1:4002", "10.96.0.1:80", "10.1.0.2:81"),
		flow(47, "10.1.0.3:0", "10.1.0.2:0", "10.1.0.2:0"),
		flow(17, "10.1.0.3:4000", "10.1.0.9:53", "10.1.0.9:53"), // of a pod that has gone
		flow(17, "10.1.0.9:4000", "10.1.0.3:53", "10.1.0.3:53"),
	}
	gone := netip.MustParseAddr("10.1.0.9")
	got, err := a.forbidden(ctx, slices.Concat(fine, bad), func(a netip.Addr) bool { return a == gone })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, bad) {
		t.Errorf("got %v; want %v", got, bad)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
