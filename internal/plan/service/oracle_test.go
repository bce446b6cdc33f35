package service

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// The oracle is a chooser written straight from the text of the Kubernetes API, sentence by sentence, slow
// and without a thought of sharing work. It knows nothing of choose and takes API objects, not candidates.

type client int

const (
	insider  client = iota // a pod or a node of the cluster
	outsider               // everybody else
)

// oracle lists who may get a new connection that a client makes on this node to a front of one kind.
func oracle(m *model.Model, s *model.Service, p model.ServicePort, f model.Family, kind intent.FrontKind, who client) []string {
	local := false
	switch {
	case kind == intent.ClusterFront:
		// "internalTrafficPolicy describes how nodes distribute service traffic they receive on the
		// ClusterIP. If set to "Local", the proxy will assume that pods only want to talk to endpoints of
		// the service on the same node as the pod".
		local = s.Internal == model.Local
	case who == outsider:
		// "externalTrafficPolicy describes how nodes distribute service traffic they receive on one of
		// the Service's "externally-facing" addresses. … Note that traffic sent to an External IP or
		// LoadBalancer IP from within the cluster will always get "Cluster" semantics".
		local = s.External == model.Local || s.Options.Local
	}
	var ready, dying []ep
	for _, e := range list(m, s, p, f) {
		if local && e.Node != m.Settings.Node {
			continue
		}
		// "ready indicates that this endpoint is ready to receive traffic".
		if e.Ready {
			ready = append(ready, e)
		} else if e.Serving && e.Terminating {
			// KEP-1669: "if there are no ready endpoints, forward traffic to serving terminating endpoints".
			dying = append(dying, e)
		}
	}
	if len(ready) == 0 {
		return names(dying)
	}
	if local {
		return names(ready)
	}
	return names(byHints(m, ready))
}

// dropped: "… on the same node as the pod, dropping the traffic if there are no local endpoints". Where there are none anywhere it is
// refused, as under policy Cluster.
func dropped(m *model.Model, s *model.Service, p model.ServicePort, f model.Family) bool {
	here := oracle(m, s, p, f, intent.ClusterFront, insider)
	anywhere := *s
	anywhere.Internal = model.Cluster
	return len(here) == 0 && len(oracle(m, &anywhere, p, f, intent.ClusterFront, insider)) > 0
}

type ep struct {
	model.Endpoint
	addr string
}

// list are the endpoints by address and port; one that is in several slices counts in its best state.
func list(m *model.Model, s *model.Service, p model.ServicePort, f model.Family) []ep {
	best := map[string]ep{}
	for _, sl := range m.Slices {
		for _, sp := range sl.Ports {
			if sl.Service != s.Name || sl.Family != f || sp.Name != p.Name || sp.Protocol != p.Protocol {
				continue
			}
			for _, e := range sl.Endpoints {
				a := netip.AddrPortFrom(e.Addrs[0], uint16(sp.Port)).String()
				if old, ok := best[a]; !ok || worse(old.Endpoint, e) {
					best[a] = ep{e, a}
				}
			}
		}
	}
	var out []ep
	for _, e := range best {
		out = append(out, e)
	}
	return out
}

func worse(a, b model.Endpoint) bool {
	value := func(e model.Endpoint) (n int) {
		switch {
		case e.Ready:
			n = 100
		case e.Serving && e.Terminating:
			n = 50 // may be asked as the last resort
		}
		return n
	}
	return value(a) < value(b)
}

// byHints: "consumers must use hints only if every endpoint has one" (KEP-2433); forNodes before forZones
// (KEP-3015); "the node's zone has no endpoint: fall back to all" (KEP-4444).
func byHints(m *model.Model, ready []ep) []ep {
	for _, level := range []struct {
		here  string
		hints func(ep) []string
	}{
		{m.Settings.Node, func(e ep) []string { _, nodes := e.For(); return nodes }},
		{m.Nodes[m.Settings.Node].Zone, func(e ep) []string { zones, _ := e.For(); return zones }},
	} {
		var mine []ep
		complete := true
		for _, e := range ready {
			complete = complete && len(level.hints(e)) > 0
			if slices.Contains(level.hints(e), level.here) {
				mine = append(mine, e)
			}
		}
		if complete && len(mine) > 0 {
			return mine
		}
	}
	return ready
}

func names(list []ep) []string {
	var out []string
	for _, e := range list {
		out = append(out, e.addr)
	}
	slices.Sort(out)
	return out
}

func printed(list []intent.Backend) []string {
	var out []string
	for _, b := range list {
		out = append(out, b.String())
	}
	slices.Sort(out)
	return out
}

func TestPlanAgreesWithTheAPIText(t *testing.T) {
	fronts := 0
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m := randomModel(rnd)
		s := m.Services[model.Name{Namespace: "ns", Name: "svc"}]
		plan, _ := Plan(m, s.Name)
		for _, in := range plan {
			fronts++
			p := portOf(s, in)
			f := model.FamilyOf(in.Addr)
			inside, outside := in.Backends, in.Backends
			if in.Far {
				outside = in.Near
			}
			check(t, seed, in, "inside", printed(inside), oracle(m, s, p, f, in.Kind, insider))
			check(t, seed, in, "outside", printed(outside), oracle(m, s, p, f, in.Kind, outsider))
			checkKeep(t, seed, in)
			if silent := in.Kind == intent.ClusterFront && dropped(m, s, p, f); in.Silent != silent {
				t.Fatalf("seed %d, %s: silent %v, want %v", seed, in, in.Silent, silent)
			}
		}
	}
	t.Logf("%d fronts of 3,000 random clusters: planner and naive chooser agree", fronts)
	if fronts < 10000 {
		t.Errorf("only %d fronts were compared: the random models are too poor", fronts)
	}
}

func check(t *testing.T, seed uint64, in *intent.Service, who string, got, want []string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("seed %d, %s, %s (-oracle +plan):\n%s", seed, in, who, d)
	}
}

// checkKeep: nobody is both chosen and only kept.
func checkKeep(t *testing.T, seed uint64, in *intent.Service) {
	t.Helper()
	for _, b := range in.Keep {
		if slices.Contains(in.Backends, b) || slices.Contains(in.Near, b) {
			t.Fatalf("seed %d: %s: %s is chosen and kept", seed, in, b)
		}
	}
}

func portOf(s *model.Service, in *intent.Service) model.ServicePort {
	for _, p := range s.Ports {
		if p.Name == in.PortName {
			return p
		}
	}
	panic("a front of no port")
}

// randomModel is a node in a zone, one Service of every sort of front, and slices that know no shame.
func randomModel(rnd *rand.Rand) *model.Model {
	set := settings()
	m := model.New(set)
	m.Put(&model.Node{Name: "self", Zone: pickOne(rnd, "", "a", "a", "b"), InternalIPs: addrs("192.0.2.1", "2001:db8::1")})
	s := &model.Service{
		Name: model.Name{Namespace: "ns", Name: "svc"}, Type: model.LoadBalancer,
		ClusterIPs: addrs("10.96.0.1", "fd00:96::1"), ExternalIPs: addrs("198.51.100.1"),
		Ingress:  []model.Ingress{{Addr: addr("203.0.113.1")}},
		Ports:    []model.ServicePort{{Name: "web", Protocol: model.TCP, Port: 80, NodePort: 30080}, {Name: "dns", Protocol: model.UDP, Port: 53}},
		Internal: pickOne(rnd, model.Cluster, model.Local), External: pickOne(rnd, model.Cluster, model.Local),
	}
	s.Options.Local = rnd.IntN(4) == 0
	m.Put(s)
	hinted := rnd.IntN(3) > 0
	for i := range rnd.IntN(4) {
		m.Put(randomSlice(rnd, i, hinted))
	}
	return m
}

func randomSlice(rnd *rand.Rand, i int, hinted bool) *model.Slice {
	sl := &model.Slice{
		Name:    model.Name{Namespace: "ns", Name: fmt.Sprintf("svc-%d", i)},
		Service: model.Name{Namespace: "ns", Name: pickOne(rnd, "svc", "svc", "svc", "other")},
		Family:  pickOne(rnd, model.IPv4, model.IPv6),
		Ports: []model.SlicePort{{Name: "web", Protocol: model.TCP, Port: pickOne[model.Port](rnd, 80, 8080)},
			{Name: "dns", Protocol: pickOne(rnd, model.UDP, model.TCP), Port: 53}},
	}
	for n := range rnd.IntN(5) {
		// Different states of one address may meet in two slices; everything but the state is then equal.
		at := (n*7 + i%2*3) % 8
		a := fmt.Sprintf("10.244.0.%d", at)
		if sl.Family == model.IPv6 {
			a = fmt.Sprintf("fd00:244::%x", at)
		}
		e := model.Endpoint{Addrs: addrs(a), Node: []string{"self", "other", ""}[at%3],
			Ready: rnd.IntN(2) == 0, Terminating: rnd.IntN(2) == 0}
		e.Serving = e.Ready || rnd.IntN(2) == 0
		if hinted {
			e.Hints = &model.Hints{}
		}
		if hinted && at != 5 {
			e.Hints.ForZones = [][]string{{"a"}, {"b"}, {"a", "b"}}[at%3]
		}
		if hinted && at%4 != 1 {
			e.Hints.ForNodes = [][]string{{"self"}, {"other"}}[at%2]
		}
		sl.Endpoints = append(sl.Endpoints, e)
	}
	return sl
}

func pickOne[T any](rnd *rand.Rand, list ...T) T { return list[rnd.IntN(len(list))] }
