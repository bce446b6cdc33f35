package gobgp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// gate is where connections of peers come in. It listens in the engine's place and puts a wire between every connection
// and the engine, for what the engine can't be told: a bound for prefixes with which the session goes on, what a path
// that must be excluded does to the one before it, and what a node says about its TTL (docs/decisions/0070).
type gate struct {
	log   *slog.Logger
	door  chan net.Conn // by which the engine takes connections
	again bool          // this speaker follows another one, whose routes peers may have kept
	ctx   context.Context
	md5   func() uint64 // counts segments of TCP that came with a wrong MD5 signature; may be nil

	mu        sync.Mutex
	global    *api.Global // as it was asked for
	listeners []*net.TCPListener
	guests    map[netip.Addr]*guest
}

// guest is a peer of ours at the gate.
type guest struct {
	rules
	password string
	over     atomic.Uint64 // announcements that were beyond the limit
	live     *wire         // of the session whose packets have the full TTL
	since    time.Time     // of it
	silent   atomic.Bool   // its last session ended because nothing was heard of it
	troubles troubles
}

// beyond counts announcements.
func (g *guest) beyond(n int) {
	if n == 0 {
		g.over.Store(0)
	}
	g.over.Add(uint64(n))
}

// newGate puts a gate before an engine that doesn't serve yet.
func newGate(ctx context.Context, s *server.BgpServer, log *slog.Logger) (*gate, error) {
	g := &gate{log: log, door: make(chan net.Conn, 32), ctx: ctx, guests: map[netip.Addr]*guest{}}
	f := reflect.ValueOf(s).Elem().FieldByName("acceptCh")
	if !f.IsValid() || f.Type() != reflect.TypeFor[chan net.Conn]() {
		return nil, errors.New("the engine has no channel of accepted connections")
	}
	*(*chan net.Conn)(unsafe.Pointer(f.UnsafeAddr())) = g.door
	return g, nil
}

// open listens for a speaker that is to start, and gives what the engine is to be asked for: not to listen.
func (g *gate) open(r *api.StartBgpRequest) (*api.StartBgpRequest, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.listeners) > 0 || r.GetGlobal().GetListenPort() <= 0 {
		return r, nil // which the engine refuses, or listens nowhere
	}
	addrs := r.Global.ListenAddresses
	if len(addrs) == 0 {
		addrs = []string{netip.IPv4Unspecified().String(), netip.IPv6Unspecified().String()}
	}
	for _, a := range addrs {
		l, err := listenAt(a, int(r.Global.ListenPort))
		if err != nil {
			g.shut()
			return nil, err
		}
		g.listeners = append(g.listeners, l)
	}
	for addr, guest := range g.guests {
		g.sign(addr, guest.password)
	}
	for _, l := range g.listeners {
		go g.accept(l)
	}
	g.global = r.Global
	r = proto.CloneOf(r)
	r.Global.ListenPort = -1
	return r, nil
}

// listenAt listens for BGP at one address. TCP MD5 and MPTCP don't go together.
func listenAt(addr string, port int) (*net.TCPListener, error) {
	network := "tcp4"
	if strings.Contains(addr, ":") {
		network = "tcp6"
	}
	c := &net.ListenConfig{KeepAlive: -1}
	c.SetMultipathTCP(false)
	l, err := c.Listen(context.Background(), network, net.JoinHostPort(addr, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listen for BGP: %w", err)
	}
	return l.(*net.TCPListener), nil
}

// close ends the listening.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut()
}

func (g *gate) shut() {
	for _, l := range g.listeners {
		l.Close()
	}
	g.listeners, g.global = nil, nil
}

func (g *gate) accept(l *net.TCPListener) {
	for {
		conn, err := l.AcceptTCP()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			g.log.Warn("a BGP connection could not be accepted", "error", err)
			if !pause(g.ctx, lastGap) {
				return
			}
			continue
		}
		if old := g.standing(conn); old != nil {
			go g.returned(conn, old)
			continue
		}
		g.hand(g.guard(conn))
	}
}

// young is how long a session may have stood for a second connection to be one that both ends opened at once.
const young = 5 * time.Second

// standing is the session that a node has with us already, if it has stood for a while.
func (g *gate) standing(conn *net.TCPConn) *wire {
	a, ok := conn.RemoteAddr().(*net.TCPAddr)
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.guests[a.AddrPort().Addr().Unmap()]
	if !ok || p == nil || p.live == nil || p.live.closed.Load() || time.Since(p.since) < young {
		return nil
	}
	return p.live
}

// returned ends the session of a node that opens another one: it has lost its end of the first, and its kernel can't
// tell us, for a reset by the kernel alone has a TTL that is dropped. Who opens a session with the full TTL is the node
// itself. Its routes stay, and it calls again (RFC 4724 section 5).
func (g *gate) returned(conn *net.TCPConn, old *wire) {
	defer conn.Close()
	if atLeast(conn, fullTTL) != nil || conn.SetReadDeadline(time.Now().Add(3*time.Second)) != nil {
		return
	}
	head := make([]byte, headLen)
	if _, err := io.ReadFull(conn, head); err == nil && head[0] == 0xff && head[18] == typeOpen {
		old.TCPConn.Close()
	}
}

// guard puts a wire before a connection with a peer of ours. Others are the engine's business.
func (g *gate) guard(conn *net.TCPConn) net.Conn {
	a, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return conn
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.guests[a.AddrPort().Addr().Unmap()]
	if p == nil {
		return conn
	}
	w := &wire{TCPConn: conn, rules: p.rules, over: p.beyond, mute: func() { p.silent.Store(true) },
		ended: func(how string) { p.troubles.end(how, g.signatures()) }}
	w.held = func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		p.live, p.since = w, time.Now()
	}
	w.clusters = nil
	for _, o := range g.guests {
		w.clusters = append(w.clusters, o.clusters...)
	}
	if g.global != nil {
		w.as = g.global.Asn
		w.id, _ = netip.ParseAddr(g.global.RouterId)
	}
	p.over.Store(0)
	p.silent.Store(false)
	return w
}

// silent tells whether a peer's last session ended because nothing was heard of it, and forgets that.
func (g *gate) silent(a netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.guests[a]
	return p != nil && p.silent.Swap(false)
}

// hand gives the engine a connection.
func (g *gate) hand(c net.Conn) {
	select {
	case g.door <- c:
	case <-g.ctx.Done():
		c.Close()
	}
}

// expect notes a peer that the engine is to have, and gives what the engine is to be told of it: what the gate does,
// the engine must not do as well.
func (g *gate) expect(p *api.Peer) *api.Peer {
	r, ours := readPeer(p)
	if !ours {
		return p
	}
	p = proto.CloneOf(p)
	if r.Node != "" && p.TtlSecurity != nil {
		p.TtlSecurity.TtlMin = 1 // it takes 0 for 255
	}
	for _, a := range p.AfiSafis {
		a.PrefixLimits = nil
	}
	if r.Restart > 0 {
		p.GracefulRestart.LocalRestarting = p.GracefulRestart.LocalRestarting && g.again
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	is := g.guests[r.Addr]
	if is == nil {
		is = &guest{}
		g.guests[r.Addr] = is
	}
	is.rules = rules{node: r.Node != "", near: r.Node != "" && r.MinTTL > 0, limit: int(r.Limit)}
	if r.Cluster.IsValid() {
		is.clusters = []netip.Addr{r.Cluster}
	}
	if is.password != string(r.Password) {
		is.password = string(r.Password)
		g.sign(r.Addr, is.password)
	}
	return p
}

// forget is for a peer that the engine has no more.
func (g *gate) forget(a netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.guests[a]; p != nil && p.password != "" {
		g.sign(a, "")
	}
	delete(g.guests, a)
}

// complete adds to what the engine tells of a peer what the gate knows.
func (g *gate) complete(p *api.Peer) {
	addr, err := netip.ParseAddr(p.GetConf().GetNeighborAddress())
	if err != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	is := g.guests[addr]
	if is == nil {
		return
	}
	if is.node && p.TtlSecurity != nil {
		p.TtlSecurity.TtlMin = 0
		if is.near {
			p.TtlSecurity.TtlMin = fullTTL
		}
	}
	limit(p, uint32(is.limit))
	if p.State != nil {
		p.State.DisconnectMessage = is.troubles.String()
	}
	if m := p.GetState().GetMessages().GetReceived(); m != nil {
		m.Discarded = is.over.Load()
	}
	if p.Transport != nil {
		p.Transport.PassiveMode = false // it is the gate that calls
	}
}

// limit says in a peer's families how many prefixes it may teach.
func limit(p *api.Peer, n uint32) {
	for _, a := range p.AfiSafis {
		a.PrefixLimits = nil
		if n > 0 {
			a.PrefixLimits = &api.PrefixLimit{Family: a.GetConfig().GetFamily(), MaxPrefixes: n}
		}
	}
}

// sign gives the listeners the password of a peer (TCP MD5, RFC 2385), or takes it away.
func (g *gate) sign(a netip.Addr, password string) {
	for _, l := range g.listeners {
		at, ok := l.Addr().(*net.TCPAddr)
		if !ok || at.AddrPort().Addr().Unmap().Is4() != a.Is4() {
			continue
		}
		raw, err := l.SyscallConn()
		if err == nil {
			e := raw.Control(func(fd uintptr) { err = sign(int(fd), a, password) })
			err = errors.Join(e, err)
		}
		if err != nil && (password != "" || !errors.Is(err, unix.ENOENT)) {
			g.log.Warn("a peer's password can't be set where we listen", "peer", a, "error", err)
		}
	}
}

// started corrects what the engine tells of itself: it doesn't listen, the gate does.
func (g *gate) started(r *api.GetBgpResponse) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.global != nil && r.GetGlobal().GetAsn() != 0 {
		r.Global.ListenPort = g.global.ListenPort
		r.Global.ListenAddresses = slices.Clone(r.Global.ListenAddresses)
	}
}
