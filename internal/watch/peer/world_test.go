package peer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kube-router/internal/driver/gobgp"
	"kube-router/internal/lab/netns"
	"kube-router/internal/model"
	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// TestMain lets the test binary be a speaker too, as cmd/kube-router is.
func TestMain(m *testing.M) {
	dir := os.Getenv("TEST_SPEAKER")
	if dir == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGPIPE)
	e := gobgp.Engine{Dir: dir, Token: "t", Orphan: 30 * time.Second, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if err := e.Run(ctx); err != nil {
		os.Exit(1)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// host is a speaker in a namespace of its own, with its driver.
type host struct {
	t      testing.TB
	dir    string
	space  *netns.Space
	driver *gobgp.Driver
	rows   map[row.BgpKey]row.Bgp
}

// hosts are n speakers on one switch: 10.0.0.1 and fd00::1, and so on.
func hosts(t testing.TB, n int) []*host {
	t.Helper()
	fabric := space(t)
	must(t, netns.Bridge(1500, netns.End{Space: fabric, Name: "br"}))
	var all []*host
	for i := 1; i <= n; i++ {
		h := &host{t: t, dir: t.TempDir(), space: space(t), rows: map[row.BgpKey]row.Bgp{}}
		port := fmt.Sprintf("p%d", i)
		must(t, netns.Cable(1500, netns.End{Space: fabric, Name: port}, netns.End{
			Space: h.space, Name: "eth0", Addrs: []netip.Prefix{pfx(fmt.Sprintf("10.0.0.%d/24", i)), pfx(fmt.Sprintf("fd00::%d/64", i))},
		}))
		must(t, fabric.Enslave(port, "br"))
		h.supervise()
		var err error
		h.driver, err = gobgp.New(h.dir)
		must(t, err)
		t.Cleanup(func() { h.driver.Close() })
		all = append(all, h)
	}
	return all
}

func space(t testing.TB) *netns.Space {
	t.Helper()
	s, err := netns.New()
	must(t, err)
	t.Cleanup(func() { s.Close() })
	must(t, s.Prepare())
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *host) supervise() {
	s := &gobgp.Supervisor{
		Dir: h.dir, Token: "t", Path: "/usr/bin/env", Args: []string{"env", "TEST_SPEAKER=" + h.dir, os.Args[0]},
		Log: slog.New(slog.NewTextHandler(h.t.Output(), nil)),
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.space.Do(func() error { return s.Run(ctx) }) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	})
}

// want makes the speaker hold exactly these rows.
func (h *host) want(rows ...row.Bgp) {
	h.t.Helper()
	next := conform.Index[row.BgpKey](rows)
	must(h.t, h.driver.Apply(context.Background(), conform.Diff(h.rows, next)))
	h.rows = next
}

// refill gives a speaker that has a new life what the one before had.
func (h *host) refill() {
	h.t.Helper()
	must(h.t, h.driver.Apply(context.Background(), conform.Diff(nil, h.rows)))
}

// kill ends the speaker's process.
func (h *host) kill() {
	h.t.Helper()
	text, err := os.ReadFile(h.dir + "/speaker.lock")
	must(h.t, err)
	var pid int
	fmt.Sscan(string(text), &pid)
	must(h.t, syscall.Kill(pid, syscall.SIGKILL))
}

// speaker is number i with everything announced to everybody.
func speaker(i int) []row.Bgp {
	accept := row.BgpPolicy{Accept: true}
	imports := row.BgpPolicy{Import: true, Accept: true}
	return []row.Bgp{
		row.BgpSpeaker{ASN: 64512, RouterID: addr(fmt.Sprintf("10.0.0.%d", i)), Port: 179, MultiPath: true}, accept, imports,
	}
}

// with is a peer of number i.
func with(self, i int, change ...func(*row.BgpPeer)) row.Bgp {
	p := row.BgpPeer{
		Addr: addr(fmt.Sprintf("10.0.0.%d", i)), Local: addr(fmt.Sprintf("10.0.0.%d", self)), ASN: 64512, Node: fmt.Sprintf("n%d", i),
		Port: 179, Hold: 9, V4: true, V6: true,
	}
	for _, f := range change {
		f(&p)
	}
	return p
}

func path(prefix, hop string) row.Bgp { return row.BgpPath{Prefix: pfx(prefix), NextHop: addr(hop)} }

// inbox keeps what a watch reports, and how.
type inbox struct {
	mu    sync.Mutex
	paths map[model.Ref]*model.Path
	log   []string
}

func newInbox() *inbox { return &inbox{paths: map[model.Ref]*model.Path{}} }

func (b *inbox) Put(o model.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paths[o.Ref()] = o.(*model.Path)
	b.log = append(b.log, "put "+text(o.(*model.Path)))
}

func (b *inbox) Delete(r model.Ref) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.paths, r)
	b.log = append(b.log, "delete "+r.Name.Name)
}

func (b *inbox) Replace(k model.Kind, list []model.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paths = map[model.Ref]*model.Path{}
	for _, o := range list {
		b.paths[o.Ref()] = o.(*model.Path)
	}
	b.log = append(b.log, fmt.Sprintf("replace %s by %d", k, len(list)))
}

func text(p *model.Path) string {
	s := fmt.Sprint(p.Prefix, " ", p.NextHops)
	if p.External {
		s += " external"
	}
	return s
}

// is lists the paths, sorted.
func (b *inbox) is() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []string
	for _, p := range b.paths {
		list = append(list, text(p))
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

func (b *inbox) history() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.log)
}

// watch runs a watch of a host's speaker until the test ends.
func (h *host) watch(before ...*model.Path) (*Watch, *inbox) {
	h.t.Helper()
	b := newInbox()
	w, err := New(Options{
		Socket: gobgp.Socket(h.dir), Inbox: b, Log: slog.New(slog.NewTextHandler(h.t.Output(), nil)),
		Before: func() ([]*model.Path, error) { return before, nil },
	})
	must(h.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	})
	until(h.t, "the watch is synced", 10*time.Second, func() bool { return w.HasSynced() })
	return w, b
}

func until(t testing.TB, what string, limit time.Duration, is func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// shows waits until the inbox has these paths and no others.
func (b *inbox) shows(t testing.TB, limit time.Duration, lines ...string) {
	t.Helper()
	want := strings.Join(lines, "\n")
	for end := time.Now().Add(limit); b.is() != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: want\n%s\nhave\n%s\nhistory %q", limit, want, b.is(), b.history())
		}
	}
}

func list(addrs ...string) []netip.Addr {
	var all []netip.Addr
	for _, a := range addrs {
		all = append(all, addr(a))
	}
	return all
}

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range list {
		all = append(all, pfx(p))
	}
	return all
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
