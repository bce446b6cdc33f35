//go:build boundaries

package boundaries

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab"
)

// ether is who a frame says sent it, who is to have it, and the VLAN tags before what it carries.
type ether struct {
	to, from net.HardwareAddr
	tags     []uint32 // type of the tag and number: 0x81000005
}

func (e ether) carry(typ uint16, data []byte) []byte {
	b := append(append([]byte{}, e.to...), e.from...)
	for _, t := range e.tags {
		b = binary.BigEndian.AppendUint32(b, t)
	}
	return append(binary.BigEndian.AppendUint16(b, typ), data...)
}

// ip carries a packet of the source's family.
func (e ether) ip(p ipPacket) []byte {
	if p.src.Is6() {
		return e.carry(unix.ETH_P_IPV6, p.six())
	}
	return e.carry(unix.ETH_P_IP, p.four())
}

// arp says to everybody that an address is at the frame's sender (RFC 826).
func (e ether) arp(a netip.Addr) []byte {
	b := append([]byte{0, 1, 8, 0, 6, 4, 0, 2}, e.from...)
	b = append(append(b, a.AsSlice()...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	return e.carry(unix.ETH_P_ARP, append(b, a.AsSlice()...))
}

// ipPacket is a packet as crafted as one likes: head are IPv4 options or IPv6 extension headers, and proto what comes first.
type ipPacket struct {
	src, dst netip.Addr
	proto    byte
	head     []byte
	frag     uint16 // offset and flags, as IPv4 has them
	hops     byte   // 0: 64
	data     []byte
}

func (p ipPacket) four() []byte {
	size := 20 + len(p.head)
	b := []byte{0x40 | byte(size/4), 0}
	b = binary.BigEndian.AppendUint16(b, uint16(size+len(p.data)))
	b = binary.BigEndian.AppendUint16(b, 0x1234)
	b = binary.BigEndian.AppendUint16(b, p.frag)
	b = append(b, max(p.hops, 64), p.proto, 0, 0)
	b = append(append(append(b, p.src.AsSlice()...), p.dst.AsSlice()...), p.head...)
	binary.BigEndian.PutUint16(b[10:], summed(b))
	return append(b, p.data...)
}

func (p ipPacket) six() []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(p.head)+len(p.data)))
	b = append(append(append(b, p.proto, max(p.hops, 64)), p.src.AsSlice()...), p.dst.AsSlice()...)
	return append(append(b, p.head...), p.data...)
}

// udpBytes is a datagram to port 9000 with its checksum.
func udpBytes(src, dst netip.Addr, text string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x1e, 0x61, 0x23, 0x28}, uint16(8+len(text)))
	b = append(append(b, 0, 0), text...)
	binary.BigEndian.PutUint16(b[6:], summedFor(src, dst, unix.IPPROTO_UDP, b))
	return b
}

// icmpBytes is a message of ICMPv6 with its checksum.
func icmpBytes(src, dst netip.Addr, b []byte) []byte {
	binary.BigEndian.PutUint16(b[2:], summedFor(src, dst, unix.IPPROTO_ICMPV6, b))
	return b
}

// summedFor is the checksum with the pseudo header of either family (RFC 768, RFC 8200).
func summedFor(src, dst netip.Addr, proto byte, b []byte) uint16 {
	pseudo := append(append([]byte{}, src.AsSlice()...), dst.AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(b)))
	return summed(append(append(pseudo, 0, 0, 0, proto), b...))
}

func summed(b []byte) uint16 {
	var sum uint32
	for i, x := range b {
		sum += uint32(x) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// sendFrames puts frames on a pod's link as they are; NET_RAW alone is needed for that.
func sendFrames(t *testing.T, from *lab.Host, frames ...[]byte) {
	t.Helper()
	if err := from.Do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, f := range frames {
			if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// macOf is the Ethernet address of a link of a host.
func macOf(t *testing.T, h *lab.Host, link string) (mac net.HardwareAddr) {
	t.Helper()
	if err := h.Do(func() error {
		l, err := net.InterfaceByName(link)
		if err == nil {
			mac = l.HardwareAddr
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return mac
}

// neighbor is what a host holds for the Ethernet address of another: "" where it holds none.
func neighbor(t *testing.T, w *world, h *lab.Host, a netip.Addr) string {
	t.Helper()
	out, err := h.Run(w.ctx, "ip", "neigh", "show", "to", a.String())
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, mac, _ := strings.Cut(out, "lladdr ")
	mac, _, _ = strings.Cut(mac, " ")
	return mac
}

// mustRun runs a program on a host.
func mustRun(t *testing.T, w *world, h *lab.Host, args ...string) string {
	t.Helper()
	out, err := h.Run(w.ctx, args[0], args[1:]...)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out))
	}
	return out
}
