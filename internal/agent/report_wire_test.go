package agent

import (
	"strings"
	"testing"
	"time"

	"kube-router/internal/row"
)

// TestSilentNodesAreTold: a node that falls silent is one event, and another when it is heard.
func TestSilentNodesAreTold(t *testing.T) {
	r := reporting(t, "n1", "n1", "n2")
	r.wire("n2", "abcdefgh", true, time.Now().Add(-3*time.Minute))
	r.wire("n2", "abcdefgh", false, time.Now())
	var list []row.KubeEvent
	for _, e := range r.events.All {
		list = append(list, e)
	}
	if len(list) != 2 || list[0].At.IsZero() || list[1].At.IsZero() {
		t.Fatal(list)
	}
	for _, e := range list {
		if e.Name != "n1" || e.UID != "n1" || !strings.Contains(e.Note, "node n2, key abcdefgh") || e.Normal != (e.Reason == wireHeard) {
			t.Errorf("%+v", e)
		}
	}
}
