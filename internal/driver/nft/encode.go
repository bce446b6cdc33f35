package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

const (
	setConcat      = 0x80 // NFT_SET_CONCAT
	setDescConcat  = 2    // NFTA_SET_DESC_CONCAT
	setFieldLen    = 1    // NFTA_SET_FIELD_LEN
	setExpr        = 17   // NFTA_SET_EXPR
	elemKeyEnd     = 10   // NFTA_SET_ELEM_KEY_END
	typeVerdict    = 0xffffff00
	typeBits       = 6 // of one type in that of a concatenation
	userdataType   = 'K'
	udataKeyOrder  = 0 // NFTNL_UDATA_SET_KEYBYTEORDER of libnftnl
	udataDataOrder = 1 // NFTNL_UDATA_SET_DATABYTEORDER
	hostOrder      = 1 // BYTEORDER_HOST_ENDIAN of the nft program
	policyDrop     = 0 // NF_DROP
	policyAccept   = 1 // NF_ACCEPT
)

var (
	errEmptyRule = errors.New("a rule without statements")
	errLongRule  = fmt.Errorf("a rule of more than %d bytes in its compact form: shorten the names in it", row.NftBodyMax)
	errSetKey    = errors.New("a set without a key")
	errKeySize   = errors.New("a key or value that doesn't fit its set")
	errHostRange = errors.New("numbers in host order have no ranges")
)

// typeNumber is how the nft program numbers types; to the kernel they mean nothing.
func typeNumber(t row.NftType) uint32 {
	switch t {
	case row.NftIPv4:
		return 7
	case row.NftIPv6:
		return 8
	case row.NftProto:
		return 12
	case row.NftPort:
		return 13
	case row.NftMark, row.NftSlot:
		return 19
	case row.NftIfname:
		return 41
	case row.NftEther:
		return 9
	}
	return 0
}

// typesOf gives number and size of a concatenation. A single field has its own size, fields of a
// concatenation are padded to four bytes.
func typesOf(types row.NftTypes) (number, size uint32) {
	n := 0
	for _, t := range types {
		if t == row.NftNone {
			break
		}
		n++
		number = number<<typeBits | typeNumber(t)
		size += uint32(t.Size()+3) &^ 3
	}
	if n == 1 {
		size = uint32(types[0].Size())
	}
	return number, size
}

// concat tells whether there are several fields.
func concat(types row.NftTypes) bool { return types[1] != row.NftNone }

func appendTable(b []byte) []byte { return appendText(b, 1, row.NftTable) } // 1 in every kind of message

// appendSet appends the attributes of a new set, and beside them what it is in our own words.
func appendSet(b []byte, s row.NftSet) ([]byte, error) {
	if s.Keys == (row.NftTypes{}) {
		return b, errSetKey
	}
	b = appendText(appendTable(b), unix.NFTA_SET_NAME, s.Name)
	b = append32(b, unix.NFTA_SET_ID, 1) // asked for, but sets with a name are found by it
	body := appendSetBody(nil, s)
	b = append(b, body...)
	data := binary.NativeEndian.AppendUint32([]byte{userdataType, 0}, crc32.ChecksumIEEE(body))
	data = appendSetWire(data, s)
	data[1] = byte(len(data) - 2)
	data = appendOrder(data, udataKeyOrder, s.Keys)
	data = appendOrder(data, udataDataOrder, s.Values)
	return appendAttr(b, unix.NFTA_SET_USERDATA, data), nil
}

// appendOrder tells the nft program, not the kernel, that a field is in host order.
func appendOrder(b []byte, typ byte, types row.NftTypes) []byte {
	switch types[0] {
	case row.NftMark, row.NftSlot, row.NftIfname:
		if !concat(types) {
			b = binary.NativeEndian.AppendUint32(append(b, typ, 4), hostOrder)
		}
	}
	return b
}

func appendSetBody(b []byte, s row.NftSet) []byte {
	number, size := typesOf(s.Keys)
	b = append32(b, unix.NFTA_SET_FLAGS, setFlags(s))
	b = append32(b, unix.NFTA_SET_KEY_TYPE, number)
	b = append32(b, unix.NFTA_SET_KEY_LEN, size)
	switch {
	case s.Values[0] == row.NftVerdict:
		b = append32(b, unix.NFTA_SET_DATA_TYPE, typeVerdict)
	case s.Values != row.NftTypes{}:
		number, size := typesOf(s.Values)
		b = append32(b, unix.NFTA_SET_DATA_TYPE, number)
		b = append32(b, unix.NFTA_SET_DATA_LEN, size)
	}
	if s.Timeout > 0 {
		b = append64(b, unix.NFTA_SET_TIMEOUT, uint64(s.Timeout.Milliseconds()))
	}
	if s.Count {
		e := appendText(nil, unix.NFTA_EXPR_NAME, "counter")
		b = appendAttr(b, setExpr|unix.NLA_F_NESTED, e)
	}
	return appendSetDesc(b, s)
}

func appendSetDesc(b []byte, s row.NftSet) []byte {
	b, desc := open(b, unix.NFTA_SET_DESC)
	if size := s.Most(); size > 0 {
		b = append32(b, unix.NFTA_SET_DESC_SIZE, size)
	}
	if concat(s.Keys) && s.Interval {
		var fields int
		b, fields = open(b, setDescConcat)
		for _, t := range s.Keys {
			if t == row.NftNone {
				break
			}
			var field int
			b, field = open(b, unix.NFTA_LIST_ELEM)
			b = append32(b, setFieldLen, uint32(t.Size()))
			closeAttr(b, field)
		}
		closeAttr(b, fields)
	}
	closeAttr(b, desc)
	return b
}

func setFlags(s row.NftSet) (flags uint32) {
	for flag, on := range map[uint32]bool{
		unix.NFT_SET_INTERVAL: s.Interval,
		unix.NFT_SET_MAP:      s.Values != row.NftTypes{},
		unix.NFT_SET_EVAL:     s.Dynamic,
		unix.NFT_SET_TIMEOUT:  s.Dynamic || s.Timeout > 0,
		setConcat:             s.Interval && concat(s.Keys),
	} {
		if on {
			flags |= flag
		}
	}
	return flags
}

// appendSetWire writes what a set is; readSetWire reads it.
func appendSetWire(b []byte, s row.NftSet) []byte {
	var flags byte
	for bit, on := range [...]bool{s.Interval, s.Dynamic, s.Count} {
		if on {
			flags |= 1 << bit
		}
	}
	b = append(b, flags)
	for _, types := range [...]row.NftTypes{s.Keys, s.Values} {
		for _, t := range types {
			b = append(b, byte(t))
		}
	}
	b = binary.AppendUvarint(b, uint64(s.Timeout))
	return binary.AppendUvarint(b, uint64(s.Size))
}

func readSetWire(name string, b []byte) row.NftSet {
	s := row.NftSet{Name: name}
	if len(b) < 1+len(s.Keys)+len(s.Values) {
		return s
	}
	s.Interval, s.Dynamic, s.Count = b[0]&1 != 0, b[0]&2 != 0, b[0]&4 != 0
	b = b[1:]
	for _, types := range [...]*row.NftTypes{&s.Keys, &s.Values} {
		for i := range types {
			if t := row.NftType(b[i]); t <= row.NftTypeMost {
				types[i] = t
			}
		}
		b = b[len(types):]
	}
	timeout, n := binary.Uvarint(b)
	size, _ := binary.Uvarint(b[max(n, 0):])
	s.Timeout, s.Size = time.Duration(timeout), uint32(size)
	return s
}

// appendChain appends the attributes of a new chain.
func appendChain(b []byte, c row.NftChain) []byte {
	b = appendText(appendTable(b), unix.NFTA_CHAIN_NAME, c.Name)
	if c.Hook == row.NftNoHook {
		return b
	}
	b, hook := open(b, unix.NFTA_CHAIN_HOOK)
	b = append32(b, unix.NFTA_HOOK_HOOKNUM, hookNumber(c.Hook))
	b = append32(b, unix.NFTA_HOOK_PRIORITY, uint32(int32(c.Priority)))
	closeAttr(b, hook)
	policy, typ := uint32(policyAccept), "filter"
	if c.Drop {
		policy = policyDrop
	}
	if c.Nat {
		typ = "nat"
	}
	b = append32(b, unix.NFTA_CHAIN_POLICY, policy)
	return appendText(b, unix.NFTA_CHAIN_TYPE, typ)
}

// hookNumber is the kernel's (enum nf_inet_hooks), which counts in the same order from zero.
func hookNumber(h row.NftHook) uint32 { return uint32(h - row.NftPrerouting) }

// ruleData is what of a rule goes to the kernel: its expressions and, as user data, its body.
type ruleData struct{ exprs, user []byte }

func encodeRule(bridge bool, body row.NftBody) (d ruleData, err error) {
	wire := body.Wire()
	switch {
	case wire == "":
		return d, errEmptyRule
	case len(wire) > row.NftBodyMax:
		return d, errLongRule
	}
	if d.exprs, err = compile(bridge, body); err != nil {
		return d, err
	}
	d.user = append(comment(body, userdataMax-6-len(wire)), userdata(wire, d.exprs)...)
	return d, nil
}

// userdata is one entry of the form that the nft program skips when it doesn't know its type: type, length,
// then the checksum of the expressions and the body.
func userdata(wire string, exprs []byte) []byte {
	b := []byte{userdataType, byte(4 + len(wire))}
	b = binary.NativeEndian.AppendUint32(b, crc32.ChecksumIEEE(exprs))
	return append(b, wire...)
}

// readUserdata finds our entry and returns its checksum and content.
func readUserdata(b []byte) (sum uint32, content []byte, ok bool) {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		if n := 2 + int(b[1]); b[0] == userdataType && n >= 6 {
			return binary.NativeEndian.Uint32(b[2:]), b[6:n], true
		}
		b = b[2+int(b[1]):]
	}
	return 0, nil, false
}
