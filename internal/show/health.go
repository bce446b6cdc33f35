package show

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"kube-router/internal/reconcile"
)

// Pulse is what health is judged by.
type Pulse struct {
	Tables   []reconcile.Status
	Started  bool          // the first whole picture has been planned
	Busy     time.Duration // how long the thinking loop has been at its present turn; 0: idle
	Sources  []string      // sources that have not given their first picture
	Panicked string        // a part that ended for good, and why
}

// A row that fails for longer than Patience makes the node unhealthy; a shorter fault is being retried. One that
// fails by what isn't ours doesn't: a router could have the daemon killed again and again by what it teaches.
// Stuck is how long one turn of the thinking loop may take before the process is called hung: far beyond
// any load, since being slow is no reason to be killed.
const (
	Patience = 2 * time.Minute
	Stuck    = 5 * time.Minute
)

// Unhealthy tells why the process should be looked at (or restarted), or is empty.
func (p Pulse) Unhealthy(now time.Time) []string {
	var why []string
	if p.Panicked != "" {
		why = append(why, p.Panicked)
	}
	if p.Busy > Stuck {
		why = append(why, fmt.Sprintf("thinking has been stuck for %s", p.Busy.Round(time.Second)))
	}
	for _, t := range p.Tables {
		if t.Broken != "" && now.Sub(t.Since) > Patience {
			why = append(why, fmt.Sprintf("table %s fails since %s: %s", t.Table, t.Since.Format(time.TimeOnly), t.Broken))
		}
		for _, f := range t.Failing {
			if !f.Foreign && now.Sub(f.Since) > Patience {
				why = append(why, fmt.Sprintf("%s fails since %s: %s", f.Row, f.Since.Format(time.TimeOnly), f.Error))
			}
		}
	}
	return why
}

// NotReady tells what is missing until the first whole picture is in the kernel, or is empty.
func (p Pulse) NotReady() []string {
	var why []string
	for _, s := range p.Sources {
		why = append(why, "waiting for "+s)
	}
	if !p.Started && len(why) == 0 {
		why = append(why, "the first plan is not complete")
	}
	for _, t := range p.Tables {
		if !t.Known || t.Stats.Steps == 0 {
			why = append(why, "table "+t.Table+" has not been written")
		}
	}
	return why
}

// HealthHandler serves /healthz and /readyz. The bodies begin with what kube-router has always said.
func HealthHandler(pulse func() Pulse) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		verdict(w, "OK", "Unhealthy", http.StatusInternalServerError, pulse().Unhealthy(time.Now()))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		p := pulse()
		verdict(w, "OK", "Not ready", http.StatusServiceUnavailable, append(p.NotReady(), p.Unhealthy(time.Now())...))
	})
	return mux
}

func verdict(w http.ResponseWriter, good, bad string, code int, why []string) {
	if len(why) == 0 {
		fmt.Fprintln(w, good)
		return
	}
	w.WriteHeader(code)
	fmt.Fprintf(w, "%s\n%s\n", bad, strings.Join(why, "\n"))
}

// PprofHandler serves Go's profiles; it is only ever bound to loopback.
func PprofHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// Serve answers HTTP on a TCP address until ctx ends. An empty address serves nothing.
func Serve(ctx context.Context, addr string, h http.Handler) error {
	if addr == "" {
		return nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	return serve(ctx, l, h)
}
