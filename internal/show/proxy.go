package show

import (
	"fmt"
	"net/http"
	"time"
)

// Ports of kube-proxy, where others look for whoever carries Services: balancers outside ask the first whether a
// node takes traffic (KEP-3836), tools ask the second, on loopback, how Services are carried.
const (
	ProxyHealthPort = 10256
	ProxyModePort   = 10249
)

// ProxyHealthHandler serves /healthz and /livez in kube-proxy's words. The node takes traffic once the first whole
// picture is in the kernel, and goes on while something is being mended: forwarding is kept.
func ProxyHealthHandler(pulse func() Pulse) http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, _ *http.Request) {
		ready, now := len(pulse().NotReady()) == 0, time.Now().UTC().Format(time.RFC3339)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(w, `{"lastUpdated": %q,"currentTime": %q, "nodeEligible": %t}`, now, now, ready)
	}
	mux.HandleFunc("GET /healthz", answer)
	mux.HandleFunc("GET /livez", answer)
	return mux
}

// ProxyModeHandler serves /proxyMode: the name of the engine.
func ProxyModeHandler(mode string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /proxyMode", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, mode) })
	return mux
}
