package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// familyOf is the kernel's number of the family of our tables.
func familyOf(bridge bool) byte {
	if bridge {
		return unix.NFPROTO_BRIDGE
	}
	return unix.NFPROTO_INET
}

// attrType are the bits of an attribute's type that are not flags (NLA_TYPE_MASK).
const attrType = 0x3fff

// appendAttr appends one netlink attribute.
func appendAttr(b []byte, typ uint16, data []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(data)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	return pad(append(b, data...))
}

func appendText(b []byte, typ uint16, text string) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(5+len(text)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	return pad(append(append(b, text...), 0))
}

// appendBytes is appendAttr for bytes held in a string.
func appendBytes(b []byte, typ uint16, data string) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(data)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	return pad(append(b, data...))
}

func append32(b []byte, typ uint16, n uint32) []byte {
	b = binary.NativeEndian.AppendUint16(b, 8)
	b = binary.NativeEndian.AppendUint16(b, typ)
	return binary.BigEndian.AppendUint32(b, n)
}

func append64(b []byte, typ uint16, n uint64) []byte {
	b = binary.NativeEndian.AppendUint16(b, 12)
	b = binary.NativeEndian.AppendUint16(b, typ)
	return binary.BigEndian.AppendUint64(b, n)
}

func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// open starts a nested attribute; close it with the offset that open returned. Every message is a multiple
// of four bytes long, so offsets in the whole batch are aligned as those in the message are.
func open(b []byte, typ uint16) ([]byte, int) {
	b = binary.NativeEndian.AppendUint16(b, 0)
	return binary.NativeEndian.AppendUint16(b, typ|unix.NLA_F_NESTED), len(b) - 2
}

func closeAttr(b []byte, at int) {
	binary.NativeEndian.PutUint16(b[at:], uint16(len(b)-at))
}

// batch is one transaction in the making: what is sent, and which edit each message is for.
type batch struct {
	buf    []byte
	bridge bool   // it is about the table of family bridge
	flags  uint32 // of the table that it makes or takes
	base   uint32 // the sequence number of the opening message
	owners []owner
	edits  []*edit // what is done when this transaction and all the others that it is in are
	start  int     // of the message being written
	list   list    // of the last message, if it is about elements
}

// owner tells for which of the batch's edits a message is, and whether it removes what was there before.
type owner struct {
	from, to int
	remove   bool
}

// list are the elements in a message: more of the same set can join them.
type list struct {
	set    string
	remove bool
	at     int // where they begin
}

// listMost is where a list of elements is full; an attribute can't be longer than 64 KiB.
const listMost = 60 << 10

func newBatch(bridge bool, base uint32, buf []byte) *batch {
	b := &batch{bridge: bridge, base: base, buf: buf[:0]}
	b.header(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	b.end()
	return b
}

func (b *batch) header(typ uint16, flags uint16, family byte, subsys uint16) {
	b.start = len(b.buf)
	seq := b.base + uint32(len(b.owners))
	if b.start > 0 {
		seq++
	}
	b.buf = appendHeader(b.buf, typ, flags, seq, family, subsys)
}

func appendHeader(b []byte, typ, flags uint16, seq uint32, family byte, resource uint16) []byte {
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, family, unix.NFNETLINK_V0)
	return binary.BigEndian.AppendUint16(b, resource)
}

// message starts a message of nftables; end finishes it.
func (b *batch) message(typ int, flags uint16) {
	b.header(unix.NFNL_SUBSYS_NFTABLES<<8|uint16(typ), flags, familyOf(b.bridge), 0)
}

func (b *batch) end() {
	binary.NativeEndian.PutUint32(b.buf[b.start:], uint32(len(b.buf)-b.start))
}

// endFor finishes a message that is for an edit.
func (b *batch) endFor(e *edit, remove bool) {
	b.end()
	b.list = list{}
	o := owner{len(b.edits), len(b.edits), remove}
	if e != nil {
		b.cover(e)
		o.to++
	}
	b.owners = append(b.owners, o)
}

// joinFor finishes the last message again, which is now for one more edit.
func (b *batch) joinFor(e *edit) {
	b.end()
	b.cover(e)
	b.owners[len(b.owners)-1].to++
}

// of are the edits that a message is for.
func (b *batch) of(message int) []*edit {
	o := b.owners[message]
	return b.edits[o.from:o.to]
}

// cover says that an edit is done when this transaction is.
func (b *batch) cover(edits ...*edit) {
	for _, e := range edits {
		e.left++
	}
	b.edits = append(b.edits, edits...)
}

// finish asks for an answer to the last message and closes the transaction. It returns the answer's number.
func (b *batch) finish() uint32 {
	flags := b.buf[b.start+6:]
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
	last := b.base + uint32(len(b.owners))
	b.header(unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	b.end()
	return last
}

// attrs calls f for each attribute.
func attrs(b []byte, f func(typ uint16, data []byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&attrType, b[4:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}

// text takes the zero byte off a string.
func text(data []byte) string {
	if n := len(data); n > 0 && data[n-1] == 0 {
		data = data[:n-1]
	}
	return string(data)
}

// number32 and number64 read numbers in network order; what is too short reads as zero.
func number32(data []byte) uint32 {
	if len(data) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(data)
}

func number64(data []byte) uint64 {
	if len(data) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(data)
}
