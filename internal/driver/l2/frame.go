package l2

import (
	"encoding/binary"
	"net/netip"
)

// mac is an Ethernet address.
type mac [6]byte

var broadcast = mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

const (
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
	solicit   = 135 // ICMPv6 neighbour solicitation
	advertise = 136 // ICMPv6 neighbour advertisement
	solicited = 0x40
	override  = 0x20
)

// heard is what a frame says about an address: a question for it, or a claim to it.
type heard struct {
	addr   netip.Addr // asked for, or claimed
	asks   bool
	from   mac
	sender netip.Addr // who asks; not valid: one who is about to take the address (RFC 5227, RFC 4862)
}

// parse reads a frame. Of one that is both, a gratuitous ARP request, the claim counts.
func parse(b []byte) (heard, bool) {
	if len(b) < 14 {
		return heard{}, false
	}
	switch binary.BigEndian.Uint16(b[12:]) {
	case etherARP:
		return parseARP(b[14:])
	case etherIPv6:
		return parseND(b[14:], mac(b[6:12]))
	}
	return heard{}, false
}

func parseARP(b []byte) (h heard, ok bool) {
	if len(b) < 28 || binary.BigEndian.Uint16(b) != 1 || binary.BigEndian.Uint16(b[2:]) != 0x0800 || b[4] != 6 || b[5] != 4 {
		return h, false
	}
	op := binary.BigEndian.Uint16(b[6:])
	copy(h.from[:], b[8:])
	sender, target := netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
	switch {
	case op != 1 && op != 2:
		return h, false
	case op == 2 || sender == target:
		h.addr = sender
		return h, true
	}
	h.addr, h.asks = target, true
	if !sender.IsUnspecified() {
		h.sender = sender
	}
	return h, true
}

func parseND(b []byte, from mac) (h heard, ok bool) {
	if len(b) < 64 || b[6] != 58 || b[7] != 255 { // next header, hop limit: what a router passed on is no neighbour's
		return h, false
	}
	h.from, h.addr = from, netip.AddrFrom16([16]byte(b[48:64]))
	switch b[40] {
	case solicit:
		h.asks = true
		if src := netip.AddrFrom16([16]byte(b[8:24])); !src.IsUnspecified() {
			h.sender = src
		}
		return h, true
	case advertise:
		return h, true
	}
	return h, false
}

func ether(to, from mac, typ uint16, payload []byte) []byte {
	b := make([]byte, 14, 14+len(payload))
	copy(b, to[:])
	copy(b[6:], from[:])
	binary.BigEndian.PutUint16(b[12:], typ)
	return append(b, payload...)
}

func arp(op uint16, from mac, sender netip.Addr, to mac, target netip.Addr) []byte {
	b := make([]byte, 28)
	copy(b, []byte{0, 1, 8, 0, 6, 4})
	binary.BigEndian.PutUint16(b[6:], op)
	copy(b[8:], from[:])
	copy(b[14:], sender.AsSlice())
	copy(b[18:], to[:])
	copy(b[24:], target.AsSlice())
	return b
}

// announcement tells everybody on a link whose an address is. In IPv4 it is a request: neighbours believe one at once, and a reply only if they have not heard
// from the former owner within a second. In IPv6 the override flag does it.
func announcement(a netip.Addr, own mac, src netip.Addr) []byte {
	if a.Is4() {
		return ether(broadcast, own, etherARP, arp(1, own, a, mac{}, a))
	}
	all := netip.MustParseAddr("ff02::1")
	return ether(mac{0x33, 0x33, 0, 0, 0, 1}, own, etherIPv6, neighbour(a, own, src, all, override))
}

// reply answers a question.
func reply(h heard, own mac, src netip.Addr) []byte {
	if h.addr.Is4() {
		to := netip.IPv4Unspecified()
		if h.sender.IsValid() {
			to = h.sender
		}
		return ether(h.from, own, etherARP, arp(2, own, h.addr, h.from, to))
	}
	if !h.sender.IsValid() { // who is about to take the address has none to be answered at (RFC 4861, section 7.2.4)
		return announcement(h.addr, own, src)
	}
	return ether(h.from, own, etherIPv6, neighbour(h.addr, own, src, h.sender, solicited|override))
}

// neighbour is a neighbour advertisement in its IPv6 packet.
func neighbour(a netip.Addr, own mac, src, dst netip.Addr, flags byte) []byte {
	if !src.IsValid() {
		src = a
	}
	body := make([]byte, 32)
	body[0], body[4] = advertise, flags
	copy(body[8:], a.AsSlice())
	body[24], body[25] = 2, 1 // target link-layer address
	copy(body[26:], own[:])
	b := make([]byte, 40, 72)
	b[0], b[5], b[6], b[7] = 0x60, byte(len(body)), 58, 255
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	binary.BigEndian.PutUint16(body[2:], checksum(src, dst, body))
	return append(b, body...)
}

// checksum is ICMPv6's, over the pseudo header too (RFC 8200, section 8.1).
func checksum(src, dst netip.Addr, body []byte) uint16 {
	var sum uint32
	for _, part := range [][]byte{src.AsSlice(), dst.AsSlice(), {0, byte(len(body)), 0, 58}, body} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
