package show

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"kube-router/internal/listen"
	"kube-router/internal/reconcile"
)

// Pulse is what health is judged by.
type Pulse struct {
	Tables   []reconcile.Status
	Started  bool          // the first whole picture has been planned
	Busy     time.Duration // how long the thinking loop has been at its present turn; 0: idle
	Sources  []string      // sources that have not given their first picture
	Panicked string        // a part that ended for good, and why
	NoPath   string        // why no other node can be reached; empty: some can, or there is none
	Blocked  string        // which chains of others drop packets of pods; empty: none is known to
	Leaving  bool          // the Node is being deleted, or is about to be: it takes no new traffic
}

// A row or table that fails for longer than Patience makes the node unhealthy; a shorter fault is being retried. One that
// fails by what no restart changes doesn't: a router could have the daemon killed again and again by what it teaches.
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
		if t.Broken != "" && !t.Foreign && now.Sub(t.Since) > Patience {
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

// Serving tells whether Services are carried here: the first whole picture is in the kernel, and changes still reach it.
func (p Pulse) Serving(now time.Time) bool {
	return len(p.NotReady()) == 0 && len(p.Unhealthy(now)) == 0
}

// HealthHandler serves /healthz and /readyz. The bodies begin with what kube-router has always said.
func HealthHandler(pulse func() Pulse) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		verdict(w, "OK", "Unhealthy", http.StatusInternalServerError, pulse().Unhealthy(time.Now()))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		p := pulse()
		why := append(p.NotReady(), p.Unhealthy(time.Now())...)
		if p.NoPath != "" {
			why = append(why, "no path to other nodes: "+p.NoPath)
		}
		if p.Blocked != "" {
			why = append(why, p.Blocked)
		}
		verdict(w, "OK", "Not ready", http.StatusServiceUnavailable, why)
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

// Door is one TCP address at which the daemon answers.
type Door struct {
	Name   string        // for the log
	Addr   string        // host:port; empty: nobody is answered
	Most   int           // connections at once
	Answer time.Duration // for one question and its answer
	Log    *slog.Logger
}

// Serve answers HTTP at the door until ctx ends. An address that can't be had is tried again and again; that it can't
// is logged once. It is no reason to end: what the daemon does for the node goes on.
func (d Door) Serve(ctx context.Context, h http.Handler) error {
	if d.Addr == "" {
		return nil
	}
	l, err := listen.TCP(ctx, d.Addr, func(err error) {
		if err != nil {
			d.Log.Warn("not served; tried again", "what", d.Name, "address", d.Addr, "error", err)
		} else {
			d.Log.Info("served after all", "what", d.Name, "address", d.Addr)
		}
	})
	if err != nil {
		return err
	}
	return listen.HTTP(ctx, l, listen.NewPool(d.Most), h, d.Answer)
}
