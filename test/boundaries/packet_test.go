//go:build boundaries

package boundaries

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab"
)

const (
	protoUDP  = 17
	protoIPIP = 4  // IPv4 in anything
	protoIP6  = 41 // IPv6 in anything
)

// inside is the protocol number of a packet of a's family in another.
func inside(a netip.Addr) byte {
	if a.Is6() {
		return protoIP6
	}
	return protoIPIP
}

// udp is the datagram of a UDP packet, header and all.
func udp(from, to netip.AddrPort, data string) []byte {
	b := binary.BigEndian.AppendUint16(nil, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	b = append(append(b, 0, 0), data...)
	if to.Addr().Is6() { // IPv4 does without a checksum
		pseudo := slices.Concat(from.Addr().AsSlice(), to.Addr().AsSlice(), []byte{0, 0, 0, byte(len(b)), 0, 0, 0, protoUDP})
		binary.BigEndian.PutUint16(b[6:], checksum(append(pseudo, b...)))
	}
	return b
}

// packet is an IP packet of the addresses' family.
func packet(from, to netip.Addr, proto byte, data []byte) []byte {
	if to.Is6() {
		b := []byte{0x60, 0, 0, 0, 0, byte(len(data)), proto, 64}
		return slices.Concat(b, from.AsSlice(), to.AsSlice(), data)
	}
	b := []byte{0x45, 0, 0, byte(20 + len(data)), 0, 0, 0x40, 0, 64, proto, 0, 0}
	b = slices.Concat(b, from.AsSlice(), to.AsSlice())
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return append(b, data...)
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for i, x := range b {
		sum += uint32(x) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// datagram sends UDP data from an ordinary socket, which needs no right.
func datagram(from *lab.Host, to netip.AddrPort, data []byte) error {
	return from.Do(func() error {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write(data)
		return err
	})
}

// raw sends a whole IP packet, whatever source it names; that takes the right NET_RAW.
func raw(from *lab.Host, to netip.Addr, packet []byte) error {
	return from.Do(func() error {
		family, sa := unix.AF_INET, unix.Sockaddr(nil)
		if to.Is6() {
			family, sa = unix.AF_INET6, &unix.SockaddrInet6{Addr: to.As16()}
		} else {
			sa = &unix.SockaddrInet4{Addr: to.As4()}
		}
		fd, err := unix.Socket(family, unix.SOCK_RAW, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, packet, 0, sa)
	})
}

// echo asks whether an address is there (RFC 792, RFC 4443).
func echo(from *lab.Host, to netip.Addr) error {
	network, request, reply := "ip4:icmp", byte(8), byte(0)
	if to.Is6() {
		network, request, reply = "ip6:ipv6-icmp", 128, 129
	}
	return from.Do(func() error {
		c, err := net.Dial(network, to.String())
		if err != nil {
			return err
		}
		defer c.Close()
		message := []byte{request, 0, 0, 0, 0x6b, 0x72, 0, 1}
		binary.BigEndian.PutUint16(message[2:], checksum(message)) // the kernel itself does so in IPv6
		if _, err := c.Write(message); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
			return err
		}
		for buffer := make([]byte, 2000); ; {
			n, _, err := c.(*net.IPConn).ReadFrom(buffer)
			if err != nil {
				return err
			}
			if n >= 8 && buffer[0] == reply && buffer[4] == 0x6b {
				return nil
			}
		}
	})
}

// ear hears UDP on a host at a port of its own choice.
type ear struct {
	conn *net.UDPConn
	port uint16
}

// listen opens an ear on a host; an address that isn't valid is any.
func listen(h *lab.Host, at netip.Addr) (*ear, error) {
	var e ear
	err := h.Do(func() (err error) {
		addr := &net.UDPAddr{}
		if at.IsValid() {
			addr.IP = at.AsSlice()
		}
		e.conn, err = net.ListenUDP("udp", addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", h.Name, err)
	}
	e.port = netip.MustParseAddrPort(e.conn.LocalAddr().String()).Port()
	return &e, nil
}

// hears tells whether words arrive before the time is over.
func (e *ear) hears(words string, limit time.Duration) bool {
	if e.conn.SetReadDeadline(time.Now().Add(limit)) != nil {
		return false
	}
	for buffer := make([]byte, 2000); ; {
		n, err := e.conn.Read(buffer)
		if err != nil {
			return false
		}
		if string(buffer[:n]) == words {
			return true
		}
	}
}
