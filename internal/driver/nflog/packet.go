package nflog

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Drop is one packet that was logged.
type Drop struct {
	Time             time.Time
	Prefix           string // of the rule that logged it, without spaces around
	Src, Dst         netip.Addr
	Protocol         uint8
	SrcPort, DstPort uint16 // of TCP, UDP and SCTP
}

// Attributes of a logged packet (linux/netfilter/nfnetlink_log.h).
const (
	attrPayload = 9
	attrPrefix  = 10
)

// parse reads one message; false for what is no IP packet.
func parse(data []byte) (Drop, bool) {
	var d Drop
	ok := false
	for len(data) >= 4 {
		size := int(binary.NativeEndian.Uint16(data))
		typ := binary.NativeEndian.Uint16(data[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if size < 4 || size > len(data) {
			return d, false
		}
		switch b := data[4:size]; typ {
		case attrPrefix:
			d.Prefix = strings.TrimSpace(strings.TrimRight(string(b), "\x00"))
		case attrPayload:
			ok = d.packet(b)
		}
		data = data[min((size+3)&^3, len(data)):]
	}
	return d, ok
}

// packet reads the headers of an IP packet. Ports behind IPv6 extension headers are left unknown.
func (d *Drop) packet(b []byte) bool {
	var rest []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		d.Protocol = b[9]
		d.Src, d.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		head := int(b[0]&15) * 4
		fragment := binary.BigEndian.Uint16(b[6:])&0x1fff != 0
		if head >= 20 && len(b) >= head && !fragment {
			rest = b[head:]
		}
	case len(b) >= 40 && b[0]>>4 == 6:
		d.Protocol = b[6]
		d.Src, d.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		rest = b[40:]
	default:
		return false
	}
	switch d.Protocol {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP:
		if len(rest) >= 4 {
			d.SrcPort, d.DstPort = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
		}
	}
	return true
}

// String prints "to default/web: 10.0.0.1:4000 → 10.244.1.5:80 protocol 6".
func (d Drop) String() string {
	return fmt.Sprintf("%s: %s → %s protocol %d", d.Prefix, netip.AddrPortFrom(d.Src, d.SrcPort), netip.AddrPortFrom(d.Dst, d.DstPort), d.Protocol)
}
