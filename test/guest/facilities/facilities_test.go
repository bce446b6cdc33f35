//go:build guest

// Package facilities proves that the guest kernel of test/guest has what the other guest
// tests need, each facility with a packet through it where there can be one. It is run
// inside: go test -tags guest -exec "$PWD/test/guest/run" ./test/guest/facilities
package facilities

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/moby/ipvs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func named(name string) netlink.LinkAttrs {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	return attrs
}

func TestDummy(t *testing.T) {
	h := newHost(t)
	must(t, h.LinkAdd(&netlink.Dummy{LinkAttrs: named("vip0")}))
	h.address(t, "vip0", "198.51.100.1/32")
	h.serve(t, "198.51.100.1:80", "dummy")
	h.expect(t, "198.51.100.1:80", "dummy")
}

// tunnels joins two hosts by IPIP, as 10.0.0.1 and 10.0.0.2, after change has had its say.
func tunnels(t *testing.T, change func(*netlink.Iptun)) (a, b host) {
	t.Helper()
	a, b = pair(t)
	add := func(h host, local, remote, inner string) {
		tunnel := &netlink.Iptun{LinkAttrs: named("ipip1"), Local: net.ParseIP(local), Remote: net.ParseIP(remote)}
		change(tunnel)
		must(t, h.LinkAdd(tunnel))
		h.address(t, "ipip1", inner)
	}
	add(a, "192.0.2.1", "192.0.2.2", "10.0.0.1/24")
	add(b, "192.0.2.2", "192.0.2.1", "10.0.0.2/24")
	b.serve(t, "10.0.0.2:80", "inner")
	return a, b
}

func TestIPIP(t *testing.T) {
	a, _ := tunnels(t, func(*netlink.Iptun) {})
	a.expect(t, "10.0.0.2:80", "inner")
}

func TestFoU(t *testing.T) {
	a, b := tunnels(t, func(tunnel *netlink.Iptun) {
		tunnel.EncapType = netlink.FOU_ENCAP_DIRECT
		tunnel.EncapSport, tunnel.EncapDport = 5555, 5555
	})
	port := netlink.Fou{Family: unix.AF_INET, Protocol: unix.IPPROTO_IPIP, Port: 5555, EncapType: netlink.FOU_ENCAP_DIRECT}
	must(t, a.FouAdd(port))
	must(t, b.FouAdd(port))
	a.expect(t, "10.0.0.2:80", "inner")
}

func TestIPVS(t *testing.T) {
	h := newHost(t)
	h.address(t, "lo", "198.51.100.1/32")
	h.address(t, "lo", "10.0.0.2/32")
	h.serve(t, "10.0.0.2:8080", "endpoint")
	h.do(t, func() error {
		handle, err := ipvs.New("")
		if err != nil {
			return err
		}
		defer handle.Close()
		for _, scheduler := range []string{"rr", "wrr", "lc", "sh", "mh"} {
			vip := &ipvs.Service{AddressFamily: unix.AF_INET, Protocol: unix.IPPROTO_TCP, SchedName: scheduler,
				Address: net.ParseIP("198.51.100.1"), Port: 80, Netmask: 0xffffffff}
			endpoint := &ipvs.Destination{AddressFamily: unix.AF_INET, Address: net.ParseIP("10.0.0.2"), Port: 8080, Weight: 1}
			if err := errors.Join(handle.NewService(vip), handle.NewDestination(vip, endpoint)); err != nil {
				return err
			}
			h.expect(t, "198.51.100.1:80", "endpoint")
			if err := handle.DelService(vip); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestSCTP(t *testing.T) {
	server, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
	must(t, err)
	defer unix.Close(server)
	must(t, unix.Bind(server, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, unix.Listen(server, 1))
	addr, err := unix.Getsockname(server)
	must(t, err)
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
	must(t, err)
	defer unix.Close(client)
	must(t, unix.Connect(client, addr))
	accepted, _, err := unix.Accept(server)
	must(t, err)
	defer unix.Close(accepted)
	_, err = unix.Write(client, []byte("sctp"))
	must(t, err)
	buf := make([]byte, 8)
	n, err := unix.Read(accepted, buf)
	must(t, err)
	if got := string(buf[:n]); got != "sctp" {
		t.Errorf("read %q", got)
	}
}

func TestWireGuard(t *testing.T) {
	h := newHost(t)
	must(t, h.LinkAdd(&netlink.Wireguard{LinkAttrs: named("wg0")}))
	h.address(t, "wg0", "10.0.0.1/24")
}

func TestNetem(t *testing.T) {
	a, b := pair(t)
	b.serve(t, "192.0.2.2:80", "late")
	link, err := a.LinkByName("eth0")
	must(t, err)
	const delay = 200 * time.Millisecond
	must(t, a.QdiscAdd(netlink.NewNetem(
		netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		netlink.NetemQdiscAttrs{Latency: uint32(delay.Microseconds())})))
	if word, took, err := a.ask(t, "192.0.2.2:80"); err != nil || word != "late" || took < delay {
		t.Errorf("answered %q after %v, error %v; want it not before %v", word, took, err, delay)
	}
}

func TestBridgeNetfilter(t *testing.T) {
	const file = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	for _, want := range []string{"0", "1"} {
		must(t, os.WriteFile(file, []byte(want), 0o644))
		got, err := os.ReadFile(file)
		must(t, err)
		if strings.TrimSpace(string(got)) != want {
			t.Errorf("%s is %q after writing %q", file, got, want)
		}
	}
}

func TestNFTables(t *testing.T) {
	h := newHost(t)
	h.serve(t, "127.0.0.1:80", "open")
	h.serve(t, "127.0.0.1:81", "closed")
	conn, err := nftables.New(nftables.WithNetNSFd(int(h.ns)))
	must(t, err)
	table := conn.AddTable(&nftables.Table{Name: "guest", Family: nftables.TableFamilyINet})
	chain := conn.AddChain(&nftables.Chain{Name: "in", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{ // tcp dport 81 reject with tcp reset
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Register: 1, Data: binaryutil.BigEndian.PutUint16(81)},
		&expr.Reject{Type: unix.NFT_REJECT_TCP_RST},
	}})
	must(t, conn.Flush())
	h.expect(t, "127.0.0.1:80", "open")
	if word, _, err := h.ask(t, "127.0.0.1:81"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("port 81 answered %q, error %v; want it refused", word, err)
	}
}
