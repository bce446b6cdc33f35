package gobgp

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"

	"kube-router/internal/lab/netns"
	"kube-router/internal/row"
)

// TestDoor tells when the engine no longer has what the gate hands connections to.
func TestDoor(t *testing.T) {
	s := server.NewBgpServer()
	door, err := newGate(t.Context(), s, logger(t))
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve()
	defer s.Stop()
	g := &api.Global{Asn: 64512, RouterId: "10.0.0.1", ListenPort: -1}
	if err := s.StartBgp(context.Background(), &api.StartBgpRequest{Global: g}); err != nil {
		t.Fatal(err)
	}
	// Nobody's connection goes through it and is closed.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	door.hand(conn)
	until(t, "the engine closes it", 5*time.Second, func() bool { return conn.SetDeadline(time.Now()) != nil })
}

// end is one of two speakers on a wire.
type end struct {
	t    *testing.T
	addr netip.Addr
	d    *Driver

	space *netns.Space
}

// ends are 10.9.0.1 and 10.9.0.2, each with a speaker of AS 64512 and no peers.
func ends(t *testing.T) [2]*end {
	t.Helper()
	var sides [2]netns.End
	for i := range sides {
		space, err := netns.New()
		if err == nil {
			err = space.Prepare()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { space.Close() })
		sides[i] = netns.End{Space: space, Name: "eth0", Addrs: []netip.Prefix{pfx("10.9.0.%d/24", i+1)}}
	}
	if err := netns.Cable(1500, sides[0], sides[1]); err != nil {
		t.Fatal(err)
	}
	var list [2]*end
	for i := range list {
		dir := t.TempDir()
		runsIn(t, sides[i].Space, supervisor(t, dir, "v1"))
		e := &end{t: t, addr: addr("10.9.0.%d", i+1), d: driver(t, dir), space: sides[i].Space}
		speaker := row.BgpSpeaker{ASN: 64512, RouterID: e.addr, Port: 179}
		speaker.Listen[0] = e.addr
		e.apply(nil, speaker)
		list[i] = e
	}
	return list
}

func (e *end) apply(was, is row.Bgp) {
	e.t.Helper()
	c := change{}
	if was != nil {
		c.Key, c.Old = was.Key(), &was
	}
	if is != nil {
		c.Key, c.New = is.Key(), &is
	}
	if err := e.d.Apply(context.Background(), []change{c}); err != nil {
		e.t.Error(err)
	}
}

func (e *end) peer(other *end, password row.BgpSecret) row.BgpPeer {
	return row.BgpPeer{Addr: other.addr, ASN: 64512, Node: "n", Local: e.addr, Port: 179, Hold: 90, V4: true, Password: password}
}

// stands tells whether an end's session does.
func (e *end) stands() bool {
	up := false
	stream, err := e.d.client.ListPeer(context.Background(), &api.ListPeerRequest{})
	_ = each[api.ListPeerResponse](stream, err, func(m *api.ListPeerResponse) {
		up = m.Peer.State.SessionState == api.PeerState_SESSION_STATE_ESTABLISHED
	})
	return up
}

// soon waits until both sessions stand, and is an error of the test when it takes as long as the engine
// alone would.
func soon(t *testing.T, what string, sides [2]*end) time.Duration {
	t.Helper()
	begun := time.Now()
	until(t, what, 20*time.Second, func() bool { return sides[0].stands() && sides[1].stands() })
	took := time.Since(begun).Round(time.Millisecond)
	if took > 1400*time.Millisecond {
		t.Errorf("%s: after %s", what, took)
	}
	return took
}

// TestSilence is a peer that agreed to a restart time and of which nothing is heard any more: the hold time ends what it
// taught, not the restart time.
func TestSilence(t *testing.T) {
	sides := ends(t)
	const hold, restart = 3, 600
	for i, e := range sides {
		p := e.peer(sides[1-i], "")
		p.Hold, p.Restart = hold, restart
		var export row.BgpPolicy
		export.Statements[0], export.Count = row.BgpStatement{Prefixes: row.SetPods, Accept: true}, 1
		e.apply(nil, export)
		e.apply(nil, row.BgpPolicy{Import: true, Accept: true})
		e.apply(nil, row.BgpMember{Set: row.SetPods, Net: pfx("10.1.0.0/24"), Min: 24, Max: 24})
		e.apply(nil, p)
	}
	soon(t, "agreed", sides)
	taught := row.BgpPath{Prefix: pfx("10.1.0.0/24"), NextHop: sides[1].addr}
	sides[1].apply(nil, taught)
	known := func() bool {
		n := 0
		stream, err := sides[0].d.client.ListPath(t.Context(), &api.ListPathRequest{
			TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST},
		})
		_ = each[api.ListPathResponse](stream, err, func(*api.ListPathResponse) { n++ })
		return n > 0
	}
	until(t, "the path is taught", 5*time.Second, known)
	if err := sides[1].space.SetLink("eth0", false); err != nil {
		t.Fatal(err)
	}
	until(t, "the path is gone with the hold time", 20*time.Second, func() bool { return !known() })
}

// TestHaste measures how long sessions take to begin: of a peer that was expected, of peers that appear on
// both ends at once, and of one that is made anew on one end.
func TestHaste(t *testing.T) {
	for _, password := range []row.BgpSecret{"", "secret"} {
		for joins := range 2 {
			t.Run(fmt.Sprintf("joins %d password %q", joins+1, string(password)), func(t *testing.T) {
				sides := ends(t)
				a, b := sides[1-joins], sides[joins]
				pa, pb := a.peer(b, password), b.peer(a, password)
				a.apply(nil, pa)
				time.Sleep(2500 * time.Millisecond)
				b.apply(nil, pb)
				t.Log("joined after", soon(t, "joins", sides))

				// One end makes its peer anew: the other one's session is ended for it.
				next := pa
				next.Cluster = addr("0.0.0.7")
				a.apply(pa, next)
				t.Log("made anew after", soon(t, "made anew", sides))
			})
		}
	}
	t.Run("at once", func(t *testing.T) {
		var took []time.Duration
		for range 5 {
			sides := ends(t)
			a, b := sides[0], sides[1]
			done := make(chan bool)
			go func() { a.apply(nil, a.peer(b, "")); close(done) }()
			b.apply(nil, b.peer(a, ""))
			<-done
			took = append(took, soon(t, "at once", sides))
		}
		slices.Sort(took)
		t.Log("at once after", took)
	})
}

// TestSpare lets a few rests be left out, not every one.
func TestSpare(t *testing.T) {
	h, a, now := &haste{rested: map[netip.Addr]time.Time{}}, addr("10.0.0.1"), time.Unix(1000, 0)
	for i, c := range []struct {
		later time.Duration
		want  bool
	}{{0, true}, {0, true}, {time.Second, true}, {time.Second, true}, {0, false}, {peace, true}, {0, false}, {time.Hour, true}} {
		now = now.Add(c.later)
		if have := h.spare(a, now); have != c.want {
			t.Errorf("%d: %v, want %v", i, have, c.want)
		}
	}
	if !h.spare(addr("10.0.0.2"), now) {
		t.Error("another peer pays for it")
	}
}

// TestCalm leaves out what the engine says of every restart of a peer, and nothing else.
func TestCalm(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(calm{slog.NewTextHandler(&b, nil)}).With("peer", "10.0.0.1").WithGroup("g")
	log.Warn(refused)
	log.Warn("something else")
	if text := b.String(); strings.Contains(text, refused) || !strings.Contains(text, "something else") {
		t.Error(text)
	}
}
