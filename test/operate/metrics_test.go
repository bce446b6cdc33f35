package operate

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kube-router/internal/lab/probe"
)

// referenceMetrics are those of kube-router v2.11, written from its documentation.
const referenceMetrics = `build_info{goversion,version} bgp_peer_info{address,asn,state,type} controller_bgp_advertisements_received
controller_bgp_advertisements_sent{type} controller_bgp_internal_peers_sync_time controller_routes_sync_time
host_routes_sync_time host_routes_synced host_routes_added host_routes_removed
controller_iptables_sync_time controller_iptables_v4_save_time controller_iptables_v4_restore_time
controller_iptables_v6_save_time controller_iptables_v6_restore_time controller_policy_chains_sync_time
controller_policy_ipset_v4_restore_time controller_policy_ipset_v6_restore_time controller_policy_chains controller_policy_ipsets
controller_ipvs_services_sync_time controller_ipvs_services controller_ipvs_metrics_export_time
service_total_connections{port,protocol,service_name,service_vip,svc_namespace} service_packets_in service_packets_out service_bytes_in service_bytes_out
service_pps_in service_pps_out service_cps service_bps_in service_bps_out`

// ours are those that every table has.
const ours = `rows{table} rows_have{table} failing{table} changes_total{table} failures_total{table} looks_total{table} drifted_total{table} step_seconds_count{table}`

// trafficMetrics sends connections to a Service and expects to find them counted.
func trafficMetrics(t *testing.T, engine string) {
	n := serving(t, "--service-proxy-engine", engine, "--metrics-port", "8080")
	before := n.state()
	n.start()
	tally, err := probe.Many(n.outside.Do, probe.Request{To: netip.MustParseAddrPort("10.96.0.50:80"), Timeout: 5 * time.Second}, 20, 2)
	n.check(err)
	if !tally.OK() {
		t.Errorf("%s", tally)
	}
	label := `{port="80",protocol="tcp",service_name="web",service_vip="10.96.0.50",svc_namespace="default"}`
	metrics := ""
	// IPVS sums its counters up every two seconds.
	n.eventually("counted", func() error {
		metrics = n.get("http://127.0.0.1:8080/metrics")
		if have := value(t, metrics, "kube_router_service_total_connections"+label); have != 20 {
			return fmt.Errorf("%v connections", have)
		}
		return nil
	})
	for _, name := range []string{"packets_in", "packets_out", "bytes_in", "bytes_out"} {
		if have := value(t, metrics, "kube_router_service_"+name+label); have < 60 {
			t.Errorf("%s: %v", name, have)
		}
	}
	n.stop()
	n.cleanup()
	same(t, "cleanup of metrics", before, n.state())
}
