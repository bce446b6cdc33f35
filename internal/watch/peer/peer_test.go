package peer

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"kube-router/internal/lab/netns"
	"kube-router/internal/model"
	"kube-router/internal/row"
)

// TestLearn follows what two speakers teach a third, in both families, with passwords, a router outside,
// equal paths, and paths of its own.
func TestLearn(t *testing.T) {
	all := hosts(t, 3)
	password := func(p *row.BgpPeer) { p.Password = "topsecret" }
	outside := func(p *row.BgpPeer) { p.Node, p.ASN = "", 65003 }
	router := speaker(3)
	router[0] = row.BgpSpeaker{ASN: 65003, RouterID: addr("10.0.0.3"), Port: 179}
	w, b := all[0].watch()
	all[0].want(append(speaker(1), with(1, 2, password), with(1, 3, outside), path("10.244.1.0/24", "10.0.0.1"))...)
	two := append(speaker(2), with(2, 1, password))
	all[1].want(append(two, path("10.244.2.0/24", "10.0.0.2"), path("fd02::/64", "fd00::2"))...)
	all[2].want(append(router, with(3, 1), path("198.51.100.0/24", "10.0.0.3"))...)
	b.shows(t, 10*time.Second, "10.244.2.0/24 [10.0.0.2]", "198.51.100.0/24 [10.0.0.3] external", "fd02::/64 [fd00::2]")
	// A change, a withdrawal, and a route that we have ourselves.
	all[1].want(append(two, path("10.244.2.0/24", "10.0.0.9"), path("10.244.1.0/24", "10.0.0.2"))...)
	b.shows(t, 2*time.Second, "10.244.2.0/24 [10.0.0.9]", "198.51.100.0/24 [10.0.0.3] external")
	// Two equal ways.
	all[1].want(append(two, path("10.244.9.0/24", "10.0.0.2"))...)
	all[0].want(append(speaker(1), with(1, 2, password), with(1, 3), path("10.244.1.0/24", "10.0.0.1"))...)
	states := map[string]State{}
	list, err := w.States(t.Context(), true)
	must(t, err)
	for _, s := range list {
		states[s.Addr.String()] = s
	}
	if s := states["10.0.0.2"]; !s.Established() || s.Type() != "internal" || s.Node != "n2" || s.Received != 1 || s.Advertised == 0 || time.Since(s.Since) > time.Minute {
		t.Errorf("the peer's state is %+v", s)
	}
}

// TestEqualPaths uses all of several equal paths.
func TestEqualPaths(t *testing.T) {
	all := hosts(t, 3)
	_, b := all[0].watch()
	all[0].want(append(speaker(1), with(1, 2), with(1, 3))...)
	for i := 2; i <= 3; i++ {
		all[i-1].want(append(speaker(i), with(i, 1), path("203.0.113.0/24", "10.0.0."+string(rune('0'+i))))...)
	}
	b.shows(t, 10*time.Second, "203.0.113.0/24 [10.0.0.2 10.0.0.3]")
	all[2].want(append(speaker(3), with(3, 1))...)
	b.shows(t, 2*time.Second, "203.0.113.0/24 [10.0.0.2]")
}

// TestSpeakerDies keeps what was learned while the speaker is away, and in the end what is still so.
func TestSpeakerDies(t *testing.T) {
	all := hosts(t, 2)
	_, b := all[0].watch()
	all[0].want(append(speaker(1), with(1, 2))...)
	both := append(speaker(2), with(2, 1), path("10.244.2.0/24", "10.0.0.2"))
	all[1].want(append(both, path("10.244.3.0/24", "10.0.0.2"))...)
	b.shows(t, 10*time.Second, "10.244.2.0/24 [10.0.0.2]", "10.244.3.0/24 [10.0.0.2]")
	all[0].kill()
	all[1].want(both...) // one route goes while nobody listens
	events := len(b.history())
	time.Sleep(500 * time.Millisecond)
	all[0].refill()
	b.shows(t, 20*time.Second, "10.244.2.0/24 [10.0.0.2]")
	if have := b.history()[events:]; len(have) != 1 || have[0] != "delete 10.244.3.0/24" {
		t.Errorf("meanwhile: %q", have)
	}
}

// emptied is a speaker whose table is empty: asn is 0 once it has stopped.
type emptied struct {
	api.GoBgpServiceClient
	asn uint32
}

func (e emptied) GetBgp(context.Context, *api.GetBgpRequest, ...grpc.CallOption) (*api.GetBgpResponse, error) {
	return &api.GetBgpResponse{Global: &api.Global{Asn: e.asn}}, nil
}

func (emptied) ListPath(context.Context, *api.ListPathRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[api.ListPathResponse], error) {
	return nothing{}, nil
}

type nothing struct {
	grpc.ServerStreamingClient[api.ListPathResponse]
}

func (nothing) Recv() (*api.ListPathResponse, error) { return nil, io.EOF }

// TestSpeakerStops keeps what was learned when a speaker that was stopped has it no more; one that speaks BGP is believed.
func TestSpeakerStops(t *testing.T) {
	p := pfx("10.244.2.0/24")
	for _, c := range []struct {
		asn  uint32
		want []string
	}{{0, nil}, {64512, []string{"delete 10.244.2.0/24"}}} {
		b := newInbox()
		w := &Watch{
			Options: Options{Inbox: b, Log: slog.New(slog.DiscardHandler)}, api: emptied{asn: c.asn}, peers: map[netip.Addr]State{}, synced: true,
			told: map[netip.Prefix]told{p: {path: &model.Path{Prefix: p, NextHops: list("10.0.0.2")}, from: list("10.0.0.2")}},
		}
		err := w.look(t.Context(), []netip.Prefix{p})
		if stopped := c.asn == 0; (err != nil) != stopped || !slices.Equal(b.history(), c.want) {
			t.Errorf("AS %d: %v, told %q, want %q", c.asn, err, b.history(), c.want)
		}
	}
}

// TestEarlierLife takes over the kernel's routes until peers have told theirs.
func TestEarlierLife(t *testing.T) {
	all := hosts(t, 2)
	_, b := all[0].watch(
		&model.Path{Prefix: pfx("10.244.2.0/24"), NextHops: list("10.0.0.2"), External: true},
		&model.Path{Prefix: pfx("10.244.7.0/24"), NextHops: list("10.0.0.7"), External: true})
	if have := b.history(); len(have) != 1 || have[0] != "replace Path by 2" {
		t.Errorf("at first: %q", have)
	}
	time.Sleep(settled + time.Second)
	if b.is() == "" {
		t.Error("they went before anybody could tell them again")
	}
	all[0].want(append(speaker(1), with(1, 2))...)
	all[1].want(append(speaker(2), with(2, 1), path("10.244.2.0/24", "10.0.0.2"))...)
	b.shows(t, 15*time.Second, "10.244.2.0/24 [10.0.0.2]")
	for _, line := range b.history() {
		if strings.HasPrefix(line, "delete 10.244.2.0/24") {
			t.Errorf("a route that stayed was taken away: %q", b.history())
		}
	}
}

// TestKernelRoutes reads what an earlier life left: straight routes, shared ones and those through tunnels.
func TestKernelRoutes(t *testing.T) {
	s := space(t)
	must(t, netns.Bridge(1500, netns.End{Space: s, Name: "eth0", Addrs: prefixes("10.0.0.1/24", "fd00::1/64")}))
	must(t, netns.Bridge(1450, netns.End{Space: s, Name: "kube-vxlan", Addrs: prefixes("192.168.77.1/24")}))
	h, err := netlink.NewHandleAt(vnetns.NsHandle(s.Fd()), unix.NETLINK_ROUTE)
	must(t, err)
	defer h.Close()
	link := func(name string) int {
		l, failure := h.LinkByName(name)
		must(t, failure)
		return l.Attrs().Index
	}
	add := func(r netlink.Route, dst, via string) {
		t.Helper()
		p := pfx(dst)
		r.Dst = ipNet(p)
		if via != "" {
			r.Gw = addr(via).AsSlice()
		}
		if r.Protocol == 0 {
			r.Protocol = ourProtocol
		}
		must(t, h.RouteAdd(&r))
	}
	add(netlink.Route{LinkIndex: link("eth0")}, "10.244.2.0/24", "10.0.0.2")
	add(netlink.Route{LinkIndex: link("eth0")}, "fd02::/64", "fd00::2")
	add(netlink.Route{LinkIndex: link("kube-vxlan"), Table: podsTable}, "172.16.0.3/32", "192.168.77.3")
	add(netlink.Route{LinkIndex: link("kube-vxlan")}, "10.244.3.0/24", "192.168.77.3")
	add(netlink.Route{MultiPath: []*netlink.NexthopInfo{
		{LinkIndex: link("eth0"), Gw: addr("10.0.0.9").AsSlice()}, {LinkIndex: link("eth0"), Gw: addr("10.0.0.8").AsSlice()},
	}}, "198.51.100.0/24", "")
	add(netlink.Route{Type: unix.RTN_BLACKHOLE, Priority: 65535}, "10.244.1.0/24", "")
	add(netlink.Route{LinkIndex: link("eth0"), Protocol: unix.RTPROT_STATIC}, "203.0.113.0/24", "10.0.0.2")
	paths, err := KernelRoutes(vnetns.NsHandle(s.Fd()))
	must(t, err)
	b := newInbox()
	for _, p := range paths {
		b.Put(p)
	}
	b.shows(t, 0, "10.244.2.0/24 [10.0.0.2] external", "10.244.3.0/24 [172.16.0.3] external",
		"198.51.100.0/24 [10.0.0.8 10.0.0.9] external", "fd02::/64 [fd00::2] external")
}

// TestRecall keeps what a peer's new life in the speaker would lose.
func TestRecall(t *testing.T) {
	w, peer := &Watch{}, addr("10.0.0.2")
	begun, ended, later := time.Unix(100, 0), time.Unix(200, 0), time.Unix(300, 0)
	for i, c := range []struct {
		session   string
		now, tell time.Time // of the speaker; zero: it doesn't know
		since     time.Time
		flaps     uint32
	}{
		{"ACTIVE", begun, time.Time{}, time.Time{}, 0},
		{"ESTABLISHED", begun, begun, begun, 0},
		{"ESTABLISHED", ended, begun, begun, 0},
		{"ACTIVE", ended, time.Time{}, ended, 1},
		{"ACTIVE", later, time.Time{}, ended, 1},
		{"ESTABLISHED", later, later, later, 1},
		{"ESTABLISHED", later, later.Add(time.Second), later.Add(time.Second), 2},
	} {
		all := map[netip.Addr]State{peer: {Session: c.session, Since: c.tell}}
		w.recall(all, c.now)
		if s := all[peer]; !s.Since.Equal(c.since) || s.Flaps != c.flaps {
			t.Errorf("%d: since %v, %d flaps; want %v, %d", i, s.Since, s.Flaps, c.since, c.flaps)
		}
	}
}
