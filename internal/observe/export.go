package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"kube-router/internal/flow"
)

const (
	exportQueue    = 4096             // flows that wait to be sent; what is more is lost
	exportBatch    = 512              // flows of one request
	exportPatience = 10 * time.Second // for a receiver's answer
)

// Export sends flows to an OpenTelemetry receiver, as logs by OTLP over HTTP in JSON (opentelemetry-proto, logs/v1): connections once they have ended,
// drops at once. Nobody waits for it: what can't be sent soon enough, or isn't taken, is lost and counted.
type Export struct {
	node, url string
	client    *http.Client
	queue     chan flow.Flow

	Sent, Lost atomic.Uint64
}

// NewExport makes one for the receiver at a URL, such as http://collector:4318/v1/logs.
func NewExport(node, url string) *Export {
	return &Export{node: node, url: url, client: &http.Client{Timeout: exportPatience}, queue: make(chan flow.Flow, exportQueue)}
}

// Take takes flows to send. A nil Export takes none.
func (e *Export) Take(list ...flow.Flow) {
	if e == nil {
		return
	}
	for _, f := range list {
		select {
		case e.queue <- f:
		default:
			e.Lost.Add(1)
		}
	}
}

// Run sends until ctx ends; failed is told why a request was in vain, and nil when one wasn't.
func (e *Export) Run(ctx context.Context, failed func(error)) {
	for {
		var batch []flow.Flow
		select {
		case <-ctx.Done():
			return
		case f := <-e.queue:
			batch = append(batch, f)
		}
		for more := true; more && len(batch) < exportBatch; {
			select {
			case f := <-e.queue:
				batch = append(batch, f)
			default:
				more = false
			}
		}
		refused, err := e.send(ctx, batch)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			refused = uint64(len(batch))
		}
		e.Lost.Add(refused)
		e.Sent.Add(uint64(len(batch)) - refused)
		failed(err)
	}
}

// send makes one request, and tells how many of the flows the receiver did not take.
func (e *Export) send(ctx context.Context, batch []flow.Flow) (refused uint64, err error) {
	body, err := json.Marshal(e.request(batch))
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := e.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return 0, err
	}
	if answer.StatusCode/100 != 2 {
		return 0, fmt.Errorf("%s: %.200s", answer.Status, text)
	}
	var partial struct {
		PartialSuccess struct {
			Rejected json.Number `json:"rejectedLogRecords"`
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(text, &partial) == nil {
		n, _ := partial.PartialSuccess.Rejected.Int64() // 0 where it says nothing
		refused = min(uint64(max(n, 0)), uint64(len(batch)))
	}
	return refused, nil
}

// attribute is a KeyValue of OTLP; numbers of 64 bits are text there.
type attribute struct {
	Key   string            `json:"key"`
	Value map[string]string `json:"value"`
}

func attributes(pairs ...string) (list []attribute) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			list = append(list, attribute{pairs[i], map[string]string{"stringValue": pairs[i+1]}})
		}
	}
	return list
}

func number(key string, n uint64) attribute {
	return attribute{key, map[string]string{"intValue": strconv.FormatUint(n, 10)}}
}

// request is an ExportLogsServiceRequest.
func (e *Export) request(batch []flow.Flow) any {
	type object = map[string]any
	records := make([]object, 0, len(batch))
	for i := range batch {
		f := &batch[i]
		r := f.Record(e.node)
		severity, word := 9, "INFO"
		if f.Reason != flow.Passed {
			severity, word = 13, "WARN"
		}
		at := strconv.FormatInt(f.Time.UnixNano(), 10)
		records = append(records, object{"timeUnixNano": at, "observedTimeUnixNano": at, "severityNumber": severity, "severityText": word,
			"body": object{"stringValue": r.Line(false)}, "attributes": flowAttributes(f, &r)})
	}
	return object{"resourceLogs": []object{{
		"resource":  object{"attributes": attributes("service.name", "kube-router", "k8s.node.name", e.node)},
		"scopeLogs": []object{{"scope": object{"name": "kube-router/flows"}, "logRecords": records}},
	}}}
}

// flowAttributes are named by OpenTelemetry's conventions where they have a name.
func flowAttributes(f *flow.Flow, r *flow.Record) []attribute {
	list := attributes("network.transport", map[uint8]string{6: "tcp", 17: "udp", 132: "sctp", 1: "icmp", 58: "icmp"}[f.Protocol], "network.type", map[bool]string{false: "ipv4", true: "ipv6"}[f.Src.Addr().Is6()],
		"source.address", f.Src.Addr().String(), "destination.address", f.Dst.Addr().String(),
		"source.k8s.namespace.name", f.Source.Namespace, "source.k8s.pod.name", f.Source.Pod, "source.k8s.workload.name", f.Source.Workload, "source.k8s.node.name", f.Source.Node,
		"destination.k8s.namespace.name", f.Dest.Namespace, "destination.k8s.pod.name", f.Dest.Pod, "destination.k8s.workload.name", f.Dest.Workload, "destination.k8s.node.name", f.Dest.Node,
		"kube_router.verdict", r.Flow.Verdict, "kube_router.reason", r.Own.Reason, "kube_router.frontend", r.Own.Frontend, "kube_router.id", r.Flow.UUID)
	if f.Src.Port() != 0 || f.Dst.Port() != 0 {
		list = append(list, number("source.port", uint64(f.Src.Port())), number("destination.port", uint64(f.Dst.Port())))
	}
	if f.Service != nil {
		list = append(list, attributes("kube_router.service", f.Service.Namespace+"/"+f.Service.Name)...)
	}
	if !f.Ended.IsZero() {
		list = append(list, number("kube_router.packets_out", f.Out.Packets), number("kube_router.bytes_out", f.Out.Bytes), number("kube_router.packets_in", f.In.Packets), number("kube_router.bytes_in", f.In.Bytes))
	}
	return list
}
