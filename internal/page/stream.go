package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"
)

const (
	pace      = 200 * time.Millisecond // between two messages with flows
	mapPace   = time.Second            // between two looks at the map
	heartbeat = 10 * time.Second
	writing   = 10 * time.Second // that one message may take
)

// Change is how the map differs from what the page has.
type Change struct {
	Whole    bool     `json:"whole"` // forget what was there
	Vertices []Vertex `json:"vertices,omitempty"`
	Edges    []Edge   `json:"edges,omitempty"`
	Gone     []string `json:"gone,omitempty"` // ids of edges and vertices
	More     int      `json:"more"`
}

// listener is one page's end of the stream, with what it has been told.
type listener struct {
	hub       *hub
	namespace string
	write     func(event string, data any) error

	after    uint64
	vertices map[string]Vertex
	edges    map[string]Edge
	more     int
	state    State
	told     bool
}

// stream sends flows and changes of the map as server-sent events until the page goes away.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // the stream outlives the time of an answer
	w.Header().Set("Content-Type", "text/event-stream")
	l := &listener{hub: s.hub, namespace: r.URL.Query().Get("namespace"), vertices: map[string]Vertex{}, edges: map[string]Edge{}}
	l.write = func(event string, data any) error {
		text, err := json.Marshal(data)
		if err != nil {
			return err
		}
		_ = rc.SetWriteDeadline(time.Now().Add(writing))
		if _, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, text); err == nil {
			err = rc.Flush()
		}
		return err
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	var mapped, beat time.Time
	for {
		now := time.Now()
		err := l.flows()
		if err == nil && now.Sub(mapped) >= mapPace {
			mapped = now
			err = l.graph(now)
		}
		if err == nil && now.Sub(beat) >= heartbeat {
			beat = now
			err = l.write("beat", now.UnixMilli())
		}
		if err != nil {
			return // the page has gone
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// flows sends what came since; at first all that is remembered.
func (l *listener) flows() error {
	most := mostBatch
	if l.after == 0 {
		most = kept
	}
	b, next := l.hub.since(l.after, most)
	if next == l.after {
		return nil
	}
	l.after = next
	return l.write("flows", b)
}

// graph sends how the map has changed, and the state of the whole.
func (l *listener) graph(now time.Time) error {
	g := l.hub.snapshot(now, l.namespace, l.edges)
	c := Change{Whole: !l.told, More: g.More}
	vertices, edges := map[string]Vertex{}, map[string]Edge{}
	for _, v := range g.Vertices {
		if vertices[v.ID] = v; l.vertices[v.ID] != v {
			c.Vertices = append(c.Vertices, v)
		}
	}
	for _, e := range g.Edges {
		if edges[e.ID] = e; !reflect.DeepEqual(l.edges[e.ID], e) {
			c.Edges = append(c.Edges, e)
		}
	}
	for id := range l.vertices {
		if _, ok := vertices[id]; !ok {
			c.Gone = append(c.Gone, id)
		}
	}
	for id := range l.edges {
		if _, ok := edges[id]; !ok {
			c.Gone = append(c.Gone, id)
		}
	}
	changed := !l.told || len(c.Vertices)+len(c.Edges)+len(c.Gone) > 0 || c.More != l.more
	l.vertices, l.edges, l.more = vertices, edges, g.More
	if changed {
		if err := l.write("map", c); err != nil {
			return err
		}
	}
	if st := l.hub.state(); !l.told || !reflect.DeepEqual(st, l.state) {
		l.state = st
		if err := l.write("state", st); err != nil {
			return err
		}
	}
	l.told = true
	return nil
}
