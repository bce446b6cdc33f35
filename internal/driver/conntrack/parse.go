package conntrack

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// parse reads one flow of a dump; false for flows in a zone and for what is no flow of ports. There may be
// hundreds of thousands, so it reads attributes in place.
func parse(data []byte) (Flow, bool) {
	var f Flow
	if len(data) < 4 {
		return f, false
	}
	zone := false
	for typ, b := range attributes(data[4:]) {
		switch {
		case typ == ctaOrig:
			f.Orig = f.direction(b)
		case typ == ctaReply:
			first, code := f.ICMPType, f.ICMPCode
			f.Reply = f.direction(b)
			f.ICMPType, f.ICMPCode = first, code
		case typ == ctaID && len(b) == 4:
			f.ID = binary.BigEndian.Uint32(b)
		case typ == ctaZone:
			zone = true
		}
	}
	return f, !zone && f.Orig.Dst.IsValid() && f.Reply.Src.IsValid()
}

// direction reads the tuple of one direction, and the protocol.
func (f *Flow) direction(data []byte) Tuple {
	var addr [2]netip.Addr
	var port [2]uint16
	for typ, b := range attributes(data) {
		switch typ {
		case ctaTupleIP:
			for typ, b := range attributes(b) {
				addr[(typ+1)%2], _ = netip.AddrFromSlice(b) // sources are odd, see ctaIP
			}
		case ctaTupleProto:
			for typ, b := range attributes(b) {
				switch {
				case typ == ctaProtoNum && len(b) == 1:
					f.Protocol = b[0]
				case (typ == ctaICMPType || typ == ctaICMP6Type) && len(b) == 1:
					f.ICMPType = b[0]
				case (typ == ctaICMPCode || typ == ctaICMP6Code) && len(b) == 1:
					f.ICMPCode = b[0]
				case (typ == ctaProtoSrc || typ == ctaProtoDst) && len(b) == 2:
					port[typ-ctaProtoSrc] = binary.BigEndian.Uint16(b)
				}
			}
		}
	}
	return Tuple{netip.AddrPortFrom(addr[0], port[0]), netip.AddrPortFrom(addr[1], port[1])}
}

// attributes goes through netlink attributes up to the first that is cut short.
func attributes(b []byte) func(func(uint16, []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofNlAttr {
			size := int(binary.NativeEndian.Uint16(b))
			typ := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if size < unix.SizeofNlAttr || size > len(b) || !yield(typ, b[unix.SizeofNlAttr:size]) {
				return
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}
