package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kube-router/internal/flow"
)

// fixed is a source that answers at once.
type fixed struct{ asked int }

func (f *fixed) View(_ context.Context, name string) (any, error) {
	f.asked++
	if name == "peers" {
		return nil, errors.New("the nodes are away")
	}
	return map[string]string{"view": name}, nil
}

func (f *fixed) Flows(ctx context.Context, _ int, _ func(flow.Record)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (f *fixed) Why(_ context.Context, from, to, port string) (string, error) {
	return from + " " + to + " " + port, nil
}

func (f *fixed) Policy(_ context.Context, kind, namespace, name string) (string, error) {
	return kind + " " + namespace + "/" + name, nil
}

const here = "127.0.0.1:8080"

// ask sends a request as a browser at the page would, but for what change makes other.
func ask(s *Server, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	r.Host = here
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.handler(here).ServeHTTP(w, r)
	return w
}

func TestDoors(t *testing.T) {
	s := New(&fixed{}, "test")
	page := "/" + s.token + "/"
	head := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Set(pairs[i], pairs[i+1])
			}
		}
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for what, c := range map[string]struct {
		path   string
		change func(*http.Request)
		want   int
	}{
		"the page":                 {page, nil, 200},
		"its API":                  {page + "api/about", head("Origin", "http://"+here, "Sec-Fetch-Site", "same-origin"), 200},
		"localhost":                {page, host("localhost:8080"), 200},
		"a URL that was typed":     {page, head("Sec-Fetch-Site", "none"), 200},
		"a link from elsewhere":    {page, head("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), 200},
		"a frame elsewhere":        {page, head("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"), 403},
		"a script elsewhere":       {page + "api/about", head("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"), 403},
		"a page of another port":   {page + "api/about", head("Origin", "http://127.0.0.1:9090"), 403},
		"origin null":              {page + "api/about", head("Origin", "null"), 403},
		"another name (rebinding)": {page, host("evil.example:8080"), 403},
		"another port":             {page, host("127.0.0.1:9090"), 403},
		"no host":                  {page, host(""), 403},
		"no token":                 {"/", nil, 403},
		"no token, API":            {"/api/about", nil, 403},
		"a wrong token":            {"/" + strings.Repeat("A", len(s.token)) + "/", nil, 403},
		"a token that begins so":   {"/" + s.token + "x/", nil, 403},
		"a POST":                   {page + "api/about", func(r *http.Request) { r.Method = "POST" }, 405},
		"a file beside the page":   {page + "page.go", nil, 404},
		"a view that isn't":        {page + "api/view/secrets", nil, 404},
	} {
		w := ask(s, c.path, c.change)
		if w.Code != c.want {
			t.Errorf("%s: %d, want %d", what, w.Code, c.want)
		}
		if p := w.Header().Get("Content-Security-Policy"); p != contentPolicy || strings.Contains(p, "unsafe") || !strings.HasPrefix(p, "default-src 'none'") {
			t.Errorf("%s: Content-Security-Policy %q", what, p)
		}
		for key, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
			if got := w.Header().Get(key); got != want {
				t.Errorf("%s: %s %q", what, key, got)
			}
		}
		if c.want == 403 && strings.Contains(w.Body.String(), s.token) {
			t.Errorf("%s: the token is told", what)
		}
	}
	if other := New(&fixed{}, ""); len(s.token) < 22 || other.token == s.token {
		t.Error("tokens are short, or the same")
	}
}

// TestAssets: the page has nothing that its own policy would forbid, and names no other host.
func TestAssets(t *testing.T) {
	list, err := assets.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	s := New(&fixed{}, "")
	size := 0
	for _, f := range list {
		w := ask(s, "/"+s.token+"/"+f.Name(), nil)
		text := w.Body.String()
		size += len(text)
		if w.Code != 200 || w.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %d %q", f.Name(), w.Code, w.Header().Get("Content-Type"))
		}
		for _, bad := range []string{"https://", "innerHTML", "insertAdjacentHTML", "eval(", "<style", " style=", "onclick=\""} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %q", f.Name(), bad)
			}
		}
		for _, url := range strings.Split(strings.ReplaceAll(text, "http://www.w3.org/", ""), "http://")[1:] {
			t.Errorf("%s names http://%.30s", f.Name(), url)
		}
	}
	if size > 200<<10 {
		t.Errorf("the page is %d bytes", size)
	}
}

func TestViews(t *testing.T) {
	f := &fixed{}
	s := New(f, "")
	at := "/" + s.token + "/api/view/"
	first := ask(s, at+"nodes", nil)
	again := ask(s, at+"nodes", func(r *http.Request) { r.Header.Set("If-None-Match", first.Header().Get("ETag")) })
	if first.Code != 200 || again.Code != 304 || again.Body.Len() > 0 || f.asked != 1 {
		t.Errorf("%d, %d %q, asked %d times", first.Code, again.Code, again.Body, f.asked)
	}
	if w := ask(s, at+"peers", nil); w.Code != 200 || !strings.Contains(w.Body.String(), `"error":"the nodes are away"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestWords: what becomes an argument of a program on a node is a word, and no flag.
func TestWords(t *testing.T) {
	s := New(&fixed{}, "")
	for query, want := range map[string]int{
		"from=shop/web-1&to=10.0.0.1&port=80/tcp": 200, "from=fd00::1&to=::1&port=80/udp": 200,
		"from=--control-socket&to=a&port=b": 400, "from=a&to=b;reboot&port=c": 400, "from=a&to=b": 400, "from=a%20b&to=c&port=d": 400, "from=%0a&to=c&port=d": 400,
	} {
		if w := ask(s, "/"+s.token+"/api/why?"+query, nil); w.Code != want {
			t.Errorf("%s: %d, want %d", query, w.Code, want)
		}
	}
	for query, want := range map[string]int{
		"kind=NetworkPolicy&namespace=a&name=b": 200, "kind=ClusterNetworkPolicy&name=b": 200, "kind=NetworkPolicy&namespace=-a&name=b": 400, "kind=x": 400,
	} {
		if w := ask(s, "/"+s.token+"/api/policy?"+query, nil); w.Code != want {
			t.Errorf("%s: %d, want %d", query, w.Code, want)
		}
	}
}

// TestServe: it listens on the loopback address alone, streams, and ends with its context, open streams too.
func TestServe(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s := New(&fixed{}, "test")
	urls, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- s.Run(ctx, 0, func(url string) { urls <- url }) }()
	url := <-urls
	if !strings.HasPrefix(url, "http://127.0.0.1:") {
		t.Fatal(url)
	}
	resp, err := http.Get(url + "api/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.hub.take(passed("n1", 1, "shop/web", time.Now()))
	text := ""
	for part := make([]byte, 4096); !strings.Contains(text, "event: flows"); {
		n, err := resp.Body.Read(part)
		if text += string(part[:n]); err != nil {
			t.Fatal(err, text)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("the stream ended as if it were whole")
	}
}

// passed is a record of a connection from default/client-N to a pod by a Service, whole in itself.
func passed(node string, n int, service string, at time.Time) flow.Record {
	namespace, name, _ := strings.Cut(service, "/")
	r := flow.Record{NodeName: node, Time: at, Flow: &flow.Body{Time: at, UUID: fmt.Sprint(node, n, at.UnixNano()), Verdict: flow.Forwarded, Direction: "INGRESS",
		IP: flow.IP{Source: "10.0.0.1", Destination: "10.0.0.2", Version: "IPv4"}, L4: &flow.L4{TCP: &flow.Ports{Source: uint16(n%60000) + 1, Destination: 8080}},
		Source:      flow.End{Namespace: "default", Pod: fmt.Sprintf("client-%d", n), Workloads: []flow.Workload{{Name: fmt.Sprintf("client-%d", n), Kind: "Deployment"}}},
		Destination: flow.End{Namespace: namespace, Pod: name + "-1", Workloads: []flow.Workload{{Name: name, Kind: "Deployment"}}}}}
	r.Flow.Service, r.Own = &flow.Name{Name: name, Namespace: namespace}, &flow.Own{Frontend: "10.96.0.1:80"}
	return r
}

// TestBounds: whatever comes, memory has a limit, and what is left out is counted.
func TestBounds(t *testing.T) {
	h := newHub()
	now := time.Now()
	const many = 30000
	for i := range many {
		r := passed("n1", i, fmt.Sprintf("s%d/web-%d", i%50, i), now)
		if i%100 == 0 {
			r.Flow.Verdict, r.Own.Reason = flow.Dropped, "default deny"
		}
		h.take(r)
	}
	if len(h.lines) > kept || len(h.graph.edges) > mostKept || len(h.known.young)+len(h.known.aged) > 2*mostKnown {
		t.Errorf("%d lines, %d edges, %d uuids", len(h.lines), len(h.graph.edges), len(h.known.young)+len(h.known.aged))
	}
	g := h.snapshot(now, "", nil)
	if len(g.Vertices) > 2*mostVertices || len(g.Edges) > 2*mostEdges || g.More != len(h.graph.edges)-len(g.Edges) {
		t.Errorf("%d vertices, %d edges, %d more of %d", len(g.Vertices), len(g.Edges), g.More, len(h.graph.edges))
	}
	for _, e := range h.snapshot(now, "s7", nil).Edges {
		if !strings.Contains(e.ID, "s7/") {
			t.Errorf("namespace s7 has %s", e.ID)
		}
	}
	b, next := h.since(0, mostBatch)
	ends := 0
	for _, l := range b.Lines {
		if l.ended() {
			ends++
		}
	}
	if len(b.Lines) != mostBatch || next != many || uint64(len(b.Lines))+b.Skipped != many || ends != kept/100 {
		t.Errorf("%d lines, %d of them ended, %d skipped, next %d", len(b.Lines), ends, b.Skipped, next)
	}
	if b, _ := h.since(next, mostBatch); len(b.Lines)+int(b.Skipped) > 0 {
		t.Error("there is more behind the end")
	}
}

// TestStays: a large cluster's map doesn't change because others are as busy as those that it shows.
func TestStays(t *testing.T) {
	g, now := newGraph(), time.Now()
	add := func(name string) {
		for i := range 500 {
			l := lineOf(passed("n1", i, fmt.Sprintf("shop/%s-%d", name, i), now))
			g.add(&l)
		}
	}
	add("web")
	shown := map[string]Edge{}
	for _, e := range g.snapshot(now, "", nil).Edges {
		shown[e.ID] = e
	}
	add("other")
	add("other")
	again := g.snapshot(now, "", shown).Edges
	for _, e := range again {
		if _, ok := shown[e.ID]; !ok {
			t.Errorf("%s is new", e.ID)
		}
	}
	if len(again) != len(shown) || len(again) != mostVertices {
		t.Errorf("%d edges, before %d", len(again), len(shown))
	}
}

// TestAgain: what a node tells again after its connection was lost is counted once.
func TestAgain(t *testing.T) {
	h := newHub()
	r := passed("n1", 1, "shop/web", time.Now())
	h.take(r)
	h.take(r)
	if g := h.snapshot(time.Now(), "", nil); h.next != 2 || g.Edges[0].Total != 1 {
		t.Errorf("%d lines, %+v", h.next-1, g.Edges)
	}
}

// TestStates: a node that gives no flows is told of until it does.
func TestStates(t *testing.T) {
	h := newHub()
	tell := func(change, why string) {
		h.take(flow.Record{NodeStatus: &flow.NodeStatus{Change: change, Nodes: []string{"n3"}, Why: why}})
	}
	tell("NODE_ERROR", "drops: the NFLOG group is another's")
	if h.state().Notes["n3"] == "" || len(h.state().Troubles) > 0 {
		t.Errorf("%+v", h.state())
	}
	tell("NODE_UNAVAILABLE", "gone")
	if h.state().Troubles["n3"] != "gone" || len(h.state().Notes) > 0 {
		t.Errorf("%+v", h.state())
	}
	tell("NODE_CONNECTED", "")
	h.take(flow.Record{Lost: &flow.LostEvents{Source: "HUBBLE_RING_BUFFER", Number: 12}})
	text, _ := json.Marshal(h.state())
	if want := `{"troubles":{},"notes":{},"lost":{"HUBBLE_RING_BUFFER":12},"nodes":null}`; string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
}

// TestHalves: of a connection between nodes, one node's part alone is not shown as what it isn't.
func TestHalves(t *testing.T) {
	now := time.Now()
	record := func(change func(*flow.Record)) flow.Record {
		r := passed("n1", 1, "shop/web", now)
		change(&r)
		return r
	}
	client := func(r *flow.Record) { r.Flow.Direction = "EGRESS" }
	end := func(r *flow.Record) { r.Flow.Service, r.Own = nil, &flow.Own{} }
	for what, c := range map[string]struct {
		record flow.Record
		age    time.Duration
		want   string // verdict and path; empty: it is left out
	}{
		"both":                     {record(func(r *flow.Record) { r.Own.SeenBy = []string{"n1", "n2"} }), 0, "forwarded w:default/Deployment/client-1 s:shop/web w:shop/Deployment/web"},
		"the client's alone":       {record(client), 0, "sent w:default/Deployment/client-1 s:shop/web w:shop/Deployment/web"},
		"to the world":             {record(func(r *flow.Record) { client(r); end(r); r.Flow.Destination = flow.End{Identity: 2} }), 0, "forwarded w:default/Deployment/client-1 world"},
		"the end's alone":          {record(end), 0, "forwarded w:default/Deployment/client-1 w:shop/Deployment/web"},
		"the end's, remembered":    {record(end), time.Minute, ""},
		"a refusal, remembered":    {record(func(r *flow.Record) { end(r); r.Flow.Verdict = flow.Dropped }), time.Minute, "refused w:default/Deployment/client-1 w:shop/Deployment/web"},
		"silently":                 {record(func(r *flow.Record) { r.Flow.Verdict, r.Own.Silent = flow.Dropped, true }), 0, "dropped w:default/Deployment/client-1 s:shop/web w:shop/Deployment/web"},
		"a Service without anyone": {record(func(r *flow.Record) { r.Flow.Verdict, r.Flow.Destination = flow.Dropped, flow.End{Identity: 2} }), 0, "refused w:default/Deployment/client-1 s:shop/web"},
		"a node":                   {record(func(r *flow.Record) { end(r); r.Flow.Source, r.Own.SourceNode = flow.End{Identity: 6}, "n2" }), 0, "forwarded nodes w:shop/Deployment/web"},
	} {
		h := newHub()
		h.now = func() time.Time { return now.Add(c.age) }
		h.take(c.record)
		b, _ := h.since(0, kept)
		got := ""
		for _, l := range b.Lines {
			got = l.Verdict
			for _, v := range l.path() {
				got += " " + v.ID
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

// TestSentWhereRefused: nodes tell of ten refusals a minute; the rest, of which the client's node alone told, doesn't pass for connections.
func TestSentWhereRefused(t *testing.T) {
	g := newGraph()
	now := time.Now()
	l := lineOf(passed("n1", 1, "shop/web", now))
	l.Verdict = refused
	g.add(&l)
	l.Verdict = sent
	g.add(&l)
	l.Time = now.Add(2 * time.Minute)
	g.add(&l)
	for _, e := range g.snapshot(l.Time, "", nil).Edges {
		if e.Total != 2 || e.Ended != 1 || e.Passed != 1 || e.Refused != 0 {
			t.Errorf("%+v", e)
		}
	}
}
