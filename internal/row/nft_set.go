package row

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"
)

// NftType is the type of one field of a set's key or value.
type NftType uint8

// The types of fields, with their size on the wire; each field of a concatenation is padded to four bytes.
const (
	NftNone    NftType = iota
	NftIPv4            // ipv4_addr, 4 bytes
	NftIPv6            // ipv6_addr, 16 bytes
	NftProto           // inet_proto, 1 byte
	NftPort            // inet_service, 2 bytes, big endian
	NftMark            // mark, 4 bytes, host order
	NftSlot            // 32 bits as numgen and jhash make them, host order; nft shows it as a mark
	NftIfname          // ifname, 16 bytes
	NftVerdict         // verdict, for values only
	NftEther           // ether_addr, 6 bytes
)

// NftTypeMost is the last type that there is.
const NftTypeMost = NftEther

var nftTypes = [...]string{"", "ipv4_addr", "ipv6_addr", "inet_proto", "inet_service", "mark", "mark", "ifname", "verdict", "ether_addr"}
var nftSizes = [...]int{0, 4, 16, 1, 2, 4, 4, 16, 0, 6}

// String prints the type as nft does.
func (t NftType) String() string { return nftTypes[t] }

// Size is the field's size in bytes without padding.
func (t NftType) Size() int { return nftSizes[t] }

// NftTypes is a concatenation of field types, ended by NftNone.
type NftTypes [6]NftType

// NftTypesOf makes a concatenation.
func NftTypesOf(t ...NftType) (c NftTypes) {
	copy(c[:], t)
	return c
}

// String prints "ipv4_addr . inet_proto . inet_service".
func (c NftTypes) String() string {
	var parts []string
	for _, t := range c {
		if t != NftNone {
			parts = append(parts, t.String())
		}
	}
	return strings.Join(parts, " . ")
}

// NftSet is a set, map or verdict map. Values empty: a set. A set that somebody else put into our table
// comes from a dump with its name alone, and so do chains of theirs; nobody wants them, so they go.
//
// What a set is can't be changed in place: the driver takes it out of its rules, makes it anew and puts it
// back in one transaction. Elements name the whole set (NftElement.Of), so they change with it.
type NftSet struct {
	Name     string
	Keys     NftTypes
	Values   NftTypes
	Interval bool          // keys are ranges, not of marks or slots; a concatenation of ranges needs Linux 5.6
	Dynamic  bool          // rules add the elements; they are the kernel's, not rows
	Timeout  time.Duration // of dynamic elements
	Size     uint32        // most elements; 0: no limit, or 65535 for a dynamic set
	Count    bool          // each element counts its packets and bytes
	Bridge   bool          // in the table of family bridge
}

// Key is the set's name.
func (s NftSet) Key() NftKey { return NftKey{Kind: NftKindSet, Bridge: s.Bridge, Name: s.Name} }

// String prints the set as nft's add command.
func (s NftSet) String() string {
	kind, typ := "set", s.Keys.String()
	if s.Values != (NftTypes{}) {
		kind, typ = "map", typ+" : "+s.Values.String()
	}
	opts := ""
	if s.Interval {
		opts += " flags interval ;"
	}
	if s.Dynamic {
		opts += " flags dynamic,timeout ;"
	}
	if s.Timeout > 0 {
		opts += fmt.Sprintf(" timeout %s ;", s.Timeout)
	}
	if s.Count {
		opts += " counter ;"
	}
	if size := s.Most(); size > 0 {
		opts += fmt.Sprintf(" size %d ;", size)
	}
	return fmt.Sprintf("add %s %s %s %s { type %s ;%s }", kind, nftFamily(s.Bridge), NftTable, s.Name, typ, opts)
}

// Most is how many elements fit; 0: no limit. What packets add must have one.
func (s NftSet) Most() uint32 {
	if s.Size == 0 && s.Dynamic {
		return 65535
	}
	return s.Size
}

// NftElement is one element of a set or map. Key, Last and Value hold wire bytes (see NftWire), which is
// what the kernel compares and what costs least to keep a hundred thousand times. In a concatenation of
// ranges each field reaches from its own value in Elem to its own value in Last.
type NftElement struct {
	Of      unique.Handle[NftSet]
	Elem    string // the key's wire bytes, or the first key of a range
	Last    string // the last key of a range, inclusive; empty where it is Elem too (see NftSpan)
	Value   string // the value's wire bytes, for maps of data
	Verdict NftJump
}

// NftJump is the value of a verdict map's element.
type NftJump struct {
	Op    NftOp  // NftAccept, NftDropPkt, NftJumpTo, NftGotoChain or NftReturn; zero: no verdict
	Chain string // of NftJumpTo and NftGotoChain
}

// Key is the set's name and the element's key.
func (e NftElement) Key() NftKey {
	set := e.Of.Value()
	return NftKey{Kind: NftKindElement, Bridge: set.Bridge, Name: set.Name, Elem: e.Elem}
}

// String prints the element as nft's add command.
func (e NftElement) String() string {
	set := e.Of.Value()
	text := nftPrint(set.Keys, e.Elem, e.Last)
	switch {
	case e.Verdict.Op != NftNop:
		text += " : " + NftStmt{Op: e.Verdict.Op, Chain: e.Verdict.Chain}.String()
	case e.Value != "":
		text += " : " + nftPrint(set.Values, e.Value, "")
	}
	return fmt.Sprintf("add element %s %s %s { %s }", nftFamily(set.Bridge), NftTable, set.Name, text)
}

// NftWire builds the wire bytes of a key or value, field by field.
type NftWire []byte

// Addr appends an address of its own family.
func (w NftWire) Addr(a netip.Addr) NftWire { return append(w, a.AsSlice()...) }

// Proto appends a protocol number.
func (w NftWire) Proto(p uint8) NftWire { return append(w, p, 0, 0, 0) }

// Port appends a port.
func (w NftWire) Port(p uint16) NftWire { return append(w, byte(p>>8), byte(p), 0, 0) }

// Host appends a 32-bit number in host order: a mark or a slot.
func (w NftWire) Host(n uint32) NftWire { return binary.NativeEndian.AppendUint32(w, n) }

// Ether appends an Ethernet address.
func (w NftWire) Ether(m MAC) NftWire { return append(append(w, m[:]...), 0, 0) }

// Ifname appends an interface name.
func (w NftWire) Ifname(name string) NftWire {
	var b [16]byte
	copy(b[:15], name)
	return append(w, b[:]...)
}

// NftSpan gives Elem and Last of the element that covers a prefix.
func NftSpan(p netip.Prefix) (first, last string) {
	p = p.Masked()
	lo := p.Addr().AsSlice()
	if p.IsSingleIP() {
		return string(lo), ""
	}
	hi := slices.Clone(lo)
	for bit := p.Bits(); bit < len(hi)*8; bit++ {
		hi[bit/8] |= 0x80 >> (bit % 8)
	}
	return string(lo), string(hi)
}

// nftPrint prints fields, and those that reach from one value to another as ranges.
func nftPrint(types NftTypes, first, last string) string {
	var parts []string
	for _, t := range types {
		padded := (t.Size() + 3) &^ 3
		if t == NftNone || len(first) < padded {
			break
		}
		text := nftField(t, first[:t.Size()])
		if len(last) >= padded {
			if last[:padded] != first[:padded] {
				text += "-" + nftField(t, last[:t.Size()])
			}
			last = last[padded:]
		}
		parts = append(parts, text)
		first = first[padded:]
	}
	return strings.Join(parts, " . ")
}

func nftField(t NftType, b string) string {
	switch t {
	case NftIPv4, NftIPv6:
		a, _ := netip.AddrFromSlice([]byte(b))
		return a.String()
	case NftProto:
		return nftProto(b[0])
	case NftPort:
		return strconv.Itoa(int(b[0])<<8 | int(b[1]))
	case NftMark:
		return fmt.Sprintf("0x%x", binary.NativeEndian.Uint32([]byte(b)))
	case NftSlot:
		return strconv.FormatUint(uint64(binary.NativeEndian.Uint32([]byte(b))), 10)
	case NftEther:
		return MAC([]byte(b)).String()
	case NftIfname:
		return strconv.Quote(strings.TrimRight(b, "\x00"))
	}
	return hex.EncodeToString([]byte(b))
}

func nftProto(p uint8) string {
	switch p {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "ipv6-icmp"
	case 132:
		return "sctp"
	}
	return strconv.Itoa(int(p))
}
