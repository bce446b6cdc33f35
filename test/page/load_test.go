//go:build page

package page

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"kube-router/internal/cluster"
	"kube-router/internal/flow"
	"kube-router/internal/page"
)

// crowd is a cluster of so many workloads in ten namespaces, each with a Service, of which each asks two others.
type crowd struct {
	workloads int
	rate      int // flows in a second
}

func (c crowd) View(_ context.Context, name string) (any, error) {
	seen := cluster.Seen[cluster.NodeSeen]{Items: []cluster.NodeSeen{}}
	if name == "nodes" {
		for i := range 100 {
			seen.Items = append(seen.Items, cluster.NodeSeen{NodeStatus: cluster.NodeStatus{Node: fmt.Sprintf("n%d", i+1), State: "well"}, Ready: true})
		}
	}
	return seen, nil
}

func (c crowd) Flows(ctx context.Context, latest int, take func(flow.Record)) error {
	n := 0
	for ; n < latest; n++ {
		take(c.record(n, time.Now().Add(-time.Minute)))
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	begun, given := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			for ; given < int(now.Sub(begun).Seconds()*float64(c.rate)); given++ {
				take(c.record(n, now))
				n++
			}
		}
	}
}

func (c crowd) Why(context.Context, string, string, string) (string, error) { return "because", nil }
func (c crowd) Policy(context.Context, string, string, string) (string, error) {
	return "spec: {}", nil
}

// record is the n-th connection: whole, by a Service; one of fifty is refused. Some have names that would be markup.
func (c crowd) record(n int, at time.Time) flow.Record {
	from := n % c.workloads
	to := (from*7 + 3 + n/c.workloads%2*11) % c.workloads
	end := func(i int) flow.End {
		name := fmt.Sprintf("workload-%d", i)
		if i == 5 {
			name = "<img-src=x-onerror=alert(1)>"
		}
		return flow.End{Namespace: fmt.Sprintf("team-%d", i%10), Pod: fmt.Sprintf("%s-%d", name, n%3), Workloads: []flow.Workload{{Name: name, Kind: "Deployment"}}}
	}
	b := &flow.Body{Time: at, UUID: fmt.Sprint(n), Verdict: flow.Forwarded, Direction: "INGRESS", Source: end(from), Destination: end(to),
		IP: flow.IP{Source: fmt.Sprintf("10.1.%d.%d", from/250, from%250), Destination: fmt.Sprintf("10.2.%d.%d", to/250, to%250), Version: "IPv4"},
		L4: &flow.L4{TCP: &flow.Ports{Source: uint16(20000 + n%40000), Destination: 8080}}}
	b.Service = &flow.Name{Name: b.Destination.Workloads[0].Name, Namespace: b.Destination.Namespace}
	own := &flow.Own{Frontend: "10.96.0.1:80"}
	if n%50 == 0 {
		b.Verdict, own.Reason, b.IngressBy = flow.Dropped, "default deny", []flow.Denier{{Name: "closed", Namespace: b.Destination.Namespace, Kind: "NetworkPolicy"}}
	}
	return flow.Record{Flow: b, Own: own, NodeName: fmt.Sprintf("n%d", n%100+1), Time: at}
}

// open serves the page of a crowd until the test ends.
func (c crowd) open(t *testing.T) string {
	ctx, stop := context.WithCancel(context.Background())
	urls, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- page.New(c, "a crowd").Run(ctx, 0, func(url string) { urls <- url }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return <-urls
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestCrowd: 200 workloads with 5,000 flows a minute leave the page quick and its memory flat.
func TestCrowd(t *testing.T) {
	ctx, stop := context.WithTimeout(context.Background(), 8*time.Minute)
	defer stop()
	before := heap()
	browse(ctx, t, "load.mjs", crowd{200, 5000 / 60}.open(t), "200 workloads, 5,000 flows a minute", "20")
	grown := int64(heap()-before) >> 20
	var err error
	if grown > 64 {
		err = fmt.Errorf("the server takes %d MiB", grown)
	}
	scoring.Judge(t, "crowd", "the server's memory has a bound", err, "%d MiB", grown)
}
