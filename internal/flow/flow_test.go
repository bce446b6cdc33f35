package flow

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func refused() Flow {
	return Flow{
		Time: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), Protocol: 6, Src: netip.MustParseAddrPort("10.244.1.2:4000"), Dst: netip.MustParseAddrPort("10.244.1.3:8080"),
		Front: netip.MustParseAddrPort("10.96.0.1:80"), Service: &Service{"shop", "web", "http"}, Direction: Ingress, Reason: DefaultDeny, Times: 3, Flags: 2,
		Source: &Owner{Namespace: "a", Pod: "client-1", Labels: map[string]string{"app": "client"}, Kind: "Deployment", Workload: "client"}, Dest: &Owner{Namespace: "shop", Pod: "web-1", Here: true},
		Policies: []Policy{{"NetworkPolicy", "shop", "closed"}, {"NetworkPolicy", "shop", "only-x"}},
	}
}

// TestJSONIsHubbles: the form that programs read.
func TestJSONIsHubbles(t *testing.T) {
	f := refused()
	text, err := json.Marshal(f.Record("n1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"verdict":"DROPPED"`, `"drop_reason_desc":"POLICY_DENIED"`, `"IP":{"source":"10.244.1.2","destination":"10.244.1.3","ipVersion":"IPv4"}`,
		`"l4":{"TCP":{"source_port":4000,"destination_port":8080,"flags":{"SYN":true}}}`, `"pod_name":"client-1","workloads":[{"name":"client","kind":"Deployment"}]`,
		`"Type":"L3_L4","node_name":"n1","event_type":{"type":1}`, `"destination_service":{"name":"web","namespace":"shop"}`, `"traffic_direction":"INGRESS"`,
		`"ingress_denied_by":[{"name":"closed","namespace":"shop","kind":"NetworkPolicy"},{"name":"only-x","namespace":"shop","kind":"NetworkPolicy"}]`,
		`"kube_router":{"reason":"default deny","times":"3","frontend":"10.96.0.1:80"`, `"node_name":"n1","time":"2026-11-30T12:00:00Z"`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	lost := Flow{Time: f.Time, Lost: 12, Loss: RingLoss}
	if text, _ = json.Marshal(lost.Record("n1")); !strings.Contains(string(text), `{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"12"},"node_name":"n1"`) {
		t.Errorf("%s", text)
	}
}

func TestLine(t *testing.T) {
	f := refused()
	_, line, _ := strings.Cut(f.Record("n1").Line(false), ".000: ")
	const want = "a/client-1:4000 -> shop/web-1:8080 DROPPED (TCP) by Service shop/web at 10.96.0.1:80; refused: default deny (ingress) by NetworkPolicy shop/closed, shop/only-x ×3"
	if line != want {
		t.Errorf("%s", line)
	}
}

func TestFilters(t *testing.T) {
	f := refused()
	for _, c := range []struct {
		terms string
		want  bool
	}{
		{"", true}, {"pod=a/cli", true}, {"pod=cli", false}, {"from-pod=shop/web", false}, {"to-pod=shop/web", true}, {"pod=x/y pod=a/client-1", true},
		{"namespace=shop verdict=DROPPED", true}, {"namespace=shop verdict=forwarded", false}, {"verdict=refused", true}, {"to-service=web", true}, {"to-service=a/web", false},
		{"port=80", true}, {"port=8080", true}, {"from-port=8080", false}, {"ip=10.96.0.0/12", true}, {"from-ip=10.244.1.3", false}, {"protocol=tcp", true}, {"protocol=udp", false},
		{"label=app", true}, {"label=app=client", true}, {"label=app=x", false}, {"from-workload=client", true}, {"reason=deny", true}, {"reason=policy_denied", true},
		{"traffic-direction=ingress", true}, {"traffic-direction=egress", false},
	} {
		filter, err := NewFilter(strings.Fields(c.terms))
		if err != nil || filter.Matches(&f) != c.want {
			t.Errorf("%s: want %t, %v", c.terms, c.want, err)
		}
	}
	for _, bad := range []string{"x=y", "pod", "port=x", "port=70000", "ip=x", "verdict=x", "protocol=x", "traffic-direction=x"} {
		if _, err := NewFilter([]string{bad}); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	names := []string{}
	for _, k := range Keys() {
		names = append(names, k.Name)
	}
	if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("twice: %v", names)
	}
}
