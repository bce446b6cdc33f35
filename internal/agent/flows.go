package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netns"

	"kube-router/internal/driver/conntrack"
	"kube-router/internal/driver/nfnetlink/nflog"
	"kube-router/internal/flow"
	"kube-router/internal/holder"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/observe"
	"kube-router/internal/plan/policy"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/linux"
	"kube-router/internal/render/nft"
	"kube-router/internal/show"
	"kube-router/internal/think"
)

// newRecorder prepares what keeps flows. Counting packets and bytes of them is a setting of the kernel's.
func (a *agent) newRecorder() {
	s := &a.o.Settings.Flows
	a.recorder = observe.NewRecorder(observe.Options{Node: a.o.Settings.Node, Flows: int(s.Buffer), Drops: int(s.Drops), Rate: int(s.Rate), Sample: s.Sample,
		Finest: map[model.FlowMetrics]observe.Finest{model.FlowsByNamespace: observe.ByNamespace, model.FlowsByWorkload: observe.ByWorkload}[s.Metrics], Series: int(s.Series)})
	a.recorder.Service, a.recorder.Explain = a.serviceAt, a.explain
	if s.Export != "" && s.Mode != model.FlowsOff {
		a.recorder.Export = observe.NewExport(a.o.Settings.Node, s.Export)
	}
	a.recorder.Link = func(index uint32) string {
		if l, err := net.InterfaceByIndex(int(index)); err == nil {
			return l.Name
		}
		return ""
	}
	if s.Mode != model.FlowsOff {
		a.ledgers.Nft.Claim(reconcile.Owner{Name: "flows"}, nft.Unrouted()...)
	}
	if s.Mode == model.FlowsAll {
		a.ledgers.Sysctl.Claim(reconcile.Owner{Name: "flows"}, linux.Accounting())
		return
	}
	a.recorder.Silent("connections", errors.New("kept with --flows=all alone"))
	if s.Mode == model.FlowsOff {
		a.recorder.Silent("drops", errors.New("not kept with --flows=off"))
	}
}

// flowParts are what runs for flows.
func (a *agent) flowParts() []part {
	s := &a.o.Settings.Flows
	if s.Mode == model.FlowsOff {
		return nil
	}
	drops := nflog.NewReader(0, nft.PolicyLogGroup)
	drops.Heard, drops.Lost = a.recorder.Logged, a.recorder.LostDrops
	drops.Failed = func(err error) { a.unheard("drops", err) }
	list := []part{{"drops", drops.Run}, {"names of drops", a.recorder.Run}}
	if e := a.recorder.Export; e != nil {
		list = append(list, part{"export of flows", func(ctx context.Context) error {
			e.Run(ctx, func(err error) { a.unheard("export", err) })
			return nil
		}})
	}
	if s.Mode == model.FlowsAll {
		list = append(list, part{"flows", a.followFlows})
	}
	return list
}

// unheard notes that a source of flows can't be heard, or can again.
func (a *agent) unheard(source string, err error) {
	if news := a.recorder.Silent(source, err); news && err != nil {
		a.log.Warn("traffic is not observed", "source", source, "error", err)
	}
}

// followFlows reads connections: those that begin, those that end, and those that are there already. Without it the daemon goes on.
func (a *agent) followFlows(ctx context.Context) error {
	events, err := conntrack.NewEvents(netns.None())
	if err != nil {
		a.unheard("connections", err)
		return nil
	}
	select {
	case <-a.thinker.Started(): // names are known then
	case <-ctx.Done():
		return nil
	}
	if err := a.standing(); err != nil {
		a.unheard("connections of before", err)
	}
	if err := events.Run(ctx, a.recorder.Tracked, a.recorder.LostEvents); err != nil {
		a.unheard("connections", err)
	}
	return nil
}

// standing records the connections that are there.
func (a *agent) standing() error {
	table, err := conntrack.Open(netns.None())
	if err != nil {
		return err
	}
	defer table.Close()
	for _, v6 := range []bool{false, true} {
		var list []conntrack.Event
		if err := table.Flows(conntrack.Filter{V6: v6}, func(f conntrack.Flow) {
			if len(list) < int(a.o.Settings.Flows.Buffer) {
				list = append(list, conntrack.Event{Flow: f})
			}
		}); err != nil {
			return err
		}
		a.recorder.Tracked(list)
	}
	return nil
}

// named keeps names by address, where there are flows to name.
func (a *agent) named(c think.Change) {
	if a.o.Settings.Flows.Mode != model.FlowsOff {
		a.recorder.Names.Heard(c.Old, c.New)
	}
}

// serviceAt is the Service with a frontend.
func (a *agent) serviceAt(at netip.AddrPort, protocol uint8) *flow.Service {
	s, ok := a.network.Services.Intents.Want(intent.Front{Addr: at.Addr(), Port: at.Port(), Protocol: protocol})
	if !ok {
		return nil
	}
	return &flow.Service{Namespace: s.Owner.Namespace, Name: s.Owner.Name, Port: s.PortName}
}

// explain asks the policies of this moment what they ended.
func (a *agent) explain(ctx context.Context, list []flow.Flow) error {
	return a.thinker.Query(ctx, func(m *model.Model) {
		for i := range list {
			if f := &list[i]; f.Reason == flow.NoGateway {
				f.Gateway = gatewayOf(m, f)
			}
		}
		planner := a.network.Policies.Planner
		if planner == nil {
			return
		}
		for i := range list {
			if f := &list[i]; f.Reason == flow.DefaultDeny {
				egress, ingress := planner.Judge(policy.Flow{From: f.Src.Addr(), To: f.Dst.Addr(), Protocol: model.Protocol(f.Protocol), Port: model.Port(f.Dst.Port())})
				if f.Direction == flow.Egress {
					ingress = egress
				}
				blame(f, ingress)
			}
		}
	})
}

// gatewayOf is by which a pod's flow should have left the cluster, if that is known.
func gatewayOf(m *model.Model, f *flow.Flow) *flow.Gateway {
	pod := m.Pods[model.Name{Namespace: f.Source.Namespace, Name: f.Source.Pod}]
	if pod == nil {
		return nil
	}
	g := holder.GatewayOf(m, holder.Gateways(m), pod)
	if g == nil {
		return nil
	}
	claims, _ := holder.Egresses(m)
	var addrs []netip.Addr
	for _, c := range claims {
		if c.Gateway == g {
			addrs = append(addrs, c.Addr)
		}
	}
	return &flow.Gateway{Name: g.Name, Addr: holder.EgressAddress(addrs, f.Src.Addr())}
}

// blame notes what one end's policies say about a flow that they ended.
func blame(f *flow.Flow, e policy.End) {
	switch {
	case e.Allowed:
		f.Reason = flow.PolicyChanged
	case e.Tier != "":
		f.Reason, f.Tier, f.Rule = flow.DenyRule, e.Tier, e.Rule
		f.Policies = []flow.Policy{{Kind: string(e.By.Kind), Name: e.By.Name.Name}}
	default:
		for _, p := range e.Policies {
			f.Policies = append(f.Policies, flow.Policy{Kind: "NetworkPolicy", Namespace: p.Namespace, Name: p.Name})
		}
	}
}

// flowSamples are how many flows were taken and lost.
func (a *agent) flowSamples() []show.Sample {
	sample := func(name, help string, v uint64) show.Sample {
		return show.Sample{Name: name, Help: help, Value: float64(v), Counter: true}
	}
	list := []show.Sample{
		sample("flows_total", "Connections that were recorded", a.recorder.Seen.Load()),
		sample("flow_drops_total", "Clients that rules of ours ended, once a minute each", a.recorder.Dropped.Load()),
		sample("flows_lost_total", "Events of flows and drops that were lost", a.recorder.Lost.Load()),
	}
	if e := a.recorder.Export; e != nil {
		list = append(list, sample("flows_exported_total", "Flows that the receiver of --flows-otlp took", e.Sent.Load()),
			sample("flows_export_lost_total", "Flows that were not sent there, or not taken", e.Lost.Load()))
	}
	for _, c := range a.recorder.Tally.Counts() {
		s := sample("flows_between_total", "Flows by who talked to whom, counted at the node of the pod that answers, or of the client where none does", c.Flows)
		s.Labels = []string{"source_namespace", c.Source.Namespace, "source_workload", c.Source.Workload,
			"destination_namespace", c.Dest.Namespace, "destination_workload", c.Dest.Workload, "verdict", c.Verdict}
		list = append(list, s)
	}
	return list
}
