//go:build flows

package flows

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kube-router/internal/flow"
	"kube-router/internal/lab"
)

// metric sums the series of a metric on a node whose labels have all of the words.
func (w *world) metric(node, name string, words ...string) (sum float64, series int, err error) {
	var text []byte
	err = w.Node(node).Do(func() error {
		c, err := net.Dial("tcp", "127.0.0.1:8090")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := fmt.Fprint(c, "GET /metrics HTTP/1.0\r\n\r\n"); err != nil {
			return err
		}
		text, err = io.ReadAll(c)
		return err
	})
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, name) || !containsAll(line, words) {
			continue
		}
		f := strings.Fields(line)
		v, bad := strconv.ParseFloat(f[len(f)-1], 64)
		if bad != nil {
			return 0, 0, bad
		}
		sum += v
		series++
	}
	return sum, series, err
}

func containsAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// TestLoss: when the kernel's queue overruns, what is missing is told, in the answer and as a metric, to the last event.
func TestLoss(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 1}, "--flows-buffer=131072", "--metrics-port=8090", "--flows-metrics=workload", "--flows-metrics-series=3", "--flows-otlp=http://127.0.0.1:4318/v1/logs")
	client, n := w.pod("default", "client", "n1"), w.Node("n1")
	to := w.pod("shop", "web", "n1").IPv4()
	w.check(n.SignalDaemon(syscall.SIGSTOP))
	sent := burst(t, client, to, 15_000, 4*time.Second)
	w.check(n.SignalDaemon(syscall.SIGCONT))
	var told int
	var lost uint64
	err := w.soon(func() error {
		var err error
		told, lost, err = w.counted("n1", to)
		if err == nil && (lost == 0 || told+int(lost) < sent) {
			err = fmt.Errorf("%d connections were made, %d are told, %d events lost", sent, told, lost)
		}
		return err
	})
	scoring.Judge(t, "loss", "a queue that overran is told of", err, "%d connections, %d told, %d events lost", sent, told, lost)
	text, err := w.run("n1", "flows", "--all", "--to-ip", to.String(), "--protocol", "udp")
	if err == nil && !strings.Contains(text, "EVENTS LOST: PERF_EVENT_RING_BUFFER ") {
		err = fmt.Errorf("no line tells: %.300s", text)
	}
	w.judge("loss", "by a line", err)
	counted, _, err := w.metric("n1", "kube_router_flows_lost_total")
	if err == nil && uint64(counted) < lost {
		err = fmt.Errorf("the metric says %.0f, the answer %d", counted, lost)
	}
	w.judge("loss", "by a metric", err)
	w.between()
	w.exported()
}

// exported: a receiver that comes gets what happens from then on; what was sent before it came is counted as lost.
func (w *world) exported() {
	client, web := w.pod("default", "client", "n1"), w.pod("shop", "web", "n1")
	// A connection has ended when the kernel forgets it.
	if out, err := w.Node("n1").Run(w.ctx, "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_time_wait=1"); err != nil {
		w.t.Fatal(out, err)
	}
	at := netip.AddrPortFrom(web.IPv6(), port)
	err := w.soon(func() error {
		ask(client, at, "tcp")
		lost, _, err := w.metric("n1", "kube_router_flows_export_lost_total")
		if err == nil && lost == 0 {
			err = errors.New("nothing is lost")
		}
		return err
	})
	w.judge("export", "what no receiver took is counted as lost", err)
	var mu sync.Mutex
	var got strings.Builder
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(&got, r.URL.Path, string(text), err)
	})}
	var listener net.Listener
	w.check(w.Node("n1").Do(func() (err error) {
		listener, err = net.Listen("tcp", "127.0.0.1:4318")
		return err
	}))
	go func() { _ = server.Serve(listener) }() // it ends with the test
	defer server.Close()
	err = w.soon(func() error {
		ask(client, at, "tcp")
		lost, _, err := w.metric("n1", "kube_router_flows_export_lost_total")
		sent, _, failed := w.metric("n1", "kube_router_flows_exported_total")
		mu.Lock()
		defer mu.Unlock()
		text := got.String()
		if err == nil && failed == nil && (sent == 0 || !containsAll(text, []string{`"destination.k8s.workload.name","value":{"stringValue":"web"}`, `{"stringValue":"` + at.Addr().String(), "kube_router.bytes_in"})) {
			err = fmt.Errorf("%.0f sent, %.0f lost: %.400s", sent, lost, text)
		}
		return err
	})
	w.judge("export", "to an OpenTelemetry receiver", err)
}

// between: the metric of who talked to whom has the names of workloads, and no more series than allowed.
func (w *world) between() {
	client, web := w.pod("default", "client", "n1"), w.pod("shop", "web", "n1")
	err := w.soon(func() error {
		n, series, err := w.metric("n1", "kube_router_flows_between_total", `source_namespace="default"`, `source_workload="client"`, `destination_namespace="shop"`, `destination_workload="web"`, flow.Forwarded)
		if err == nil && (n == 0 || series != 1) {
			err = fmt.Errorf("%.0f flows in %d series", n, series)
		}
		return err
	})
	w.judge("metrics", "between workloads", err)
	for _, pair := range [][2]*lab.Host{{web, client}, {client, w.Outside()}, {web, w.Outside()}, {w.Outside(), web}, {client, client}} {
		burst(w.t, pair[0], pair[1].IPv4(), 20, time.Second)
	}
	err = w.soon(func() error {
		_, series, err := w.metric("n1", "kube_router_flows_between_total")
		n, _, failed := w.metric("n1", "kube_router_flows_between_total", `source_namespace="other"`, `destination_workload="other"`)
		if err == nil && failed == nil && (series > 5 || series < 4 || n == 0) {
			err = fmt.Errorf("%d series, %.0f flows of others", series, n)
		}
		return err
	})
	w.judge("metrics", "--flows-metrics-series bounds them, and the rest is counted as other", err)
}
