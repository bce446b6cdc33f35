package names

import (
	"encoding/binary"
	"net/netip"
)

// segment is what a packet carries of UDP or TCP.
type segment struct {
	from, to netip.AddrPort
	tcp      bool
	seq      uint32
	flags    uint8 // of TCP
	data     []byte
}

const (
	protoTCP, protoUDP = 6, 17

	flagFIN, flagSYN, flagRST = 1, 2, 4
)

// readPacket reads an IP packet; false where it carries neither, or isn't whole.
func readPacket(b []byte) (s segment, ok bool) {
	var src, dst netip.Addr
	var proto uint8
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		head, whole := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		fragment := binary.BigEndian.Uint16(b[6:])&0x3fff != 0
		if whole == 0 {
			whole = len(b) // longer than its field can tell, put together by the kernel
		}
		if head < 20 || fragment || whole > len(b) || head > whole {
			return s, false
		}
		src, dst, proto = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[9]
		b = b[head:whole]
	case len(b) >= 40 && b[0]>>4 == 6:
		whole := 40 + int(binary.BigEndian.Uint16(b[4:]))
		if whole == 40 {
			whole = len(b)
		}
		if whole > len(b) {
			return s, false
		}
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		if proto, b, ok = pastExtensions(b[6], b[40:whole]); !ok {
			return s, false
		}
	default:
		return s, false
	}
	return readSegment(src, dst, proto, b)
}

// pastExtensions goes over the extension headers of IPv6 (RFC 8200, section 4) that whole packets have.
func pastExtensions(next uint8, b []byte) (uint8, []byte, bool) {
	for range 8 {
		switch next {
		case 0, 43, 60: // hop-by-hop options, routing, destination options
			if len(b) < 8 || len(b) < 8+int(b[1])*8 {
				return 0, nil, false
			}
			next, b = b[0], b[8+int(b[1])*8:]
		default:
			return next, b, true
		}
	}
	return 0, nil, false
}

func readSegment(src, dst netip.Addr, proto uint8, b []byte) (s segment, ok bool) {
	if proto == protoUDP && len(b) >= 8 {
		s.from, s.to = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b)), netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
		size := int(binary.BigEndian.Uint16(b[4:]))
		if size < 8 || size > len(b) {
			return s, false
		}
		s.data = b[8:size]
		return s, true
	}
	if proto != protoTCP || len(b) < 20 {
		return s, false
	}
	head := int(b[12]>>4) * 4
	if head < 20 || head > len(b) {
		return s, false
	}
	s.from, s.to = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b)), netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	s.tcp, s.seq, s.flags, s.data = true, binary.BigEndian.Uint32(b[4:]), b[13], b[head:]
	return s, true
}
