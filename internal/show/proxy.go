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

// ProxyHealthHandler serves /healthz and /livez in kube-proxy's words (KEP-3836). Both say whether Services are carried
// here: from the first whole picture on, and for as long as changes still reach the kernel. /healthz, which balancers
// ask, also says no while the Node is leaving, so that connections can end elsewhere; /livez doesn't.
func ProxyHealthHandler(pulse func() Pulse) http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, good bool, rest string) {
		now := time.Now().UTC().Format(time.RFC3339)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !good {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(w, `{"lastUpdated": %q,"currentTime": %q%s}`, now, now, rest)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		p := pulse()
		answer(w, p.Serving(time.Now()) && !p.Leaving, fmt.Sprintf(`, "nodeEligible": %t`, !p.Leaving))
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, pulse().Serving(time.Now()), "") })
	return mux
}

// ProxyModeHandler serves /proxyMode: the name of the engine.
func ProxyModeHandler(mode string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /proxyMode", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, mode) })
	return mux
}
