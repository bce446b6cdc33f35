package view_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"kube-router/internal/agent"
	"kube-router/internal/config"
	"kube-router/internal/model"
	"kube-router/internal/row"
	"kube-router/internal/show"
	"kube-router/internal/view"
)

// memory is a table that takes all rows. Like a kernel it is read while its lane writes.
type memory[K comparable, R row.Row[K]] struct {
	mu   sync.Mutex
	rows map[K]R
}

func newMemory[K comparable, R row.Row[K]]() *memory[K, R] { return &memory[K, R]{rows: map[K]R{}} }

func (m *memory[K, R]) Dump(context.Context) (map[K]R, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.rows), nil
}

func (m *memory[K, R]) Apply(_ context.Context, changes []row.Change[K, R]) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		if c.New == nil {
			delete(m.rows, c.Key)
		} else {
			m.rows[c.Key] = *c.New
		}
	}
	return nil
}

// asked is a planned node of one pod "default/client" and of Services, each in front of one endpoint that c makes.
func asked(t *testing.T, change func(*model.Service, *model.Slice)) *view.Daemon {
	t.Helper()
	o := &config.Options{Settings: model.Settings{Node: "n1", Firewall: true, Proxy: true, IPv4: true}}
	o.Settings.Services.Engine = model.EngineNftables
	o.Settings.Services.StrictExternal = true
	rig := agent.NewRig(o, agent.Targets{
		Sysctl: newMemory[string, row.Sysctl](), Linux: newMemory[row.LinuxKey, row.Linux](), Nft: newMemory[row.NftKey, row.Nft](),
		Flows: newMemory[row.FlowsKey, row.Flows](), Health: newMemory[uint16, row.HealthPort](), CNI: newMemory[string, row.Conflist](),
	}, slog.New(slog.DiscardHandler))
	name := func(s string) model.Name { return model.Name{Namespace: "default", Name: s} }
	v4 := func(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }
	rig.Inbox.Put(&model.Link{Name: "eth0", Up: true})
	rig.Inbox.Put(&model.Pod{Name: name("client"), Node: "n1", Addrs: v4("10.1.0.1")})
	rig.Inbox.Put(&model.Pod{Name: name("server"), Node: "n1", Addrs: v4("10.1.0.2"), Labels: map[string]string{"app": "web"}})
	service := &model.Service{
		Name: name("web"), Type: model.ClusterIP, ClusterIPs: v4("10.96.0.1"), Families: []model.Family{model.IPv4},
		Ports: []model.ServicePort{{Name: "http", Protocol: model.TCP, Port: 80}}, Internal: model.Cluster, External: model.Cluster,
	}
	slice := &model.Slice{
		Name: name("web-1"), Service: name("web"), Family: model.IPv4, Ports: []model.SlicePort{{Name: "http", Protocol: model.TCP, Port: 8080}},
		Endpoints: []model.Endpoint{{Addrs: v4("10.1.0.2"), Ready: true, Serving: true, Node: "n2", Pod: name("server")}},
	}
	change(service, slice)
	rig.Inbox.Put(service)
	rig.Inbox.Put(slice)
	server := model.Selector{Requirements: []model.Requirement{{Key: "app", Op: model.In, Values: []string{"web"}}}}
	rig.Inbox.Put(&model.Policy{Name: name("closed"), Pods: server, Ingress: &model.Rules{}})
	rig.Whole()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- rig.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	<-rig.Started()
	return rig.Asked()
}

// ask asks for a view by its name, as the control socket does.
func ask(t *testing.T, d *view.Daemon, name string, args []string) (show.Page, error) {
	t.Helper()
	views := d.Views()
	i := slices.IndexFunc(views, func(v show.View) bool { return v.Name == name })
	if i < 0 {
		t.Fatalf("no view %q", name)
	}
	return views[i].Make(t.Context(), args)
}

// TestWhyNobodyAnswers shows that a Service without an endpoint to use is told with the cause, before any row.
func TestWhyNobodyAnswers(t *testing.T) {
	for want, change := range map[string]func(*model.Service, *model.Slice){
		"does its selector match":                            func(_ *model.Service, e *model.Slice) { e.Endpoints = nil },
		"none of its 1 endpoints has a port for http 80/tcp": func(_ *model.Service, e *model.Slice) { e.Ports = nil },
		"none of its 1 endpoints is ready":                   func(_ *model.Service, e *model.Slice) { e.Endpoints[0].Ready, e.Endpoints[0].Serving = false, false },
		"internalTrafficPolicy is Local, and none of its 1":  func(s *model.Service, _ *model.Slice) { s.Internal = model.Local },
	} {
		page, err := ask(t, asked(t, change), "why", []string{"web"})
		if err != nil || len(page.Rows) < 2 || !strings.Contains(page.Rows[1][0], "NOBODY ANSWERS") || !strings.Contains(page.Rows[1][0], want) {
			t.Errorf("%s: %v, %v", want, err, page.Rows)
		}
	}
	page, err := ask(t, asked(t, func(*model.Service, *model.Slice) {}), "why", []string{"web"})
	if err != nil || strings.Contains(fmt.Sprint(page.Rows), "NOBODY") {
		t.Errorf("somebody answers: %v, %v", err, page.Rows)
	}
	local := func(s *model.Service, _ *model.Slice) {
		s.Type, s.External, s.Ports[0].NodePort = model.NodePort, model.Local, 30000
		s.ExternalIPs = []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	}
	if page, err = ask(t, asked(t, local), "why", []string{"192.0.2.7"}); err != nil || !strings.Contains(fmt.Sprint(page.Rows), "REMARK: spec.externalIPs[0]: 192.0.2.7 ignored") {
		t.Errorf("an address that is ignored: %v, %v", err, page.Rows)
	}
}

// TestWhyThroughAService shows that what is asked of a Service's address is judged where policies judge it: at the
// endpoints. It used to be called allowed, for a Service is no pod.
func TestWhyThroughAService(t *testing.T) {
	a := asked(t, func(*model.Service, *model.Slice) {})
	for _, to := range []string{"10.96.0.1", "default/web"} {
		page, err := ask(t, a, "why", []string{"default/client", to, "80/tcp"})
		if err != nil || len(page.Rows) < 4 {
			t.Fatalf("%s: %v, %v", to, err, page.Rows)
		}
		text := fmt.Sprint(slices.Concat(page.Rows...))
		for _, want := range []string{"10.96.0.1:80/tcp is Service default/web", "10.1.0.1 → 10.1.0.2:8080/tcp: denied", "isolated by policy [default/closed]"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing in %s", to, want, text)
			}
		}
	}
	page, err := ask(t, a, "why", []string{"default/client", "default/server", "80/tcp"})
	if err != nil || !strings.Contains(page.Rows[0][0], "10.1.0.1 → 10.1.0.2:80/tcp: denied") {
		t.Errorf("a pod: %v, %v", err, page.Rows)
	}
}

// TestWhyOfAPod shows that a pod may be named where an address may.
func TestWhyOfAPod(t *testing.T) {
	a := asked(t, func(s *model.Service, _ *model.Slice) { s.Headless, s.ClusterIPs = true, nil })
	for what, want := range map[string]string{
		"default/client": "10.1.0.1 is pod default/client on node n1",
		"client":         "10.1.0.1 is pod default/client on node n1",
		"web":            "it is headless",
	} {
		if page, err := ask(t, a, "why", []string{what}); err != nil || !strings.Contains(fmt.Sprint(page.Rows), want) {
			t.Errorf("%s: %v, %v", what, err, page.Rows)
		}
	}
	if _, err := ask(t, a, "why", []string{"nonsense"}); err == nil || !strings.Contains(err.Error(), "and no pod with an address") {
		t.Errorf("nonsense: %v", err)
	}
	if _, err := ask(t, a, "services", []string{"nonsense"}); err == nil {
		t.Error("an empty page for a Service that is not there")
	}
}
