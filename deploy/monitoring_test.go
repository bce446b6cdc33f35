package deploy

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestAlerts: every metric that an alert asks for exists, and what its runbook points to is there.
func TestAlerts(t *testing.T) {
	var rules struct {
		Spec struct {
			Groups []struct {
				Rules []struct {
					Alert, Expr         string
					Labels, Annotations map[string]string
				}
			}
		}
	}
	if err := yaml.Unmarshal(read(t, "monitoring/rules.yaml"), &rules); err != nil {
		t.Fatal(err)
	}
	known := scraped(t)
	for _, name := range []string{"policy_dropped_packets_total", "pool_addresses", "controller_planning_failures", "encryption_peers", "encryption_clear_packets_total"} {
		known["kube_router_"+name] = true // each is given by one part of the daemon, whose own tests see it
	}
	seen := map[string]bool{}
	for _, r := range rules.Spec.Groups[0].Rules {
		if seen[r.Alert] || !strings.HasPrefix(r.Alert, "KubeRouter") {
			t.Errorf("the name %q is taken, or not ours", r.Alert)
		}
		seen[r.Alert] = true
		for _, name := range regexp.MustCompile(`\b(kube_router|kubeproxy)_\w+`).FindAllString(r.Expr, -1) {
			if !known[name] {
				t.Errorf("%s asks for %s, which nobody gives", r.Alert, name)
			}
		}
		if r.Annotations["summary"] == "" || r.Labels["severity"] == "" {
			t.Errorf("%s lacks a summary or a severity", r.Alert)
		}
		page, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#")
		text, err := os.ReadFile("../" + page)
		if err != nil {
			t.Errorf("%s: %v", r.Alert, err)
			continue
		}
		found := false
		for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
			plain := regexp.MustCompile(`[^-a-z0-9 ]`).ReplaceAllString(strings.ToLower(h[1]), "")
			found = found || strings.ReplaceAll(plain, " ", "-") == anchor
		}
		if !found {
			t.Errorf("%s: %s has no heading #%s", r.Alert, page, anchor)
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d alerts", len(seen))
	}
}
