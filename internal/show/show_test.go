package show

import (
	"context"
	"errors"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kube-router/internal/reconcile"
)

// ask runs a server with one view until the test ends and asks it.
func ask(t *testing.T, name string, args ...string) (Page, error) {
	t.Helper()
	echo := View{Name: "echo", Make: func(_ context.Context, args []string) (Page, error) {
		if len(args) == 0 {
			return Page{}, errors.New("nothing to say")
		}
		return Page{Columns: []string{"word"}, Rows: [][]string{args}, Data: map[string]any{"words": args}}, nil
	}}
	socket := filepath.Join(t.TempDir(), "sub", "control.sock")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- NewServer(socket, []View{echo}).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	var page Page
	var err error
	for range 100 {
		if page, err = Ask(ctx, socket, name, args); err == nil || !strings.Contains(err.Error(), "is kube-router running") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return page, err
}

func TestAskOverTheSocket(t *testing.T) {
	page, err := ask(t, "echo", "a b", "c")
	if err != nil {
		t.Fatal(err)
	}
	for format, want := range map[Format]string{
		Text: "WORD\na b  c\n",
		JSON: "{\n  \"words\": [\n    \"a b\",\n    \"c\"\n  ]\n}\n",
		YAML: "words:\n- a b\n- c\n",
	} {
		var b strings.Builder
		if err := page.Print(&b, format); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%s", format, err, b.String())
		}
	}
	if err := page.Print(&strings.Builder{}, "xml"); err == nil {
		t.Error("an unknown format is no error")
	}
}

func TestAskTellsWhatWentWrong(t *testing.T) {
	if _, err := ask(t, "echo"); err == nil || err.Error() != "nothing to say" {
		t.Errorf("the view's error: %v", err)
	}
	if _, err := ask(t, "nonsense"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an unknown view: %v", err)
	}
	if _, err := Ask(t.Context(), filepath.Join(t.TempDir(), "none"), "echo", nil); err == nil ||
		!strings.Contains(err.Error(), "is kube-router running") {
		t.Errorf("no daemon: %v", err)
	}
}

func TestHealth(t *testing.T) {
	now := time.Now()
	long, short := now.Add(-Patience-time.Second), now.Add(-time.Second)
	written := reconcile.Stats{Steps: 1}
	for _, c := range []struct {
		what        string
		pulse       Pulse
		well, ready bool
	}{
		{"all is settled", Pulse{Started: true, Tables: []reconcile.Status{{Known: true, Stats: written}}}, true, true},
		{"a row failing for a moment", Pulse{Started: true, Tables: []reconcile.Status{
			{Known: true, Stats: written, Failing: []reconcile.Failing{{Since: short}}}}}, true, true},
		{"a row failing for long", Pulse{Started: true, Tables: []reconcile.Status{
			{Known: true, Stats: written, Failing: []reconcile.Failing{{Since: long}}}}}, false, false},
		{"a row failing for long by what isn't ours", Pulse{Started: true, Tables: []reconcile.Status{
			{Known: true, Stats: written, Failing: []reconcile.Failing{{Since: long, Foreign: true}}}}}, true, true},
		{"a table broken for long", Pulse{Started: true, Tables: []reconcile.Status{
			{Known: true, Stats: written, Broken: "no such device", Since: long}}}, false, false},
		{"a table broken for long by what no restart changes", Pulse{Started: true, Tables: []reconcile.Status{
			{Known: true, Stats: written, Broken: "not supported", Since: long, Foreign: true}}}, true, true},
		{"no other node can be reached", Pulse{Started: true, NoPath: "no module"}, true, false},
		{"slow, not stuck", Pulse{Started: true, Busy: Stuck / 2}, true, true},
		{"stuck", Pulse{Started: true, Busy: 2 * Stuck}, false, false},
		{"a source is missing", Pulse{Sources: []string{"Nodes"}}, true, false},
		{"a table is not read yet", Pulse{Started: true, Tables: []reconcile.Status{{}}}, true, false},
	} {
		h := HealthHandler(func() Pulse { return c.pulse })
		for path, want := range map[string]bool{"/healthz": c.well, "/readyz": c.ready} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			if got := w.Code == 200; got != want {
				t.Errorf("%s: %s says %d %s", c.what, path, w.Code, w.Body)
			}
		}
	}
}

func TestMetricsHaveTheReferencesNames(t *testing.T) {
	status := reconcile.Status{Table: "nft", Want: 7, Have: 7, Stats: reconcile.Stats{Changes: 9, Applies: 1}}
	m := NewMeter("v1", func() []reconcile.Status { return []reconcile.Status{status} },
		func() []Sample { return []Sample{{Name: "controller_ipvs_services", Value: 3}} })
	m.Observe(time.Now().Add(-time.Second), time.Now())
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`kube_router_build_info{goversion="go`, `version="v1"} 1`, `kube_router_rows{table="nft"} 7`,
		`kube_router_changes_total{table="nft"} 9`, "kube_router_controller_policy_chains_sync_time_count 1",
		"kube_router_controller_ipvs_services 3", "kubeproxy_network_programming_duration_seconds_count 1",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %q in\n%s", want, w.Body)
		}
	}
}
