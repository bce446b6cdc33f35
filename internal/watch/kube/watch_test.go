package kube

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"kube-router/internal/model"
)

// box keeps what a model would, as "name=address", and how it came to know.
type box struct {
	mu       sync.Mutex
	services map[string]string
	replaced int
}

func (b *box) Put(o model.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.services[o.Ref().Name.Name] = fmt.Sprint(o.(*model.Service).ClusterIPs)
}

func (b *box) Delete(r model.Ref) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.services, r.Name.Name)
}

func (b *box) Replace(_ model.Kind, all []model.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.services = map[string]string{}
	for _, o := range all {
		b.services[o.Ref().Name.Name] = fmt.Sprint(o.(*model.Service).ClusterIPs)
	}
	b.replaced++
}

func (b *box) wait(t *testing.T, what string, want map[string]string) {
	t.Helper()
	var got map[string]string
	eventually(t, what, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		got = maps.Clone(b.services)
		return got != nil && cmp.Equal(want, got)
	}, func() string { return cmp.Diff(want, got) })
}

// eventually waits for something that is a matter of milliseconds, or of a few seconds after an outage.
func eventually(t *testing.T, what string, ok func() bool, why func() string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not reached: %s", what, why())
		}
	}
}

// watched is a running Watch of Services with what it reported.
type watched struct {
	*Watch
	box
	log    *safeBuffer
	synced chan struct{}
	end    func()
}

func follow(t *testing.T, s *server) *watched {
	t.Helper()
	w := &watched{log: &safeBuffer{}, synced: make(chan struct{})}
	var err error
	w.Watch, err = New(Options{
		Config: &rest.Config{Host: s.url()}, Kinds: []model.Kind{model.KindService}, Inbox: &w.box,
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Synced: func() { close(w.synced) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.end = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(3 * time.Second):
			t.Error("Run did not return within 3 s of its context's end")
		}
	})
	t.Cleanup(w.end)
	return w
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestWatchFollowsChanges(t *testing.T) {
	for name, stream := range map[string]bool{"streaming list": true, "plain list": false} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.stream = stream
			s.put("web", "10.96.0.1")
			s.put("dns", "10.96.0.2")
			w := follow(t, s)
			<-w.synced
			w.wait(t, "first list", map[string]string{"web": "[10.96.0.1]", "dns": "[10.96.0.2]"})
			s.put("web", "10.96.0.3")
			s.remove("dns")
			s.put("new", "10.96.0.4")
			w.wait(t, "changes", map[string]string{"web": "[10.96.0.3]", "new": "[10.96.0.4]"})
			if st := w.Status()[0]; !st.Synced || !st.Connected || st.LastError != "" || st.Events != 3 || st.Kind != model.KindService {
				t.Errorf("status %+v", st)
			}
			if lists, streams := s.counts(); stream == (lists > 0) || stream == (streams == 0) {
				t.Errorf("%d plain and %d streaming lists", lists, streams)
			}
		})
	}
}

// A watch that the server ends is resumed where it was, without a new list.
func TestWatchResumes(t *testing.T) {
	s := newServer(t)
	s.put("web", "10.96.0.1")
	w := follow(t, s)
	<-w.synced
	for i := range 4 {
		s.put("web", fmt.Sprintf("10.96.1.%d", i))
		w.wait(t, "after end", map[string]string{"web": fmt.Sprintf("[10.96.1.%d]", i)})
		s.endWatches()
	}
	if w.replaced != 1 {
		t.Errorf("%d lists, want the first alone", w.replaced)
	}
}

// The server away is a state: nothing is lost, nothing is taken back, and what happened meanwhile,
// deletions too, arrives when it is there again.
func TestWatchOutage(t *testing.T) {
	for name, forget := range map[string]bool{"history kept": false, "history gone (410)": true} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.put("web", "10.96.0.1")
			s.put("dns", "10.96.0.2")
			w := follow(t, s)
			<-w.synced
			s.down()
			eventually(t, "outage noticed", func() bool { return !w.Status()[0].Connected }, func() string { return fmt.Sprint(w.Status()) })
			w.wait(t, "during the outage", map[string]string{"web": "[10.96.0.1]", "dns": "[10.96.0.2]"})
			if st := w.Status()[0]; !st.Synced || !strings.Contains(st.LastError, "refused") || st.Since.IsZero() {
				t.Errorf("status %+v", st)
			}
			s.remove("dns")
			s.put("web", "10.96.0.9")
			if forget {
				s.put("last", "10.96.0.8")
				s.remove("last")
				s.forget()
			}
			s.up()
			w.wait(t, "after the outage", map[string]string{"web": "[10.96.0.9]"})
			eventually(t, "connected", func() bool { return w.Status()[0].Connected }, func() string { return fmt.Sprint(w.Status()) })
			if text := w.log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "doesn't answer") || !strings.Contains(text, "answers again") {
				t.Errorf("want one line for the outage and one for its end, got:\n%s", text)
			}
		})
	}
}

// Starting before the API server is there is waiting, and Run ends in time even then.
func TestWatchStartsWithoutServer(t *testing.T) {
	s := newServer(t)
	s.down()
	w := follow(t, s)
	eventually(t, "first failure", func() bool { return w.Status()[0].LastError != "" }, func() string { return fmt.Sprint(w.Status()) })
	if w.HasSynced() {
		t.Error("synced without a server")
	}
	s.put("web", "10.96.0.1")
	s.up()
	<-w.synced
	w.wait(t, "server came", map[string]string{"web": "[10.96.0.1]"})

	s.down()
	eventually(t, "outage noticed", func() bool { return !w.Status()[0].Connected }, func() string { return fmt.Sprint(w.Status()) })
	w.end()
}

// One object that can't be read in part doesn't hold up the others.
func TestWatchBadObject(t *testing.T) {
	s := newServer(t)
	s.put("bad", "10.96.0.300")
	s.put("good", "10.96.0.1")
	w := follow(t, s)
	<-w.synced
	w.wait(t, "first list", map[string]string{"bad": "[]", "good": "[10.96.0.1]"})
}

func TestWatchLeavesNoGoroutine(t *testing.T) {
	s := newServer(t)
	before := runtime.NumGoroutine()
	w := follow(t, s)
	<-w.synced
	w.end()
	s.endWatches()
	eventually(t, "goroutines gone", func() bool { return runtime.NumGoroutine() <= before+3 }, // idle connection, both sides
		func() string { return fmt.Sprintf("%d before, %d after", before, runtime.NumGoroutine()) })
}

func TestKinds(t *testing.T) {
	for name, c := range map[string]struct {
		settings model.Settings
		want     string
	}{
		"nothing":  {model.Settings{}, "[Node]"},
		"proxy":    {model.Settings{Proxy: true}, "[Node Service AddressPool L2Advertisement EndpointSlice Pod]"},
		"router":   {model.Settings{Router: true}, "[Node Service AddressPool L2Advertisement EndpointSlice BGPPeer BGPAdvertisement Secret]"},
		"network":  {model.Settings{Router: true, CNI: model.CNISettings{Enabled: true, Socket: "/run/s"}}, "[Node Service AddressPool L2Advertisement EndpointSlice BGPPeer BGPAdvertisement Secret Namespace]"},
		"firewall": {model.Settings{Firewall: true}, "[Node Namespace Pod NetworkPolicy ClusterNetworkPolicy NodePolicy]"},
		"balancer": {model.Settings{Balancer: true}, "[Node Service AddressPool Namespace]"},
		"all":      {model.Settings{Proxy: true, Router: true, Firewall: true, Balancer: true}, "[Node Service AddressPool L2Advertisement EndpointSlice BGPPeer BGPAdvertisement Secret Namespace Pod NetworkPolicy ClusterNetworkPolicy NodePolicy]"},
	} {
		t.Run(name, func(t *testing.T) {
			kinds := Kinds(c.settings)
			same(t, c.want, fmt.Sprint(kinds))
			for _, k := range kinds {
				if _, ok := resourceOf(k); !ok {
					t.Errorf("%s can't be watched", k)
				}
			}
		})
	}
	if _, err := New(Options{Config: &rest.Config{Host: "http://x"}, Kinds: []model.Kind{model.KindLink}}); err == nil {
		t.Error("a Link is watched at the API server")
	}
}
