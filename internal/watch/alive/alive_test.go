package alive

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/lab/netns"
	"kube-router/internal/model"
)

// fake answers for the addresses that are up.
type fake struct {
	up    map[netip.Addr]bool
	there map[netip.Addr]bool // a neighbour, that answers echo requests or not
	watch *Watch
	sent  []Target
}

func (f *fake) send(t Target, _ uint16) error { f.sent = append(f.sent, t); return nil }

func (f *fake) absent(t Target) bool { return !f.there[t.Addr] }

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
	f := &fake{up: map[netip.Addr]bool{a: true}, there: map[netip.Addr]bool{b: true}, watch: w}
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

// TestNeverHeardOf watches a node that died before it was watched: nobody is at its address, which is another thing than an echo that is filtered.
func TestNeverHeardOf(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	in := &box{all: map[model.Ref]bool{}}
	w := New(in, slog.New(slog.DiscardHandler))
	f := &fake{up: map[netip.Addr]bool{}, there: map[netip.Addr]bool{}, watch: w}
	w.ping = f
	w.Want("l2", []Target{{Node: "n1", Addr: a, Link: "eth0"}})
	f.rounds(mute)
	f.there[a] = true
	f.rounds(mute)
	f.there[a] = false
	f.rounds(mute - 1)
	if got := in.String(); got != "[]" {
		t.Errorf("too early: %s", got)
	}
	f.rounds(1)
	if got := in.String(); got != "[Silence eth0/n1]" {
		t.Errorf("nobody is there: %s", got)
	}
	f.up[a], f.there[a] = true, true
	f.rounds(again)
	if got := in.String(); got != "[]" {
		t.Errorf("back: %s", got)
	}
}

// TestKernelNeighbours asks this host's own kernel about a neighbour, an address of its own, and one behind a link that isn't there.
func TestKernelNeighbours(t *testing.T) {
	space, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer space.Close()
	err = space.Do(func() error {
		links := netlink.NewLinkAttrs()
		links.Name, links.Flags = "eth0", net.FlagUp
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: links, PeerName: "peer"}); err != nil {
			return err
		}
		peer, err := netlink.LinkByName("peer")
		if err == nil {
			err = netlink.LinkSetUp(peer)
		}
		if err != nil {
			return err
		}
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		for _, a := range []string{"192.0.2.1/24", "2001:db8::1/64"} {
			parsed, _ := netlink.ParseAddr(a)
			parsed.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(l, parsed); err != nil {
				return err
			}
		}
		for _, a := range []string{"192.0.2.2", "2001:db8::2"} {
			if err := netlink.NeighAdd(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(a), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 2}}); err != nil {
				return err
			}
		}
		s := newSockets()
		for _, a := range []string{"192.0.2.3", "2001:db8::3"} {
			for _, link := range []string{"", "eth0"} {
				c, err := net.Dial("udp", net.JoinHostPort(a, "9"))
				if err == nil {
					_, _ = c.Write([]byte("x")) // the kernel asks for it
					_ = c.Close()
				}
				if !s.absent(Target{Addr: netip.MustParseAddr(a), Link: link}) {
					t.Errorf("%s on %q is there", a, link)
				}
			}
		}
		for _, there := range []Target{{Addr: netip.MustParseAddr("192.0.2.2"), Link: "eth0"}, {Addr: netip.MustParseAddr("2001:db8::2")}, {Addr: netip.MustParseAddr("192.0.2.4"), Link: "eth0"},
			{Addr: netip.MustParseAddr("192.0.2.3"), Link: "none"}, {Addr: netip.MustParseAddr("198.51.100.1")}} {
			if s.absent(there) {
				t.Errorf("%v: told to be absent", there)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
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
