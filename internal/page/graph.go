package page

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

const (
	mostVertices = 200  // that a page gets, beside the Services; more would be no picture
	mostEdges    = 500  // beside those from a Service to its workload
	mostKept     = 4000 // edges that are remembered
	mostPorts    = 8    // of an edge that are told apart
	step         = 5 * time.Second
	steps        = 12 // of a minute, of which rates are
)

// kindService is the Kind of Services.
const kindService = "Service"

// Vertex is a workload, a Service, the nodes or the world.
type Vertex struct {
	ID        string `json:"id"`
	Kind      string `json:"kind"` // Deployment, DaemonSet, …, Pod, Service, nodes, world
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Edge is who talks to whom: from a client to a Service and from there to a workload, or straight.
type Edge struct {
	ID        string   `json:"id"`
	From      string   `json:"from"`
	To        string   `json:"to"`
	Passed    int      `json:"passed"`  // connections in the last minute
	Refused   int      `json:"refused"` // tries that were refused or dropped in the last minute
	Total     uint64   `json:"total"`   // connections since the page began to look, and before as far as nodes remember
	Ended     uint64   `json:"ended"`   // of them, those refused or dropped
	Bytes     uint64   `json:"bytes"`   // of connections that have ended
	Ports     []string `json:"ports,omitempty"`
	Reason    string   `json:"reason,omitempty"` // of the latest that was refused
	Policies  []Policy `json:"policies,omitempty"`
	LastFlow  uint64   `json:"lastFlow"`            // id of the latest line
	LastEnded uint64   `json:"lastEnded,omitempty"` // id of the latest that was refused
}

// Graph is the map of a moment.
type Graph struct {
	Vertices []Vertex `json:"vertices"`
	Edges    []Edge   `json:"edges"`
	More     int      `json:"more"` // edges that are not in it
}

// edge is an Edge with what its rates are counted from.
type edge struct {
	Edge
	from, to Vertex
	last     time.Time
	counts   [steps]struct {
		at           int64 // number of the step
		passed, ends int
	}
}

// graph adds lines up to edges.
type graph struct {
	edges map[string]*edge
}

func newGraph() *graph { return &graph{edges: map[string]*edge{}} }

// vertex is where an end stands in the map. Pods of one workload are one vertex, and so are all nodes, and all the world.
func (e End) vertex() Vertex {
	switch {
	case e.Kind == "pod" && e.Workload != "":
		return Vertex{"w:" + e.Namespace + "/" + e.Made + "/" + e.Workload, e.Made, e.Namespace, e.Workload}
	case e.Kind == "pod":
		return Vertex{"p:" + e.Namespace + "/" + e.Pod, "Pod", e.Namespace, e.Pod}
	case e.Kind == "node":
		return Vertex{"nodes", "nodes", "", "Nodes"}
	}
	return Vertex{"world", "world", "", "Outside"}
}

// path is the vertices that a line leads along. A Service that nobody answers at is its end.
func (l *Line) path() []Vertex {
	from, to := l.Source.vertex(), l.Dest.vertex()
	if l.Service == "" {
		return []Vertex{from, to}
	}
	service := Vertex{"s:" + l.Service, kindService, "", l.Service}
	if i := slices.Index([]byte(l.Service), '/'); i >= 0 {
		service.Namespace, service.Name = l.Service[:i], l.Service[i+1:]
	}
	if l.Dest.Kind != "pod" && l.ended() || l.Frontend == "" && l.Dest.Kind == "world" {
		return []Vertex{from, service}
	}
	return []Vertex{from, service, to}
}

// add counts a line. What was only sent counts as passed, but for edges that end some of it: nodes tell of ten refusals of a pod in a minute, and the
// rest would look as if it had passed.
func (g *graph) add(l *Line) {
	path := l.path()
	for i := 1; i < len(path); i++ {
		e := g.edge(path[i-1], path[i])
		if e.rate(l.Time); l.Verdict != sent || e.Refused == 0 {
			e.count(l)
		}
	}
}

func (g *graph) edge(from, to Vertex) *edge {
	id := from.ID + ">" + to.ID
	e := g.edges[id]
	if e == nil {
		if len(g.edges) >= mostKept {
			g.forget()
		}
		e = &edge{Edge: Edge{ID: id, From: from.ID, To: to.ID}, from: from, to: to}
		g.edges[id] = e
	}
	return e
}

func (e *edge) count(l *Line) {
	times := int(min(max(l.Times, 1), 1<<20))
	at := l.Time.UnixNano() / int64(step)
	c := &e.counts[at%steps]
	if c.at < at {
		c.at, c.passed, c.ends = at, 0, 0
	}
	e.Total += uint64(times)
	e.Bytes += l.Bytes
	if l.ended() {
		e.Ended += uint64(times)
	}
	if c.at == at { // an older one is of no minute that counts
		if l.ended() {
			c.ends += times
		} else {
			c.passed += times
		}
	}
	e.note(l)
}

// note keeps what is to be told of the latest line.
func (e *edge) note(l *Line) {
	if l.Time.After(e.last) {
		e.last = l.Time
	}
	e.LastFlow = l.ID
	if l.ended() {
		e.LastEnded, e.Reason, e.Policies = l.ID, l.Reason, l.Policies
	}
	port := l.Protocol
	if l.Dest.Port != 0 {
		port = strconv.Itoa(int(l.Dest.Port)) + "/" + l.Protocol
	}
	if !slices.Contains(e.Ports, port) && len(e.Ports) < mostPorts {
		e.Ports = append(slices.Clone(e.Ports), port) // those given out are not changed
	}
}

// forget drops the quarter of the edges that nobody used for the longest time.
func (g *graph) forget() {
	all := make([]*edge, 0, len(g.edges))
	for _, e := range g.edges {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *edge) int { return a.last.Compare(b.last) })
	for _, e := range all[:len(all)/4] {
		delete(g.edges, e.ID)
	}
}

// snapshot is the map now, of one namespace or all: edges with refusals first, then the busiest. What was shown before stays where it is as good as
// another, so that a large cluster's map doesn't change all the time.
func (g *graph) snapshot(now time.Time, namespace string, shown map[string]Edge) Graph {
	all := make([]*edge, 0, len(g.edges))
	for _, e := range g.edges {
		if namespace == "" || e.from.Namespace == namespace || e.to.Namespace == namespace {
			e.rate(now)
			all = append(all, e)
		}
	}
	fresh := func(e *edge) int {
		if _, ok := shown[e.ID]; ok {
			return 0
		}
		return 1
	}
	slices.SortFunc(all, func(a, b *edge) int {
		return cmp.Or(-cmp.Compare(min(a.Refused, 1), min(b.Refused, 1)), cmp.Compare(fresh(a), fresh(b)), -cmp.Compare(a.Refused, b.Refused), -cmp.Compare(a.Passed, b.Passed), -cmp.Compare(a.Ended, b.Ended), -cmp.Compare(a.Total, b.Total), cmp.Compare(a.ID, b.ID))
	})
	return pick(all)
}

// pick makes a map of the first edges that it has room for.
func pick(all []*edge) Graph {
	out := Graph{Vertices: []Vertex{}, Edges: []Edge{}}
	known := map[string]bool{}
	vertices, edges := 0, 0 // that count
	for _, e := range all {
		more, drawn := 0, 1
		for _, v := range []Vertex{e.from, e.to} {
			if !known[v.ID] && v.Kind != kindService {
				more++
			}
		}
		if e.from.Kind == kindService {
			drawn = 0
		}
		if edges+drawn > mostEdges || vertices+more > mostVertices || len(out.Edges) == 2*mostEdges {
			out.More++
			continue
		}
		vertices, edges = vertices+more, edges+drawn
		for _, v := range []Vertex{e.from, e.to} {
			if !known[v.ID] {
				known[v.ID] = true
				out.Vertices = append(out.Vertices, v)
			}
		}
		out.Edges = append(out.Edges, e.Edge)
	}
	slices.SortFunc(out.Vertices, func(a, b Vertex) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(out.Edges, func(a, b Edge) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// rate counts the last minute.
func (e *edge) rate(now time.Time) {
	at := now.UnixNano() / int64(step)
	e.Passed, e.Refused = 0, 0
	for _, c := range e.counts {
		if at-c.at < steps {
			e.Passed += c.passed
			e.Refused += c.ends
		}
	}
}
