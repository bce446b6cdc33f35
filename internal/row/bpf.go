package row

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
)

// Bpf is any row of eBPF: an entry of a map, or a program where it is attached.
type Bpf interface {
	Key() BpfKey
	String() string
}

// BpfKey is the key of a Bpf: a map and the wire bytes of a key in it, or a hook.
type BpfKey struct {
	Map  BpfMap
	Hook BpfHook
	Elem string
}

// String prints "kr_heads4 10.96.0.10:80/tcp" or "connect4".
func (k BpfKey) String() string {
	if k.Map == BpfNoMap {
		return k.Hook.String()
	}
	return k.Map.String() + " " + k.Map.printKey(k.Elem)
}

// BpfMap is one of the maps of Services at the socket. What a key and a value hold is fixed: programs read them. A map that is laid
// out anew gets another name.
type BpfMap uint8

// The maps.
const (
	BpfNoMap  BpfMap = iota
	BpfSlots4        // front and slot → backend
	BpfSlots6        // the same of IPv6
	BpfHeads4        // front → how many slots it has
	BpfHeads6        // the same of IPv6
	BpfNetns         // cookie of a network namespace → who it is; sockets of others are left alone
)

// BpfMapMost is the last map that there is.
const BpfMapMost = BpfNetns

type bpfLayout struct {
	name       string
	key, value int    // bytes
	most       uint32 // entries
}

// The limits are what a map may grow to. Its entries take memory as they come, and eight to sixteen bytes for each that could come.
var bpfLayouts = [...]bpfLayout{
	{},
	{"kr_slots4", 12, 8, 1 << 19},
	{"kr_slots6", 24, 20, 1 << 19},
	{"kr_heads4", 8, 4, 1 << 16},
	{"kr_heads6", 20, 4, 1 << 16},
	{"kr_netns", 8, 4, 1 << 13},
}

// String is the map's name in the kernel, and that of its pin.
func (m BpfMap) String() string { return bpfLayouts[m].name }

// KeySize is the size of a key in bytes.
func (m BpfMap) KeySize() int { return bpfLayouts[m].key }

// ValueSize is the size of a value in bytes.
func (m BpfMap) ValueSize() int { return bpfLayouts[m].value }

// Most is how many entries the map may have.
func (m BpfMap) Most() uint32 { return bpfLayouts[m].most }

// BpfEntry is one entry of a map. Key and value are the bytes that the kernel holds (BpfHead, BpfSlot and BpfSpace make them).
type BpfEntry struct {
	Map   BpfMap
	Elem  string
	Value string
}

// Key is the map and the entry's key.
func (e BpfEntry) Key() BpfKey { return BpfKey{Map: e.Map, Elem: e.Elem} }

// String prints the entry as bpftool's command, with what the bytes say in their place.
func (e BpfEntry) String() string {
	return fmt.Sprintf("map update name %s key %s value %s", e.Map, e.Map.printKey(e.Elem), e.Map.printValue(e.Value))
}

// BpfHead says how many backends a front has. Proto is the protocol's IANA number.
func BpfHead(front netip.AddrPort, proto uint8, count int) BpfEntry {
	e := BpfEntry{Map: BpfHeads4, Elem: string(bpfFront(front, proto)), Value: string(binary.NativeEndian.AppendUint32(nil, uint32(count)))}
	if front.Addr().Is6() {
		e.Map = BpfHeads6
	}
	return e
}

// BpfSlot is the backend at a place of a front, counted from 0.
func BpfSlot(front netip.AddrPort, proto uint8, slot int, backend netip.AddrPort) BpfEntry {
	key := binary.NativeEndian.AppendUint32(bpfFront(front, proto), uint32(slot))
	value := append(binary.BigEndian.AppendUint16(backend.Addr().AsSlice(), backend.Port()), 0, 0)
	e := BpfEntry{Map: BpfSlots4, Elem: string(key), Value: string(value)}
	if front.Addr().Is6() {
		e.Map = BpfSlots6
	}
	return e
}

// bpfFront are the bytes of a front: address and port as on the wire, protocol, and one more so that a number can follow.
func bpfFront(front netip.AddrPort, proto uint8) []byte {
	b := make([]byte, 0, 24)
	return append(binary.BigEndian.AppendUint16(append(b, front.Addr().AsSlice()...), front.Port()), proto, 0)
}

// BpfUser is whose network namespace one is.
type BpfUser uint32

// Whose.
const (
	BpfHost BpfUser = 1 // the node's own
	BpfPod  BpfUser = 2 // a pod's
)

// BpfSpace says that the sockets of a network namespace are served. Its cookie is that of SO_NETNS_COOKIE (Linux 5.14): no other
// namespace has it before the next boot.
func BpfSpace(cookie uint64, user BpfUser) BpfEntry {
	return BpfEntry{
		Map:   BpfNetns,
		Elem:  string(binary.NativeEndian.AppendUint64(nil, cookie)),
		Value: string(binary.NativeEndian.AppendUint32(nil, uint32(user))),
	}
}

func (m BpfMap) printKey(b string) string {
	if len(b) != m.KeySize() {
		return bpfHex(b)
	}
	switch m {
	case BpfHeads4, BpfHeads6:
		return bpfPrintFront(b)
	case BpfSlots4, BpfSlots6:
		return fmt.Sprintf("%s#%d", bpfPrintFront(b[:len(b)-4]), binary.NativeEndian.Uint32([]byte(b[len(b)-4:])))
	case BpfNetns:
		return fmt.Sprint(binary.NativeEndian.Uint64([]byte(b)))
	}
	return bpfHex(b)
}

func (m BpfMap) printValue(b string) string {
	if len(b) != m.ValueSize() {
		return bpfHex(b)
	}
	switch m {
	case BpfHeads4, BpfHeads6:
		return fmt.Sprint(binary.NativeEndian.Uint32([]byte(b)))
	case BpfSlots4, BpfSlots6:
		a, _ := netip.AddrFromSlice([]byte(b[:len(b)-4]))
		return netip.AddrPortFrom(a, binary.BigEndian.Uint16([]byte(b[len(b)-4:]))).String()
	case BpfNetns:
		switch user := BpfUser(binary.NativeEndian.Uint32([]byte(b))); user {
		case BpfHost:
			return "host"
		case BpfPod:
			return "pod"
		}
	}
	return bpfHex(b)
}

// Front is the front that an entry of heads or slots belongs to; false: it is none.
func (e BpfEntry) Front() (front netip.AddrPort, proto uint8, ok bool) {
	b := e.Elem
	switch e.Map {
	case BpfSlots4, BpfSlots6:
		b = b[:max(0, len(b)-4)]
	case BpfHeads4, BpfHeads6:
	default:
		return front, 0, false
	}
	if len(b) < 8 {
		return front, 0, false
	}
	a, ok := netip.AddrFromSlice([]byte(b[:len(b)-4]))
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16([]byte(b[len(b)-4:]))), b[len(b)-2], ok
}

// BpfFront reads the bytes of a front, the key of heads.
func BpfFront(b string) (front netip.AddrPort, proto uint8, ok bool) {
	return BpfEntry{Map: BpfHeads4, Elem: b}.Front()
}

func bpfPrintFront(b string) string {
	front, proto, ok := BpfFront(b)
	if !ok {
		return bpfHex(b)
	}
	return front.String() + "/" + nftProto(proto)
}

// bpfHex prints bytes as bpftool takes them.
func bpfHex(b string) string {
	text := "hex"
	for i := range len(b) {
		text += " " + hex.EncodeToString([]byte{b[i]})
	}
	return text
}

// BpfHook is where in the kernel a program runs.
type BpfHook uint8

// The hooks of a cgroup that Services at the socket need.
const (
	BpfNoHook       BpfHook = iota
	BpfConnect4             // connect() of an IPv4 socket
	BpfConnect6             // connect() of an IPv6 socket, to ::ffff:a.b.c.d too
	BpfGetpeername4         // getpeername() of an IPv4 socket (Linux 5.8)
	BpfGetpeername6         // getpeername() of an IPv6 socket
)

// BpfHookMost is the last hook that there is.
const BpfHookMost = BpfGetpeername6

// String is the hook as bpftool names it.
func (h BpfHook) String() string {
	return [...]string{"", "connect4", "connect6", "getpeername4", "getpeername6"}[h]
}

// BpfProgram is a program where it is attached. Tag tells what it does: a digest of its instructions as they were assembled, before
// they name maps of this machine. The kernel's own tag depends on the kernel.
type BpfProgram struct {
	Hook   BpfHook
	Target string // the folder of the cgroup
	Tag    string // eight hexadecimal digits
}

// Key is the hook.
func (p BpfProgram) Key() BpfKey { return BpfKey{Hook: p.Hook} }

// Name is the program's name in the kernel, which keeps fifteen bytes.
func (p BpfProgram) Name() string { return p.Hook.Program() + p.Tag }

// Program is what the names of programs for the hook begin with.
func (h BpfHook) Program() string {
	return [...]string{"", "kr_c4_", "kr_c6_", "kr_p4_", "kr_p6_"}[h]
}

// String prints the program as bpftool's command attaches it.
func (p BpfProgram) String() string {
	return fmt.Sprintf("cgroup attach %s %s name %s", p.Target, p.Hook, p.Name())
}
