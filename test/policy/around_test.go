//go:build policy

package policy

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab"
	"kube-router/internal/lab/probe"
)

// TestAround tries to reach an isolated pod from one on the same node's bridge by other ways than its address.
func TestAround(t *testing.T) {
	w := shared
	pod, other := w.Pod("x/a"), w.Pod("x/c")
	if pod.NodeName() != other.NodeName() {
		t.Fatal("x/a and x/c are to be on one node")
	}
	to := probe.Request{To: netip.AddrPortFrom(linkLocal(t, w, pod), 80), Timeout: 500 * time.Millisecond}
	everybody := []netip.AddrPort{
		netip.MustParseAddrPort("255.255.255.255:83"), netip.MustParseAddrPort("224.0.0.1:83"), netip.MustParseAddrPort("[ff02::1%eth0]:83"),
	}
	w.one(t, "without policies all ways are open", func(t *testing.T) {
		w.until(t, "no policy is left", func() bool { return other.Probe(probe.Request{To: netip.AddrPortFrom(pod.IPv4(), 80)}).OK() })
		w.until(t, to.To.String()+" answers", func() bool { return other.Probe(to).OK() })
		for _, all := range everybody {
			w.until(t, all.String()+" is heard", func() bool { return hears(t, pod, other, all) })
		}
	})
	w.apply(t, parse(t, `spec: {podSelector: {matchLabels: {pod: a}}}`)...)
	w.until(t, "the policy holds", func() bool {
		return !other.Probe(probe.Request{To: netip.AddrPortFrom(pod.IPv4(), 80), Timeout: 300 * time.Millisecond}).OK()
	})
	w.one(t, "link-local address", func(t *testing.T) {
		for _, proto := range []string{"tcp", "udp"} {
			to.Proto = proto
			if r := other.Probe(to); r.OK() {
				t.Errorf("%s by %s: %s", proto, to.To, r)
			}
		}
	})
	for _, all := range everybody {
		w.one(t, all.Addr().String(), func(t *testing.T) {
			if hears(t, pod, other, all) {
				t.Error("an isolated pod heard it")
			}
		})
	}
	w.one(t, "what ended so is counted", func(t *testing.T) {
		out, err := w.Node(pod.NodeName()).Run(w.ctx, w.dir+"/kube-router", "show", "drops")
		if err != nil || !strings.Contains(out, "beside pods' addresses") {
			t.Errorf("%v: %s", err, out)
		}
	})
	for _, c := range []struct {
		name string
		tags []uint16
	}{{"untagged", nil}, {"priority tag", []uint16{0x8100}}, {"provider tag", []uint16{0x88a8}}} {
		w.one(t, c.name, func(t *testing.T) { forged(t, w, other, pod, c.tags) })
	}
}

// hears tells whether a pod hears a datagram that another sends to everybody.
func hears(t *testing.T, pod, other *lab.Host, all netip.AddrPort) bool {
	t.Helper()
	network := map[bool]string{true: "udp4", false: "udp6"}[all.Addr().Is4()]
	var conn *net.UDPConn
	if err := pod.Do(func() (err error) {
		conn, err = net.ListenUDP(network, &net.UDPAddr{Port: int(all.Port())})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := other.Do(func() error {
		from, err := net.ListenUDP(network, nil) // Go lets it broadcast
		if err != nil {
			return err
		}
		defer from.Close()
		_, err = from.WriteToUDPAddrPort([]byte("who"), all)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return len(heard(conn)) > 0
}

// linkLocal is a pod's link-local address as others on its bridge name it.
func linkLocal(t *testing.T, w *the, pod *lab.Host) netip.Addr {
	t.Helper()
	out, err := pod.Run(w.ctx, "ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, text, _ := strings.Cut(out, "inet6 ")
	text, _, _ = strings.Cut(text, "/")
	a, err := netip.ParseAddr(text)
	if err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return a.WithZone("eth0")
}

// heard is what a socket gets within a short time.
func heard(conn *net.UDPConn) (list []string) {
	buf := make([]byte, 1<<10)
	_ = conn.SetReadDeadline(time.Now().Add(400 * time.Millisecond))
	for {
		n, _, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return list
		}
		list = append(list, string(buf[:n]))
	}
}

// forged sends a datagram in a frame of one's own making: the right to do so is among those that containers
// have unless it is taken from them (NET_RAW).
func forged(t *testing.T, w *the, from, to *lab.Host, tags []uint16) {
	t.Helper()
	var conn *net.UDPConn
	err := from.Do(func() error {
		var err error
		if conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: from.IPv4().AsSlice()}); err != nil {
			return err
		}
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		frame := datagram(netip.MustParseAddrPort(conn.LocalAddr().String()), netip.AddrPortFrom(to.IPv4(), 80))
		head := append(mac(t, w, to), link.HardwareAddr...)
		for _, tag := range tags {
			head = append(binary.BigEndian.AppendUint16(head, tag), 0, 0)
		}
		frame = append(binary.BigEndian.AppendUint16(head, unix.ETH_P_IP), frame...)
		at := &unix.SockaddrLinklayer{Ifindex: link.Index, Halen: 6}
		return unix.Sendto(fd, frame, 0, at)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if list := heard(conn); len(list) > 0 {
		t.Errorf("the pod answered: %v", list)
	}
}

func mac(t *testing.T, w *the, pod *lab.Host) []byte {
	t.Helper()
	var list []byte
	if err := pod.Do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err == nil {
			list = append(list, link.HardwareAddr...)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// datagram is an IPv4 packet with a UDP datagram (RFC 791, RFC 768); the checksum of UDP is optional.
func datagram(from, to netip.AddrPort) []byte {
	text := []byte("who\n")
	ip := []byte{0x45, 0, 0, byte(28 + len(text)), 0, 1, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	ip = append(append(ip, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	ip = binary.BigEndian.AppendUint16(ip, from.Port())
	ip = binary.BigEndian.AppendUint16(ip, to.Port())
	ip = binary.BigEndian.AppendUint16(ip, uint16(8+len(text)))
	return append(append(ip, 0, 0), text...)
}

// TestPushed has the server's end of a forbidden connection send on: the kernel takes up what it finds in the
// middle, so a packet from that end would make a flow anew, whose direction nobody forbids.
func TestPushed(t *testing.T) {
	w := shared
	w.one(t, "a server that sends on", func(t *testing.T) {
		var l net.Listener
		if err := w.Pod("x/a").Do(func() (err error) {
			l, err = net.Listen("tcp", ":82")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go push(l)
		target := netip.AddrPortFrom(w.Pod("x/a").IPv4(), 82)
		w.until(t, "no policy is left", func() bool {
			class := w.Pod("x/c").Probe(probe.Request{To: target}).Class
			return class != probe.Refused && class != probe.Reset
		})
		var conn net.Conn
		if err := w.Pod("x/c").Do(func() (err error) {
			conn, err = net.Dial("tcp", target.String())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		read := func() bool {
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			_, err := conn.Read(make([]byte, 100))
			return err == nil
		}
		if !read() {
			t.Fatal("nothing comes")
		}
		w.apply(t, parse(t, `spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}`)...)
		w.until(t, "the stream ends", func() bool { return !read() })
	})
}

// push sends to whoever comes, and hears nothing.
func push(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			for {
				if _, err := conn.Write([]byte("more\n")); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}()
	}
}
