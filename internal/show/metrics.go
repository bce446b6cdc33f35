package show

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kube-router/internal/reconcile"
)

// Sample is one value of a metric family that another room measures.
type Sample struct {
	Name    string // without the prefix kube_router_
	Help    string
	Labels  []string // alternating name and value
	Value   float64
	Counter bool
}

// Meter is where metrics come from at scrape time; nothing is counted twice.
type Meter struct {
	Version string
	Tables  func() []reconcile.Status
	Samples func() []Sample
	// Latency observes network programming latency in seconds (SIG Scalability's SLI).
	Latency prometheus.Histogram
	// Export observes how long it takes to read the traffic of Services, in seconds.
	Export prometheus.Histogram
}

// NewMeter makes a meter.
func NewMeter(version string, tables func() []reconcile.Status, samples func() []Sample) *Meter {
	return &Meter{
		Version: version, Tables: tables, Samples: samples,
		Export: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kube_router_controller_ipvs_metrics_export_time",
			Help: "Time to read the traffic of Services",
		}),
		Latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			// The name that Kubernetes gives it and its tests look for.
			Name:    "kubeproxy_network_programming_duration_seconds",
			Help:    "In Cluster Network Programming Latency in seconds",
			Buckets: append(prometheus.LinearBuckets(0.25, 0.25, 2), append(prometheus.LinearBuckets(1, 1, 59), prometheus.LinearBuckets(60, 5, 12)...)...),
		}),
	}
}

// referenceTimes are the histograms of kube-router v2.11, each fed by the lane that does that work now.
var referenceTimes = map[string]string{
	"controller_ipvs_services_sync_time":      "ipvs",
	"controller_iptables_sync_time":           "nft",
	"controller_policy_chains_sync_time":      "nft",
	"controller_iptables_v4_save_time":        "nft",
	"controller_iptables_v4_restore_time":     "nft",
	"controller_iptables_v6_save_time":        "nft",
	"controller_iptables_v6_restore_time":     "nft",
	"controller_policy_ipset_v4_restore_time": "nft",
	"controller_policy_ipset_v6_restore_time": "nft",
	"controller_routes_sync_time":             "rtnl",
	"host_routes_sync_time":                   "rtnl",
	"controller_bgp_internal_peers_sync_time": "bgp",
}

// Handler serves the metrics in Prometheus' format.
func (m *Meter) Handler() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(m, m.Latency, m.Export, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// Describe sends nothing: the families depend on what runs, so the collector is unchecked.
func (m *Meter) Describe(chan<- *prometheus.Desc) {}

// Collect reads everything now.
func (m *Meter) Collect(ch chan<- prometheus.Metric) {
	send(ch, Sample{Name: "build_info", Help: "Build of the running program",
		Labels: []string{"goversion", runtime.Version(), "version", m.Version}, Value: 1})
	byName := map[string]reconcile.Status{}
	for _, s := range m.Tables() {
		byName[s.Table] = s
		collectTable(ch, s)
	}
	for name, table := range referenceTimes {
		if _, ok := byName[table]; table == "ipvs" && !ok {
			table = "nft" // a kernel without IPVS: its rules carry the Services
		}
		if s, ok := byName[table]; ok {
			histogram(ch, name, "Time of one change of table "+table, nil, s.Stats)
		}
	}
	for _, s := range m.Samples() {
		send(ch, s)
	}
}

func collectTable(ch chan<- prometheus.Metric, s reconcile.Status) {
	table := []string{"table", s.Table}
	for _, x := range []Sample{
		{Name: "rows", Help: "Rows wanted", Value: float64(s.Want)},
		{Name: "rows_have", Help: "Rows of ours that are in place", Value: float64(s.Have)},
		{Name: "failing", Help: "Rows that could not be made so", Value: float64(len(s.Failing))},
		{Name: "changes_total", Help: "Rows changed", Value: float64(s.Stats.Changes), Counter: true},
		{Name: "failures_total", Help: "Changes that failed", Value: float64(s.Stats.Failures), Counter: true},
		{Name: "drifted_total", Help: "Rows that others changed or removed", Value: float64(s.Stats.Drifted), Counter: true},
		{Name: "looks_total", Help: "Times that the whole table was read", Value: float64(s.Stats.Looks), Counter: true},
	} {
		x.Labels = table
		send(ch, x)
	}
	histogram(ch, "step_seconds", "Time of one change of a table", table, s.Stats)
}

func histogram(ch chan<- prometheus.Metric, name, help string, labels []string, s reconcile.Stats) {
	names, values := split(labels)
	buckets, sum := map[float64]uint64{}, uint64(0)
	for i, bound := range reconcile.Buckets {
		sum += s.Took[i]
		buckets[bound.Seconds()] = sum
	}
	desc := prometheus.NewDesc("kube_router_"+name, help, names, nil)
	if metric, err := prometheus.NewConstHistogram(desc, s.Applies, s.Busy.Seconds(), buckets, values...); err == nil {
		ch <- metric
	}
}

func send(ch chan<- prometheus.Metric, s Sample) {
	names, values := split(s.Labels)
	kind := prometheus.GaugeValue
	if s.Counter {
		kind = prometheus.CounterValue
	}
	desc := prometheus.NewDesc("kube_router_"+s.Name, s.Help, names, nil)
	if metric, err := prometheus.NewConstMetric(desc, kind, s.Value, values...); err == nil {
		ch <- metric
	}
}

func split(labels []string) (names, values []string) {
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	return names, values
}

// Observe records the latency from a change of endpoints at its source to the kernel.
func (m *Meter) Observe(trigger, now time.Time) {
	if !trigger.IsZero() {
		m.Latency.Observe(now.Sub(trigger).Seconds())
	}
}
