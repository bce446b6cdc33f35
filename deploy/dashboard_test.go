package deploy

import (
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"kube-router/internal/reconcile"
	"kube-router/internal/show"
)

// referenceMetrics are those of kube-router v2.11 that don't come from the time of a table's changes.
const referenceMetrics = `bgp_peer_info controller_bgp_advertisements_received controller_bgp_advertisements_sent
host_routes_synced host_routes_added host_routes_removed controller_policy_chains controller_policy_ipsets
controller_ipvs_services service_total_connections service_packets_in service_packets_out service_bytes_in
service_bytes_out service_pps_in service_pps_out service_cps service_bps_in service_bps_out`

// scraped are the names of metrics that the program gives with every table in use.
func scraped(t *testing.T) map[string]bool {
	t.Helper()
	tables := func() []reconcile.Status {
		return []reconcile.Status{{Table: "nft"}, {Table: "ipvs"}, {Table: "rtnl"}, {Table: "bgp"}}
	}
	samples := func() (all []show.Sample) {
		for _, name := range strings.Fields(referenceMetrics) {
			all = append(all, show.Sample{Name: name, Help: name})
		}
		return all
	}
	w := httptest.NewRecorder()
	show.NewMeter("v", tables, samples).Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	names := map[string]bool{}
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			names[regexp.MustCompile(`^\w+`).FindString(line)] = true
		}
	}
	return names
}

// TestDashboard: every metric that a panel asks for exists, and no two panels overlap.
func TestDashboard(t *testing.T) {
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, "dashboard/kube-router.json"), &board); err != nil {
		t.Fatal(err)
	}
	known := scraped(t)
	metric := regexp.MustCompile(`\b(kube_router|kubeproxy|process|go)_\w+`)
	used := map[[2]int]string{}
	asked := 0
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			for _, name := range metric.FindAllString(target.Expr, -1) {
				asked++
				if !known[name] {
					t.Errorf("%s asks for %s, which nobody gives", p.Title, name)
				}
			}
			if strings.Count(target.Expr, "(") != strings.Count(target.Expr, ")") {
				t.Errorf("%s: %s", p.Title, target.Expr)
			}
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := used[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				used[[2]int{x, y}] = p.Title
			}
		}
	}
	if asked < 20 {
		t.Errorf("only %d metrics are asked for", asked)
	}
}
