package row

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"time"
)

// The compact form of a statement is its Op, a bit set of the fields that follow, and those fields: numbers
// as varints, strings with their length before them. It need not be stable between versions: whoever leaves
// it somewhere keeps a checksum of what it meant beside it.

// The fields that may follow.
const (
	wireNot = 1 << iota
	wireKey
	wireNum
	wireSet
	wireChain
	wireMask
	wireLast // with the first seven a statement needs but one byte of bits
	wireData
	wireVia
	wireTimeout
	wirePrefix
	wireText
)

// The fields of a term.
const (
	wireV6 = 1 << iota
	wireMod
	wireSeed
	wireHash
)

var errNftWire = errors.New("a rule body that can't be read")

func (s NftStmt) wireBits() (bits uint64) {
	for bit, on := range [...]bool{
		s.Not, s.Key != NftKeyExpr{}, s.Num != 0, s.Set != "", s.Chain != "", s.Mask != 0, s.Last != 0,
		s.Data != NftKeyExpr{}, s.Via != "", s.Timeout != 0, s.Prefix != netip.Prefix{}, s.Text != "",
	} {
		if on {
			bits |= 1 << bit
		}
	}
	return bits
}

func (s NftStmt) appendWire(b []byte) []byte {
	bits := s.wireBits()
	b = binary.AppendUvarint(append(b, byte(s.Op)), bits)
	if bits&wireKey != 0 {
		b = s.Key.appendWire(b)
	}
	for _, n := range [...]uint32{s.Num, s.Last, s.Mask} {
		if n != 0 {
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	for _, t := range [...]string{s.Set, s.Chain, s.Via, s.Text} {
		if t != "" {
			b = append(binary.AppendUvarint(b, uint64(len(t))), t...)
		}
	}
	if bits&wireData != 0 {
		b = s.Data.appendWire(b)
	}
	if bits&wireTimeout != 0 {
		b = binary.AppendVarint(b, int64(s.Timeout))
	}
	if bits&wirePrefix != 0 {
		a := s.Prefix.Addr().AsSlice()
		b = append(append(append(b, byte(len(a))), a...), byte(s.Prefix.Bits()))
	}
	return b
}

func (k NftKeyExpr) appendWire(b []byte) []byte {
	n := 0
	for n < len(k) && k[n].Op != NftNoTerm {
		n++
	}
	b = append(b, byte(n))
	for _, t := range k[:n] {
		b = t.appendWire(b)
	}
	return b
}

func (t NftTerm) appendWire(b []byte) []byte {
	var bits byte
	for bit, on := range [...]bool{t.V6, t.Mod != 0, t.Seed != 0, t.Hash != NftHashFields{}} {
		if on {
			bits |= 1 << bit
		}
	}
	b = append(b, byte(t.Op), bits)
	for _, n := range [...]uint32{t.Mod, t.Seed} {
		if n != 0 {
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	if bits&wireHash != 0 {
		for _, op := range t.Hash {
			b = append(b, byte(op))
		}
	}
	return b
}

// wireReader takes the fields off again. After a short read everything reads as zero and bad is set.
type wireReader struct {
	rest string
	bad  bool
}

func nftReadStmts(wire string) (stmts []NftStmt, err error) {
	r := wireReader{rest: wire}
	for r.rest != "" && !r.bad {
		stmts = append(stmts, r.stmt())
	}
	if r.bad {
		return nil, errNftWire
	}
	return stmts, nil
}

func (r *wireReader) stmt() (s NftStmt) {
	s.Op = NftOp(r.byte())
	bits := r.uvarint()
	has := func(bit uint64) bool { return bits&bit != 0 }
	if r.bad = r.bad || s.Op == NftNop || s.Op > NftForeign || bits > wireText<<1-1; r.bad {
		return s
	}
	s.Not = has(wireNot)
	if has(wireKey) {
		s.Key = r.key()
	}
	s.Num, s.Last, s.Mask = r.num(has(wireNum)), r.num(has(wireLast)), r.num(has(wireMask))
	s.Set, s.Chain = r.text(has(wireSet)), r.text(has(wireChain))
	s.Via, s.Text = r.text(has(wireVia)), r.text(has(wireText))
	if has(wireData) {
		s.Data = r.key()
	}
	if has(wireTimeout) {
		s.Timeout = r.duration()
	}
	if has(wirePrefix) {
		addr, ok := netip.AddrFromSlice([]byte(r.take(int(r.byte()))))
		s.Prefix = netip.PrefixFrom(addr, int(r.byte()))
		r.bad = r.bad || !ok || !s.Prefix.IsValid()
	}
	return s
}

func (r *wireReader) key() (k NftKeyExpr) {
	n := int(r.byte())
	if r.bad = r.bad || n > len(k); r.bad {
		return k
	}
	for i := range n {
		k[i] = r.term()
	}
	return k
}

func (r *wireReader) term() (t NftTerm) {
	t.Op = NftTermOp(r.byte())
	bits := r.byte()
	t.V6 = bits&wireV6 != 0
	t.Mod, t.Seed = r.num(bits&wireMod != 0), r.num(bits&wireSeed != 0)
	if bits&wireHash != 0 {
		for i := range t.Hash {
			t.Hash[i] = NftTermOp(r.byte())
			r.bad = r.bad || t.Hash[i] >= NftNumRandom
		}
	}
	r.bad = r.bad || t.Op == NftNoTerm || t.Op > NftTermMost
	return t
}

func (r *wireReader) take(n int) string {
	if r.bad = r.bad || n < 0 || n > len(r.rest); r.bad {
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *wireReader) byte() byte {
	if s := r.take(1); s != "" {
		return s[0]
	}
	return 0
}

func (r *wireReader) uvarint() uint64 {
	var b [binary.MaxVarintLen64]byte
	n, size := binary.Uvarint(b[:copy(b[:], r.rest)])
	if r.bad = r.bad || size <= 0; r.bad {
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *wireReader) num(on bool) uint32 {
	if !on {
		return 0
	}
	n := r.uvarint()
	r.bad = r.bad || n > math.MaxUint32
	return uint32(n)
}

func (r *wireReader) text(on bool) string {
	if !on {
		return ""
	}
	return r.take(int(r.uvarint()))
}

func (r *wireReader) duration() time.Duration {
	n := r.uvarint() // zigzag, as binary.AppendVarint writes it
	return time.Duration(n>>1) ^ -time.Duration(n&1)
}
