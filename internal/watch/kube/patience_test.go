package kube

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kube-router/internal/model"
)

// proxy stands before a server and misbehaves as its mode says.
type proxy struct {
	mode   atomic.Value // string
	lists  atomic.Int64
	watchs atomic.Int64
	to     *httputil.ReverseProxy
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	watching := r.URL.Query().Get("watch") != ""
	if watching {
		p.watchs.Add(1)
	} else {
		p.lists.Add(1)
	}
	switch mode := p.mode.Load().(string); {
	case mode == "silent", mode == "silent watch" && watching:
		<-r.Context().Done() // takes the request, says nothing
	case mode == "410" && watching:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintln(w, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","message":"too old","code":410}}`)
	case mode == "empty watch" && watching:
		w.Header().Set("Content-Type", "application/json")
	case mode == "garbage" && watching:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintln(w, "\x00\xff{\"kind\":\"Lis")
	case mode == "500":
		fail(w, http.StatusInternalServerError, metav1.StatusReasonInternalError, "no")
	default:
		p.to.ServeHTTP(w, r)
	}
}

// misled follows a server through a proxy, with patience fit for a test.
func misled(t *testing.T, mode string) (*server, *proxy, *watched) {
	t.Helper()
	s := newServer(t)
	s.put("web", "10.96.0.1")
	to, err := url.Parse(s.url())
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{to: httputil.NewSingleHostReverseProxy(to)}
	p.to.FlushInterval = -1
	p.to.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	p.mode.Store(mode)
	front := newServer(t) // for its listener and its end
	front.http.Handler = p
	w := &watched{log: &safeBuffer{}, synced: make(chan struct{})}
	w.Watch, err = New(Options{Config: &rest.Config{Host: front.url()}, Kinds: []model.Kind{model.KindService}, Inbox: &w.box,
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Synced: func() { close(w.synced) }})
	if err != nil {
		t.Fatal(err)
	}
	w.sources[0].patience = patience{answer: 300 * time.Millisecond, list: 300 * time.Millisecond, silence: 1200 * time.Millisecond,
		proof: 200 * time.Millisecond, first: 50 * time.Millisecond, most: time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.Run(ctx) }()
	w.end = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(w.end)
	return s, p, w
}

func (w *watched) away(t *testing.T, why string) {
	t.Helper()
	eventually(t, "away: "+why, func() bool {
		st := w.Status()[0]
		return !st.Connected && !st.Since.IsZero() && strings.Contains(st.LastError, why)
	}, func() string { return fmt.Sprint(w.Status()) })
}

func (w *watched) back(t *testing.T) {
	t.Helper()
	eventually(t, "back", func() bool { return w.Status()[0].Connected }, func() string { return fmt.Sprint(w.Status()) })
}

// A server that takes requests and never answers is away since then, at the start and in the middle of a watch, and what
// happened meanwhile comes when it answers again.
func TestAServerThatHangs(t *testing.T) {
	s, p, w := misled(t, "silent")
	w.away(t, "does not answer")
	if w.HasSynced() {
		t.Error("it has synced with a server that says nothing")
	}
	p.mode.Store("ok")
	<-w.synced
	w.wait(t, "first list", map[string]string{"web": "[10.96.0.1]"})
	w.back(t)
	p.mode.Store("silent") // the watch that is open falls silent as well: nothing changes
	w.away(t, "does not answer")
	w.wait(t, "during the outage", map[string]string{"web": "[10.96.0.1]"})
	s.put("web", "10.96.0.2")
	p.mode.Store("ok")
	w.wait(t, "after it", map[string]string{"web": "[10.96.0.2]"})
	w.back(t)
	if text := w.log.String(); strings.Count(text, "doesn't answer") != 2 || strings.Count(text, "answers again") > 2 {
		t.Errorf("an outage is a line, and its end:\n%s", text)
	}
}

// A watch that only falls silent is asked anew from where it was, without a list and without an alarm.
func TestASilentWatchIsAskedAnew(t *testing.T) {
	s, p, w := misled(t, "ok")
	<-w.synced
	begun := p.watchs.Load()
	eventually(t, "new watches", func() bool { return p.watchs.Load() >= begun+2 }, func() string { return fmt.Sprint(p.watchs.Load()) })
	s.put("web", "10.96.0.3")
	w.wait(t, "a change", map[string]string{"web": "[10.96.0.3]"})
	if w.replaced != 1 || p.lists.Load() != 0 || w.log.String() != "" {
		t.Errorf("%d lists arrived, %d were asked for; log: %s", w.replaced, p.lists.Load(), w.log.String())
	}
}

// Watches that are accepted and then fail are an outage too, and the server is not asked without a pause. While plain lists
// come, what they tell arrives.
func TestWatchesThatFailAreNotRepeatedAtOnce(t *testing.T) {
	for _, mode := range []string{"410", "empty watch", "garbage", "500", "silent watch"} {
		t.Run(mode, func(t *testing.T) {
			s, p, w := misled(t, "ok")
			<-w.synced
			w.wait(t, "first list", map[string]string{"web": "[10.96.0.1]"})
			p.mode.Store(mode)
			s.endWatches()
			w.away(t, "")
			if mode != "500" {
				s.put("web", "10.96.0.4")
				w.wait(t, "by plain lists", map[string]string{"web": "[10.96.0.4]"})
			}
			before, begin := p.lists.Load()+p.watchs.Load(), time.Now()
			time.Sleep(2 * time.Second)
			if n, most := p.lists.Load()+p.watchs.Load()-before, 2+int64(12*time.Since(begin).Seconds()); n > most {
				t.Errorf("%d requests in %s", n, time.Since(begin))
			}
			p.mode.Store("ok")
			s.put("web", "10.96.0.5")
			w.wait(t, "after it", map[string]string{"web": "[10.96.0.5]"})
			w.back(t)
		})
	}
}
