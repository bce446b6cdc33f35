package nft

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
	"unique"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// TestPacketsFollowRows sends real packets through a service with session affinity, in both families: the
// expressions must say to the kernel what the rows say to people.
func TestPacketsFollowRows(t *testing.T) {
	for _, f := range []struct{ name, vip, host string }{
		{"ipv4", "192.0.2.10", "192.0.2.1"},
		{"ipv6", "fd00::10", "fd00::1"},
	} {
		t.Run(f.name, func(t *testing.T) {
			s := newSpace(t)
			s.addresses(t, f.vip, f.host)
			d := newDriver(t, s)
			a, b := s.serve(t, f.host, 1001, "a"), s.serve(t, f.host, 1002, "b")
			both := index(stickyService(ip(f.vip), a, b))
			mustApply(t, d, nil, both)
			first := s.ask(t, f.vip, 40000)
			s.always(t, f.vip, first, 40001)
			// The remembered backend goes: it is forgotten, and the other one answers.
			left, other := b, "b"
			if first == "b" {
				left, other = a, "a"
			}
			mustApply(t, d, both, index(stickyService(ip(f.vip), left, left)))
			s.always(t, f.vip, other, 41000)
		})
	}
}

// always asks from twenty ports: connection tracking remembers what it did with each.
func (s space) always(t testing.TB, vip, want string, from uint16) {
	t.Helper()
	for i := range uint16(20) {
		if got := s.ask(t, vip, from+i); got != want {
			t.Fatalf("%q answers, want %q", got, want)
		}
	}
}

// stickyService is one UDP service of two backends with affinity, for packets of this host.
func stickyService(vip netip.Addr, backends ...netip.AddrPort) []row.Nft {
	v6, typ := vip.Is6(), row.NftIPv4
	if v6 {
		typ = row.NftIPv6
	}
	of := func(ops ...row.NftTermOp) (k row.NftKeyExpr) {
		for i, op := range ops {
			k[i] = row.NftTerm{Op: op, V6: v6 && (op == row.NftSaddr || op == row.NftDaddr)}
		}
		return k
	}
	front := []row.NftType{typ, row.NftProto, row.NftPort}
	value := row.NftTypesOf(typ, row.NftPort)
	slots := row.NftSet{Name: "services-slots", Keys: row.NftTypesOf(append(front, row.NftSlot)...), Values: value}
	valid := row.NftSet{Name: "services-valid", Keys: row.NftTypesOf(append(front, typ, row.NftPort)...)}
	sticky := row.NftSet{
		Name: "services-sticky", Keys: row.NftTypesOf(append([]row.NftType{typ}, front...)...), Values: value,
		Dynamic: true, Timeout: time.Hour,
	}
	who := of(row.NftSaddr, row.NftDaddr, row.NftL4proto, row.NftDport)
	what := of(row.NftDaddr, row.NftL4proto, row.NftDport)
	which := what
	which[3] = row.NftTerm{Op: row.NftNumRandom, Mod: 2}
	rows := []row.Nft{
		slots, valid, sticky,
		row.NftChain{Name: "services-output", Hook: row.NftOutput, Nat: true, Priority: -105},
		rule1("services-output", 0,
			row.NftStmt{Op: row.NftLookup, Key: what, Data: who, Via: sticky.Name, Set: valid.Name, Not: true},
			row.NftStmt{Op: row.NftForget, Key: who, Set: sticky.Name}),
		rule1("services-output", 1,
			row.NftStmt{Op: row.NftUpdate, Key: who, Data: which, Via: slots.Name, Set: sticky.Name}),
		rule1("services-output", 2, row.NftStmt{Op: row.NftDnatTo, Key: who, Set: sticky.Name}),
	}
	head := row.NftWire{}.Addr(vip).Proto(unix.IPPROTO_UDP).Port(53)
	for i, b := range backends {
		value := row.NftWire{}.Addr(b.Addr()).Port(b.Port())
		rows = append(rows,
			row.NftElement{
				Of: unique.Make(slots), Elem: string(head) + string(row.NftWire{}.Host(uint32(i))), Value: string(value),
			},
			row.NftElement{Of: unique.Make(valid), Elem: string(head) + string(value)})
	}
	return rows
}

// addresses gives the namespace's loopback addresses.
func (s space) addresses(t testing.TB, addrs ...string) {
	t.Helper()
	h, err := netlink.NewHandleAt(netns.NsHandle(s.fd))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		p := netip.PrefixFrom(ip(a), ip(a).BitLen())
		addr, _ := netlink.ParseAddr(p.String())
		addr.Flags = unix.IFA_F_NODAD
		if err := h.AddrAdd(lo, addr); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range addrs {
		s.waitLocal(t, h, net.ParseIP(a))
	}
}

// waitLocal waits for the route of a local address: for IPv6 the kernel makes it a moment later.
func (s space) waitLocal(t testing.TB, h *netlink.Handle, addr net.IP) {
	t.Helper()
	for range 1000 {
		routes, err := h.RouteGet(addr)
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("no route to %s", addr)
}

// serve answers datagrams with a name until the test ends.
func (s space) serve(t testing.TB, addr string, port uint16, name string) netip.AddrPort {
	t.Helper()
	var conn *net.UDPConn
	var err error
	inThread(func() {
		if err = unix.Setns(s.fd, unix.CLONE_NEWNET); err == nil {
			conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip(addr), port)))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 100)
		for {
			_, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort([]byte(name), from)
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-ended })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// ask sends a datagram to port 53 of the service and returns the answer.
func (s space) ask(t testing.TB, vip string, from uint16) string {
	t.Helper()
	var answer string
	var err error
	inThread(func() {
		if err = unix.Setns(s.fd, unix.CLONE_NEWNET); err != nil {
			return
		}
		var conn *net.UDPConn
		if conn, err = net.DialUDP("udp", &net.UDPAddr{Port: int(from)}, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip(vip), 53))); err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err = fmt.Fprint(conn, "who"); err != nil {
			return
		}
		b := make([]byte, 100)
		var n int
		n, err = conn.Read(b)
		answer = string(b[:n])
	})
	if err != nil {
		t.Fatalf("ask %s: %v", vip, err)
	}
	return answer
}
