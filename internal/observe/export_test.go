package observe

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"kube-router/internal/driver/conntrack"
	"kube-router/internal/flow"
)

// TestExport: a receiver gets connections that have ended and drops, in the form of OTLP, each once.
func TestExport(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	got := make(chan struct{}, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		mu.Lock()
		bodies = append(bodies, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")+" "+string(text))
		mu.Unlock()
		_, _ = io.WriteString(w, `{"partialSuccess":{}}`)
		got <- struct{}{}
	}))
	defer receiver.Close()
	r := NewRecorder(Options{Node: "n1", Flows: 10, Drops: 10, Rate: 1000})
	r.Service = func(netip.AddrPort, uint8) *flow.Service { return &flow.Service{Namespace: "shop", Name: "web"} }
	r.Export = NewExport("n1", receiver.URL+"/v1/logs")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Export.Run(ctx, func(error) {}); close(done) }()
	at := netip.MustParseAddrPort
	f := conntrack.Flow{ID: 5, Protocol: 6, Orig: conntrack.Tuple{Src: at("10.1.0.1:5000"), Dst: at("10.96.0.1:80")}, Reply: conntrack.Tuple{Src: at("10.1.0.2:8080"), Dst: at("10.1.0.1:5000")}}
	r.Tracked([]conntrack.Event{{Flow: f}})
	r.Tracked([]conntrack.Event{{Flow: f, Ended: true, Orig: conntrack.Way{Packets: 6, Bytes: 600}, Back: conntrack.Way{Packets: 4, Bytes: 400}}})
	select {
	case <-got:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was sent")
	}
	for i := 0; r.Export.Sent.Load() == 0 && i < 1000; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	<-done
	mu.Lock()
	defer mu.Unlock()
	all := strings.Join(bodies, "\n")
	for _, want := range []string{"POST /v1/logs application/json", `"key":"service.name","value":{"stringValue":"kube-router"}`, `"severityText":"INFO"`, `"key":"destination.port","value":{"intValue":"8080"}`,
		`"key":"kube_router.service","value":{"stringValue":"shop/web"}`, `"key":"kube_router.bytes_in","value":{"intValue":"400"}`, `"key":"kube_router.verdict","value":{"stringValue":"FORWARDED"}`} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in\n%s", want, all)
		}
	}
	var form struct {
		ResourceLogs []struct {
			ScopeLogs []struct {
				LogRecords []struct {
					Time string `json:"timeUnixNano"`
				}
			}
		}
	}
	_, text, _ := strings.Cut(all, "application/json ")
	if err := json.Unmarshal([]byte(text), &form); err != nil || len(form.ResourceLogs[0].ScopeLogs[0].LogRecords) != 1 || len(bodies) != 1 || r.Export.Sent.Load() != 1 {
		t.Errorf("%v: %d requests, %d sent: %s", err, len(bodies), r.Export.Sent.Load(), text)
	}
}

// TestExportNeverBlocks: with a receiver that hangs, or refuses, flows are lost and counted, and nobody waits.
func TestExportNeverBlocks(t *testing.T) {
	hang := make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-hang
		http.Error(w, "full", http.StatusTooManyRequests)
	}))
	defer receiver.Close()
	e := NewExport("n1", receiver.URL)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	why := make(chan error, 100)
	go e.Run(ctx, func(err error) {
		if err != nil {
			why <- err
		}
	})
	const total = 3 * exportQueue
	begun := time.Now()
	for range total {
		e.Take(flow.Flow{Source: nobody, Dest: nobody, Src: netip.MustParseAddrPort("10.1.0.1:1"), Dst: netip.MustParseAddrPort("10.1.0.2:2")})
	}
	if took := time.Since(begun); took > 5*time.Second || e.Lost.Load() < total-exportQueue-exportBatch {
		t.Errorf("%d lost after %s", e.Lost.Load(), took)
	}
	close(hang)
	if err := <-why; !strings.Contains(err.Error(), "429") {
		t.Error(err)
	}
	for range 1000 {
		if e.Lost.Load() == total {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d of %d are counted as lost", e.Lost.Load(), total)
}
