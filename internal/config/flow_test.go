package config

import "kube-router/internal/model"

func flowCases() []flagCase {
	on := func(f func(*model.FlowSettings)) func(*Options) {
		return func(o *Options) { f(&o.Settings.Flows) }
	}
	return []flagCase{
		{"flows", "", "all", on(func(f *model.FlowSettings) { f.Mode = model.FlowsAll }), []string{"", "true", "drop"}},
		{"flows-buffer", "", "10", on(func(f *model.FlowSettings) { f.Buffer = 10 }), []string{"", "0", "x", "4194305"}},
		{"flows-drops-buffer", "", "11", on(func(f *model.FlowSettings) { f.Drops = 11 }), []string{"", "0", "-1", "4194305"}},
		{"flows-rate", "", "12", on(func(f *model.FlowSettings) { f.Rate = 12 }), []string{"", "0", "1.5"}},
		{"flows-otlp", "", "http://c:4318/v1/logs", on(func(f *model.FlowSettings) { f.Export = "http://c:4318/v1/logs" }), []string{"c:4318", "ftp://c/", "http://u:p@c/"}},
		{"flows-metrics", "", "workload", on(func(f *model.FlowSettings) { f.Metrics = model.FlowsByWorkload }), []string{"", "pod", "true"}},
		{"flows-metrics-series", "", "14", on(func(f *model.FlowSettings) { f.Series = 14 }), []string{"", "0", "131073"}},
		{"flows-sample", "", "13", on(func(f *model.FlowSettings) { f.Sample = 13 }), []string{"", "0", "1048577"}},
	}
}
