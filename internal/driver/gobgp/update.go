package gobgp

import (
	"encoding/binary"
	"net/netip"
)

// BGP messages (RFC 4271 section 4), as far as a guard looks into them.
const (
	headLen = 19

	typeOpen         = 1
	typeUpdate       = 2
	typeNotification = 3
	typeKeep         = 4
	typeFresh        = 5

	attrPath       = 2
	attrOriginator = 9
	attrClusters   = 10
	attrReach      = 14 // MP_REACH_NLRI (RFC 4760)
	attrUnreach    = 15
	attrPath4      = 17 // AS4_PATH (RFC 6793)

	flagLong = 0x10 // an attribute's length has two octets
)

// message is a BGP message of a type with a body.
func message(typ byte, body []byte) []byte {
	m := make([]byte, headLen, headLen+len(body))
	for i := range 16 {
		m[i] = 0xff
	}
	m[18] = typ
	m = append(m, body...)
	binary.BigEndian.PutUint16(m[16:], uint16(len(m)))
	return m
}

// attribute is one path attribute of an UPDATE.
type attribute struct {
	flags, code byte
	value       []byte
	whole       []byte // with its head
}

// update is an UPDATE message (RFC 4271 section 4.3), split and not yet understood.
type update struct {
	withdrawn, nlri []byte
	attrs           []attribute
	overrun         bool // the attributes don't end where they should (RFC 7606 section 4)
}

// splitUpdate splits the body of an UPDATE; false: its fields don't fit into it, which ends the session.
func splitUpdate(body []byte) (u update, ok bool) {
	var attrs []byte
	if u.withdrawn, body, ok = field(body); !ok {
		return u, false
	}
	if attrs, u.nlri, ok = field(body); !ok {
		return u, false
	}
	for len(attrs) > 0 {
		a, rest, ok := nextAttribute(attrs)
		if !ok {
			u.overrun = true
			break
		}
		u.attrs = append(u.attrs, a)
		attrs = rest
	}
	return u, true
}

// field takes a field that has its length in two octets before it.
func field(b []byte) (value, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

func nextAttribute(b []byte) (a attribute, rest []byte, ok bool) {
	if len(b) < 3 {
		return a, nil, false
	}
	a.flags, a.code = b[0], b[1]
	head, n := 3, int(b[2])
	if a.flags&flagLong != 0 {
		if len(b) < 4 {
			return a, nil, false
		}
		head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
	}
	if len(b) < head+n {
		return a, nil, false
	}
	a.value, a.whole = b[head:head+n], b[:head+n]
	return a, b[head+n:], true
}

// find is the first attribute of a code, or nil.
func (u *update) find(code byte) *attribute {
	for i := range u.attrs {
		if u.attrs[i].code == code {
			return &u.attrs[i]
		}
	}
	return nil
}

// reach is what an MP_REACH_NLRI attribute says: the family, and its prefixes.
func reach(a *attribute) (afi uint16, safi byte, nlri []byte, ok bool) {
	v := a.value
	if len(v) < 5 || len(v) < 5+int(v[3]) {
		return 0, 0, nil, false
	}
	return binary.BigEndian.Uint16(v), v[2], v[5+int(v[3]):], true
}

// withdrawal are the messages that withdraw everything that an UPDATE withdraws or announces (treat-as-withdraw, RFC
// 7606 section 2).
func (u *update) withdrawal() []byte {
	var all []byte
	if gone := append(append([]byte{}, u.withdrawn...), u.nlri...); len(gone) > 0 {
		all = append(all, u.built(gone, nil, nil)...)
	}
	if a := u.find(attrUnreach); a != nil {
		all = append(all, u.built(nil, a.whole, nil)...)
	}
	if a := u.find(attrReach); a != nil {
		if afi, safi, nlri, ok := reach(a); ok && len(nlri) > 0 {
			value := append([]byte{byte(afi >> 8), byte(afi), safi}, nlri...)
			all = append(all, u.built(nil, attributeOf(0x80, attrUnreach, value), nil)...)
		}
	}
	if len(all) == 0 {
		return message(typeKeep, nil) // an UPDATE of nothing would be the End-of-RIB marker (RFC 4724)
	}
	return all
}

// built is an UPDATE of these fields.
func (*update) built(withdrawn, attrs, nlri []byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(withdrawn)))
	body = append(body, withdrawn...)
	body = binary.BigEndian.AppendUint16(body, uint16(len(attrs)))
	return message(typeUpdate, append(append(body, attrs...), nlri...))
}

// attributeOf is an attribute with a length of two octets.
func attributeOf(flags, code byte, value []byte) []byte {
	return append([]byte{flags | flagLong, code, byte(len(value) >> 8), byte(len(value))}, value...)
}

// has tells whether an AS path has an AS, in any kind of segment; size is that of an AS number in it. What isn't well
// formed is left to the engine.
func (a *attribute) has(size int, as uint32) bool {
	for v := a.value; len(v) >= 2; {
		n := int(v[1])
		if v = v[2:]; len(v) < n*size {
			return false
		}
		for range n {
			have := uint32(binary.BigEndian.Uint16(v))
			if size == 4 {
				have = binary.BigEndian.Uint32(v)
			}
			if have == as {
				return true
			}
			v = v[size:]
		}
	}
	return false
}

// prefixes walks prefixes in the form of RFC 4271 section 4.3; false: they are malformed. Each one comes with its
// bytes.
func prefixes(nlri []byte, v4 bool, visit func(p netip.Prefix, raw []byte)) bool {
	var room [16]byte
	most := 128
	if v4 {
		most = 32
	}
	for len(nlri) > 0 {
		bits := int(nlri[0])
		n := (bits + 7) / 8
		if bits > most || len(nlri) < 1+n {
			return false
		}
		clear(room[:])
		copy(room[:], nlri[1:1+n])
		addr := netip.AddrFrom16(room)
		if v4 {
			addr = netip.AddrFrom4([4]byte(room[:4]))
		}
		visit(netip.PrefixFrom(addr, bits).Masked(), nlri[:1+n])
		nlri = nlri[1+n:]
	}
	return true
}
