package config

import "kube-router/internal/model"

func flowFlags() []Flag {
	f := func(d *draft) *model.FlowSettings { return &d.Settings.Flows }
	return []Flag{
		{Name: "flows", Type: "string", Default: string(model.FlowsDrops), Ours: true,
			read:  one(func(d *draft) *model.FlowMode { return &f(d).Mode }, oneOf(model.FlowsOff, model.FlowsDrops, model.FlowsAll)),
			Usage: "What of the traffic is kept for `kube-router flows`: drops: what policies and Services ended; all: every connection too; off: nothing."},
		{Name: "flows-buffer", Type: "uint32", Default: "32768", Ours: true, read: one(func(d *draft) *uint32 { return &f(d).Buffer }, number[uint32](1, 1<<22)),
			Usage: "How many connections are kept, the latest; each takes about 400 bytes."},
		{Name: "flows-drops-buffer", Type: "uint32", Default: "8192", Ours: true, read: one(func(d *draft) *uint32 { return &f(d).Drops }, number[uint32](1, 1<<22)),
			Usage: "How many drops are kept, the latest; tries of one client count as one within a minute."},
		{Name: "flows-rate", Type: "uint32", Default: "40000", Ours: true, read: one(func(d *draft) *uint32 { return &f(d).Rate }, number[uint32](1, 1<<30)),
			Usage: "How many beginnings and ends of connections are taken each second; what is more is counted as lost."},
		{Name: "flows-sample", Type: "uint32", Default: "1", Ours: true, read: one(func(d *draft) *uint32 { return &f(d).Sample }, number[uint32](1, 1<<20)),
			Usage: "Keep one connection of so many, the same ones on every node."},
		{Name: "flows-otlp", Type: "string", Ours: true, read: one(func(d *draft) *string { return &f(d).Export }, receiver),
			Usage: "URL of an OpenTelemetry receiver, such as http://collector:4318/v1/logs, to which flows are sent as logs (OTLP/HTTP in JSON): drops at once, connections when they have ended."},
		{Name: "flows-metrics", Type: "string", Default: string(model.FlowsUncounted), Ours: true,
			read:  one(func(d *draft) *model.FlowMetrics { return &f(d).Metrics }, oneOf(model.FlowsUncounted, model.FlowsByNamespace, model.FlowsByWorkload)),
			Usage: "How finely the metric kube_router_flows_between_total tells who talked to whom: off, namespace or workload."},
		{Name: "flows-metrics-series", Type: "uint32", Default: "1000", Ours: true, read: one(func(d *draft) *uint32 { return &f(d).Series }, number[uint32](1, 1<<17)),
			Usage: "How many pairs of them the metric tells apart on a node; those that come when it is full are counted together as other."},
	}
}
