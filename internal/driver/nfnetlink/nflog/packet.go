package nflog

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/driver/nfnetlink"
)

// Drop is one packet that was logged.
type Drop struct {
	Time             time.Time
	Prefix           string // of the rule that logged it, without spaces around
	Src, Dst         netip.Addr
	Protocol         uint8
	SrcPort, DstPort uint16         // of TCP, UDP and SCTP
	Front            netip.AddrPort // what its sender sent to, where the kernel tells and that is another
	Flags            uint8          // of TCP
	ICMPType         uint8
	ICMPCode         uint8
	Link             uint32 // index of the link by which it came; on a bridge the port. 0: this node made it
	seq              uint32
}

// Attributes of a logged packet (linux/netfilter/nfnetlink_log.h).
const (
	attrLink    = 4
	attrPort    = 6
	attrPayload = 9
	attrPrefix  = 10
	attrSeq     = 12
	attrCT      = 18 // a nested message of conntrack

	ctOrig, ctIP, ctProto = 1, 1, 2 // linux/netfilter/nfnetlink_conntrack.h
	ctIPv4Dst, ctIPv6Dst  = 2, 4
	ctDstPort             = 3
)

// aboutAnother are the prefixes of ICMP errors that are logged for the packet they quote, as render/nft has them in Unrouted.
var aboutAnother = []string{"no route", "unreachable"}

// parse reads one message; false for what is no IP packet.
func parse(data []byte) (Drop, bool) {
	var d Drop
	ok, cut := false, true
	var payload []byte
	for typ, b := range nfnetlink.Attributes(data, &cut) {
		switch typ {
		case attrPrefix:
			d.Prefix = strings.TrimSpace(strings.TrimRight(string(b), "\x00"))
		case attrPayload:
			payload = b
			ok = d.packet(b)
		case attrSeq:
			if len(b) == 4 {
				d.seq = binary.BigEndian.Uint32(b)
			}
		case attrLink, attrPort:
			if len(b) == 4 && (typ == attrPort || d.Link == 0) {
				d.Link = binary.BigEndian.Uint32(b)
			}
		case attrCT:
			d.Front = front(b)
		}
	}
	if slices.Contains(aboutAnother, d.Prefix) {
		d.ICMPType, d.ICMPCode, d.Link = 0, 0, 0
		ok = d.packet(about(payload))
	}
	if d.Front == netip.AddrPortFrom(d.Dst, d.DstPort) {
		d.Front = netip.AddrPort{}
	}
	return d, ok && !cut
}

// front reads what the first packet of a connection was sent to.
func front(ct []byte) netip.AddrPort {
	var cut bool
	var addr netip.Addr
	var port uint16
	for typ, tuple := range nfnetlink.Attributes(ct, &cut) {
		if typ != ctOrig {
			continue
		}
		for part, b := range nfnetlink.Attributes(tuple, &cut) {
			for typ, b := range nfnetlink.Attributes(b, &cut) {
				switch {
				case part == ctIP && (typ == ctIPv4Dst || typ == ctIPv6Dst):
					addr, _ = netip.AddrFromSlice(b)
				case part == ctProto && typ == ctDstPort && len(b) == 2:
					port = binary.BigEndian.Uint16(b)
				}
			}
		}
	}
	if !addr.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, port)
}

// about is the beginning of the packet that an ICMP error is about (RFC 792, RFC 4443); the error's own header has eight bytes.
func about(b []byte) []byte {
	head := 40 + 8
	if len(b) > 0 && b[0]>>4 == 4 {
		head = int(b[0]&15)*4 + 8
	}
	return b[min(head, len(b)):]
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
		if d.Protocol == unix.IPPROTO_TCP && len(rest) >= 14 {
			d.Flags = rest[13]
		}
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		if len(rest) >= 2 {
			d.ICMPType, d.ICMPCode = rest[0], rest[1]
		}
	}
	return true
}

// String prints "to default/web: 10.0.0.1:4000 → 10.244.1.5:80 protocol 6".
func (d Drop) String() string {
	return fmt.Sprintf("%s: %s → %s protocol %d", d.Prefix, netip.AddrPortFrom(d.Src, d.SrcPort), netip.AddrPortFrom(d.Dst, d.DstPort), d.Protocol)
}
