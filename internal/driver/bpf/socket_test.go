package bpf

import (
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// space is a network namespace with nothing but the loopback link: no packet goes to a frontend, so that whoever gets an answer was
// served at the socket, and whoever wasn't hears ENETUNREACH.
type space struct {
	netns.NsHandle
	cookie uint64
}

func newSpace(t testing.TB) (s space) {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	if s.NsHandle, err = netns.New(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err == nil {
		s.cookie, err = Cookie()
	}
	if err = errors.Join(err, netns.Set(home)); err != nil {
		t.Fatal(err)
	}
	return s
}

// in runs f in the network namespace.
func (s space) in(t testing.TB, f func()) {
	t.Helper()
	runtime.LockOSThread()
	home, err := netns.Get()
	if err == nil {
		err = netns.Set(s.NsHandle)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	f()
	if err := netns.Set(home); err != nil {
		t.Fatal(err)
	}
	runtime.UnlockOSThread()
}

func sockaddr(family int, a netip.AddrPort) unix.Sockaddr {
	if family == unix.AF_INET {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func fromSockaddr(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr), uint16(s.Port))
	}
	return netip.AddrPort{}
}

// listen listens at a free port of an address, or at a given one, until the test ends.
func listen(t testing.TB, at string) netip.AddrPort {
	t.Helper()
	return counted(t, at, new(atomic.Int64))
}

// counted listens and counts who comes.
func counted(t testing.TB, at string, n *atomic.Int64) netip.AddrPort {
	t.Helper()
	a := netip.MustParseAddrPort(at)
	family := unix.AF_INET
	if a.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = errors.Join(unix.Bind(fd, sockaddr(family, a)), unix.Listen(fd, 4096))
	}
	if err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			client, _, err := unix.Accept(fd)
			if err != nil {
				return
			}
			n.Add(1)
			_ = unix.Close(client)
		}
	})
	t.Cleanup(func() {
		_ = unix.Shutdown(fd, unix.SHUT_RD) // wakes Accept
		ended.Wait()
		_ = unix.Close(fd)
	})
	return fromSockaddr(name)
}

// dialed is one connect(): its error, and what getpeername() shows.
type dialed struct {
	peer netip.AddrPort
	err  error
}

func dial(family, kind int, to string) (d dialed) {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return dialed{err: err}
	}
	defer unix.Close(fd)
	return redial(fd, family, to)
}

func redial(fd, family int, to string) (d dialed) {
	if d.err = unix.Connect(fd, sockaddr(family, netip.MustParseAddrPort(to))); d.err != nil {
		return d
	}
	name, err := unix.Getpeername(fd)
	d.peer, d.err = fromSockaddr(name), err
	return d
}

// fronts are rows of a frontend with its backends.
func fronts(front string, backends ...netip.AddrPort) []row.Bpf {
	f := netip.MustParseAddrPort(front)
	rows := []row.Bpf{row.BpfHead(f, 6, len(backends))}
	for i, b := range backends {
		rows = append(rows, row.BpfSlot(f, 6, i, b))
	}
	return rows
}

// served is a world with programs, and a network namespace whose sockets they serve.
func served(t testing.TB) (w world, d *Driver, s space, apply func(rows ...row.Bpf)) {
	t.Helper()
	w, s = newWorld(t), newSpace(t)
	d = w.open()
	enter(t, w.cgroup)
	apply = func(rows ...row.Bpf) {
		t.Helper()
		if err := d.Apply(t.Context(), conform.Diff(nil, conform.Index[row.BpfKey](rows))); err != nil {
			t.Fatal(err)
		}
	}
	apply(append(manyRows(w.cgroup, int(row.BpfHookMost)), row.BpfSpace(s.cookie, row.BpfPod))...)
	t.Cleanup(func() {
		if err := w.pins().clear(); err != nil {
			t.Error(err)
		}
	})
	return w, d, s, apply
}

func TestConnectBecomesOneToAnEndpoint(t *testing.T) {
	_, d, s, apply := served(t)
	s.in(t, func() {
		v4, v6 := listen(t, "127.0.0.1:0"), listen(t, "[::1]:0")
		apply(fronts("10.96.0.10:80", v4)...)
		apply(fronts("[fd00:96::10]:80", v6)...)
		for _, c := range []struct {
			name         string
			family, kind int
			to           string
			err          error
		}{
			{"IPv4", unix.AF_INET, unix.SOCK_STREAM, "10.96.0.10:80", nil},
			{"IPv6", unix.AF_INET6, unix.SOCK_STREAM, "[fd00:96::10]:80", nil},
			{"IPv4 at a socket of IPv6", unix.AF_INET6, unix.SOCK_STREAM, "[::ffff:10.96.0.10]:80", nil},
			{"another port", unix.AF_INET, unix.SOCK_STREAM, "10.96.0.10:81", unix.ENETUNREACH},
			{"another port, IPv6", unix.AF_INET6, unix.SOCK_STREAM, "[fd00:96::10]:81", unix.ENETUNREACH},
			{"another address", unix.AF_INET6, unix.SOCK_STREAM, "[::ffff:10.96.0.11]:80", unix.ENETUNREACH},
			{"UDP", unix.AF_INET, unix.SOCK_DGRAM, "10.96.0.10:80", unix.ENETUNREACH},
			{"UDP, IPv6", unix.AF_INET6, unix.SOCK_DGRAM, "[fd00:96::10]:80", unix.ENETUNREACH},
			{"UDP, IPv4 at a socket of IPv6", unix.AF_INET6, unix.SOCK_DGRAM, "[::ffff:10.96.0.10]:80", unix.ENETUNREACH},
			{"an endpoint itself", unix.AF_INET, unix.SOCK_STREAM, v4.String(), nil},
			{"an endpoint itself, IPv6", unix.AF_INET6, unix.SOCK_STREAM, v6.String(), nil},
		} {
			got := dial(c.family, c.kind, c.to)
			if !errors.Is(got.err, c.err) || c.err == nil && got.peer != netip.MustParseAddrPort(c.to) {
				t.Errorf("%s to %s: %v, peer %s; want %v", c.name, c.to, got.err, got.peer, c.err)
			}
		}
	})
	counts, err := d.Counts()
	if err != nil {
		t.Fatal(err)
	}
	for front, want := range map[string]Count{"10.96.0.10:80": {2, 0}, "[fd00:96::10]:80": {1, 0}} {
		f := netip.MustParseAddrPort(front)
		if got := counts[row.FlowsKey{Addr: f.Addr(), Port: f.Port(), Protocol: 6}]; got != want {
			t.Errorf("%s: counted %v, not %v", front, got, want)
		}
	}
}

// TestWhatIsNotServedGoesOnAsItCame: without a slot, a lease or a place on the list, connect() is to the frontend itself.
func TestWhatIsNotServedGoesOnAsItCame(t *testing.T) {
	w, d, s, apply := served(t)
	other := newSpace(t)
	var backend netip.AddrPort
	s.in(t, func() { backend = listen(t, "127.0.0.1:0") })
	front := netip.MustParseAddrPort("10.96.0.10:80")
	try := func(name string, in space, want error) {
		t.Helper()
		in.in(t, func() {
			for family, to := range map[int]string{unix.AF_INET: "10.96.0.10:80", unix.AF_INET6: "[::ffff:10.96.0.10]:80"} {
				if got := dial(family, unix.SOCK_STREAM, to); !errors.Is(got.err, want) {
					t.Errorf("%s: connect to %s: %v, not %v", name, to, got.err, want)
				}
			}
		})
	}
	apply(fronts("10.96.0.10:80", backend)...)
	try("served", s, nil)
	try("a network namespace that is on no list", other, unix.ENETUNREACH)
	slot := row.BpfSlot(front, 6, 0, backend)
	d.k.drop(slot.Map, []string{slot.Elem})
	try("a slot that has gone", s, unix.ENETUNREACH)
	apply(slot)
	try("it is back", s, nil)
	m, err := w.pins().open(mapLease)
	if err != nil || m == nil {
		t.Fatalf("%v %v", m, err)
	}
	defer m.Close()
	if err := m.Put(make([]byte, 4), make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	try("the daemon has said nothing for long", s, unix.ENETUNREACH)
	if _, err := d.Dump(t.Context()); err != nil {
		t.Fatal(err)
	}
	try("it is back again", s, nil)
	counts, _ := d.Counts()
	if got := counts[row.FlowsKey{Addr: front.Addr(), Port: 80, Protocol: 6}]; got != (Count{6, 6}) {
		t.Errorf("counted %v, not 6 and 6", got)
	}
}

// TestASocketForgets: what an earlier connect() of a socket got is no name of what it connects to next.
func TestASocketForgets(t *testing.T) {
	_, _, s, apply := served(t)
	s.in(t, func() {
		backend := netip.MustParseAddrPort("127.0.0.1:4711") // nobody listens yet
		apply(fronts("10.96.0.10:80", backend)...)
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if got := redial(fd, unix.AF_INET, "10.96.0.10:80"); !errors.Is(got.err, unix.ECONNREFUSED) {
			t.Fatalf("%v, not refused by the endpoint", got.err)
		}
		listen(t, backend.String())
		if got := redial(fd, unix.AF_INET, backend.String()); got.err != nil || got.peer != backend {
			t.Errorf("%v, peer %s; not %s", got.err, got.peer, backend)
		}
	})
}

// TestEveryEndpointHasItsShare and none that has gone.
func TestEveryEndpointHasItsShare(t *testing.T) {
	_, _, s, apply := served(t)
	s.in(t, func() {
		var list []netip.AddrPort
		var got [4]atomic.Int64
		for i := range 4 {
			list = append(list, netip.AddrPortFrom(plus("127.0.0.1", i), 4712))
			counted(t, list[i].String(), &got[i])
		}
		apply(fronts("10.96.0.10:80", list[:3]...)...)
		for range 300 {
			if d := dial(unix.AF_INET, unix.SOCK_STREAM, "10.96.0.10:80"); d.err != nil {
				t.Fatal(d.err)
			}
		}
		for got[0].Load()+got[1].Load()+got[2].Load()+got[3].Load() < 300 {
			runtime.Gosched() // accept() comes after connect()
		}
		for i, a := range list {
			if share := got[i].Load(); i < 3 && share < 60 || i == 3 && share > 0 {
				t.Errorf("%s got %d of 300", a, share)
			}
		}
	})
}

// TestAnotherBuildFailsNoConnect: programs are replaced while sockets connect.
func TestAnotherBuildFailsNoConnect(t *testing.T) {
	w, _, s, apply := served(t)
	var failed, done atomic.Int64
	var stop atomic.Bool
	var wait sync.WaitGroup
	s.in(t, func() {
		backend := listen(t, "127.0.0.1:0")
		apply(fronts("10.96.0.10:80", backend)...)
	})
	for range 2 {
		wait.Go(func() {
			s.in(t, func() {
				for !stop.Load() {
					if got := dial(unix.AF_INET, unix.SOCK_STREAM, "10.96.0.10:80"); got.err != nil || got.peer != netip.MustParseAddrPort("10.96.0.10:80") {
						failed.Add(1)
						t.Logf("%v, peer %s", got.err, got.peer)
					}
					done.Add(1)
				}
			})
		})
	}
	ours := manyRows(w.cgroup, int(row.BpfHookMost))
	theirs := slices.Clone(ours)
	for i, r := range theirs {
		p := r.(row.BpfProgram)
		p.Tag = tagOf(later(p.Hook))
		theirs[i] = p
	}
	for range 20 {
		apply(theirs...)
		apply(ours...)
		for was := done.Load(); done.Load() < was+20 && failed.Load() == 0; {
			runtime.Gosched()
		}
	}
	stop.Store(true)
	wait.Wait()
	t.Logf("%d connects, %d failed", done.Load(), failed.Load())
	if failed.Load() > 0 {
		t.Error("connects failed")
	}
}
