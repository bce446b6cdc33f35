//go:build scale

package scale

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab/netns"
	"kube-router/internal/model"
)

// TestPackets measures what policies cost a packet: the first of a flow and those that follow, without
// policies, with a hundred and with ten thousand of them in place here.
func TestPackets(t *testing.T) {
	var first, next float64
	for _, n := range []int{0, 100, 10_000} {
		flows, packets := rates(t, n)
		if n == 0 {
			first, next = flows, packets
		}
		fmt.Printf("%6d policies in place: %8.0f new flows/s (%.2f), %9.0f packets/s of a flow (%.2f)\n",
			n, flows, flows/first, packets, packets/next)
		if packets/next < 0.5 {
			t.Errorf("a packet of a standing flow costs more with %d policies: %.2f of the rate without", n, packets/next)
		}
	}
}

// rates sends through a node from a pod elsewhere to a pod here. The best of several rounds counts, because
// others use the machine.
func rates(t *testing.T, n int) (flows, packets float64) {
	var spaces [3]*netns.Space
	for i := range spaces {
		s, err := netns.New()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		spaces[i] = s
	}
	client, router, server := spaces[0], spaces[1], spaces[2]
	wire(t, client, router, server)
	d := startDaemon(t, router)
	defer d.stop()
	for i := range local {
		d.Inbox.Put(newNamespace(i))
		d.Inbox.Put(newPod(i))
		d.Inbox.Put(newPod(i + namespaces)) // not here, in the same namespace
	}
	for i := range n {
		d.Inbox.Put(newPolicy(i, i%local, 100))
	}
	d.Inbox.Put(&model.Link{Name: "eth0", Up: true})
	d.Whole()
	d.settled(t, 0)
	// One answer makes a flow a standing one: until then every packet is a first one.
	var answer *net.UDPConn
	if err := server.Do(func() (err error) {
		answer, err = net.ListenUDP("udp4", &net.UDPAddr{Port: 9999})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	go reply(answer)
	for round := range 4 {
		flows = max(flows, send(t, client, server, 30_000, func(i int) uint16 { return uint16(1 + (i*2+round)%60_000) }))
		packets = max(packets, send(t, client, server, 100_000, func(int) uint16 { return 9999 }))
	}
	return flows, packets
}

// reply answers the first datagrams of each client.
func reply(conn *net.UDPConn) {
	buf, told := make([]byte, 16), map[netip.AddrPort]int{}
	for {
		_, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if told[from]++; told[from] < 10 {
			_, _ = conn.WriteToUDPAddrPort([]byte("y"), from)
		}
	}
}

func wire(t *testing.T, client, router, server *netns.Space) {
	t.Helper()
	for i, s := range []*netns.Space{client, server} {
		name := fmt.Sprintf("krscale-%d-%d", os.Getpid(), i)
		if err := s.Name(name); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = netns.Unpin(filepath.Join(netns.Dir, name)) }()
		ip(t, router, "-c", fmt.Sprintf("ip link add v%d type veth peer name eth0 netns %s && ip addr add 169.254.%d.1/32 dev v%d && ip link set v%d up", i, name, i, i, i))
	}
	for i, e := range []struct {
		s *netns.Space
		a netip.Addr
	}{{client, address(namespaces)}, {server, address(0)}} {
		ip(t, e.s, "-c", fmt.Sprintf("ip link set lo up; ip addr add %s/32 dev eth0; ip link set eth0 up; ip route add 169.254.%d.1 dev eth0; ip route add default via 169.254.%d.1", e.a, i, i))
		ip(t, router, "-c", fmt.Sprintf("ip route add %s/32 dev v%d", e.a, i))
	}
	ip(t, router, "-c", "sysctl -qw net.ipv4.ip_forward=1; ip link set lo up")
	ip(t, server, "-c", "sysctl -qw net.ipv4.icmp_ratelimit=1000000") // no answers: only the way there is measured
}

func ip(t *testing.T, s *netns.Space, args ...string) string {
	t.Helper()
	out, err := s.Command(t.Context(), "sh", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// send sends n datagrams and tells how many a second arrived.
func send(t *testing.T, client, server *netns.Space, n int, port func(int) uint16) float64 {
	t.Helper()
	before := received(t, server)
	var took time.Duration
	err := client.Do(func() error {
		conn, err := net.ListenUDP("udp4", nil)
		if err != nil {
			return err
		}
		defer conn.Close()
		to := address(0)
		begin := time.Now()
		for i := range n {
			// An ICMP error of an earlier datagram is told by a later one.
			_, _ = conn.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(to, port(i)))
		}
		took = time.Since(begin)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got := received(t, server) - before
	if got < n*9/10 {
		t.Fatalf("only %d of %d arrived", got, n)
	}
	return float64(got) / took.Seconds()
}

func received(t *testing.T, s *netns.Space) int {
	t.Helper()
	var links []struct {
		Stats struct {
			Rx struct{ Packets int } `json:"rx"`
		} `json:"stats64"`
	}
	if err := json.Unmarshal([]byte(ip(t, s, "-c", "ip -s -j link show eth0")), &links); err != nil {
		t.Fatal(err)
	}
	return links[0].Stats.Rx.Packets
}
