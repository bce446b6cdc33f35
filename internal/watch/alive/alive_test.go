package alive

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"kube-router/internal/model"
)

// fake answers for the addresses that are up.
type fake struct {
	up    map[netip.Addr]bool
	watch *Watch
	sent  []Target
}

func (f *fake) send(t Target, _ uint16) error { f.sent = append(f.sent, t); return nil }

func (f *fake) run(ctx context.Context, _ func(netip.Addr, string, uint16)) error {
	<-ctx.Done()
	return nil
}

// rounds lets some rounds pass.
func (f *fake) rounds(n int) {
	for range n {
		f.watch.probe()
		sent := f.sent
		f.sent = nil
		for _, t := range sent {
			if f.up[t.Addr] {
				f.watch.heard(t.Addr, t.Link, f.watch.seq)
			}
		}
	}
}

type box struct {
	mu  sync.Mutex
	all map[model.Ref]bool
}

func (b *box) Put(o model.Object) { b.mu.Lock(); b.all[o.Ref()] = true; b.mu.Unlock() }
func (b *box) Delete(r model.Ref) { b.mu.Lock(); delete(b.all, r); b.mu.Unlock() }

func (b *box) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprint(slices.SortedFunc(maps.Keys(b.all), model.Ref.Compare))
}

func TestSilence(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::2")
	in := &box{all: map[model.Ref]bool{}}
	w := New(in, slog.New(slog.DiscardHandler))
	f := &fake{up: map[netip.Addr]bool{a: true}, watch: w}
	w.ping = f
	want := func(what, text string) {
		t.Helper()
		if got := in.String(); got != text {
			t.Errorf("%s: %s, want %s", what, got, text)
		}
	}
	w.Want("egress", []Target{{Node: "n1", Addr: a}, {Node: "n2", Addr: b, Link: "eth0"}})
	f.rounds(10)
	want("n2 never answered", "[]")
	f.up[b] = true
	f.rounds(2)
	f.up[a], f.up[b] = false, false
	f.rounds(most)
	want("not yet", "[]")
	f.rounds(1)
	want("both are silent", "[Silence n1 Silence eth0/n2]")
	f.up[a] = true
	f.rounds(again - 1)
	want("not yet back", "[Silence n1 Silence eth0/n2]")
	f.rounds(1)
	want("back", "[Silence eth0/n2]")
	w.Want("l2", []Target{{Node: "n2", Addr: b, Link: "eth0"}})
	w.Want("egress", nil)
	want("somebody wants to know still", "[Silence eth0/n2]")
	w.Want("l2", nil)
	want("nobody wants to know", "[]")
}

// TestKernelAnswers asks this host's own kernel, in both families, by route and by link, and an address that nobody has.
func TestKernelAnswers(t *testing.T) {
	in := &box{all: map[model.Ref]bool{}}
	w := New(in, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	list := []Target{{"a", netip.MustParseAddr("127.0.0.1"), ""}, {"b", netip.MustParseAddr("127.0.0.2"), "lo"}, {"d", netip.MustParseAddr("::1"), ""},
		{"e", netip.MustParseAddr("240.0.0.1"), ""}, {"f", netip.MustParseAddr("192.0.2.1"), "no-such-link"}}
	w.Want("test", list)
	answering := func() string {
		w.mu.Lock()
		defer w.mu.Unlock()
		var names string
		for _, t := range list {
			if w.states[t].answers > 1 {
				names += t.Node
			}
		}
		return names
	}
	for end := time.Now().Add(20 * time.Second); answering() != "abd" && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	if got := answering(); got != "abd" {
		t.Errorf("answers of %q, want abd", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(true, request(true, 7, 9))
	f.Add(false, []byte{129, 0, 0, 0, 0, 7, 0, 9})
	f.Fuzz(func(t *testing.T, v4 bool, b []byte) {
		if seq, ok := answer(v4, 7, b); ok && (len(b) < 8 || seq != uint16(b[6])<<8|uint16(b[7])) {
			t.Errorf("%v %x: %d", v4, b, seq)
		}
	})
}
