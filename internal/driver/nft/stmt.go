package nft

import (
	"encoding/binary"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

func (p *program) stmt(s row.NftStmt) {
	switch {
	case s.Op < row.NftCounter:
		p.match(s)
	case s.Op < row.NftAccept:
		p.action(s)
	default:
		p.verdict(s)
	}
}

func (p *program) match(s row.NftStmt) {
	switch s.Op {
	case row.NftMatchNet:
		p.matchNet(s)
	case row.NftMatchNum:
		p.matchNum(s)
	case row.NftMatchRange:
		p.matchRange(s)
	case row.NftMatchName:
		p.matchName(s)
	case row.NftMatchState:
		p.emit(&expr.Ct{Key: expr.CtKeySTATE, Register: reg0})
		p.anyBit(s)
	case row.NftMatchStatus:
		p.emit(&expr.Ct{Key: expr.CtKeySTATUS, Register: reg0})
		p.anyBit(s)
	case row.NftMatchLocal:
		src := s.Key[0].Op == row.NftSaddr
		p.emit(&expr.Fib{Register: reg0, ResultADDRTYPE: true, FlagSADDR: src, FlagDADDR: !src},
			equal(s.Not, host(unix.RTN_LOCAL)))
	case row.NftLookup:
		if s.Via != "" {
			p.via(s, words(s.Key[:]...))
		}
		p.load(s.Key, 0)
		p.emit(&expr.Lookup{SetID: noSet, SourceRegister: reg0, SetName: s.Set, Invert: s.Not})
	default:
		p.fail(errTerm)
	}
}

// lookup gets the value that a map holds for the key.
func lookup(set string, key, value uint32) *expr.Lookup {
	return &expr.Lookup{SetID: noSet, SourceRegister: key, DestRegister: value, IsDestRegSet: true, SetName: set}
}

// anyBit matches a host-order number that has one of the bits Num.
func (p *program) anyBit(s row.NftStmt) {
	p.emit(&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: host(s.Num), Xor: host(0)},
		equal(!s.Not, host(0)))
}

func (p *program) matchNet(s row.NftStmt) {
	t, addr := s.Key[0], s.Prefix.Masked().Addr()
	if width(t) != len(addr.AsSlice()) || t.V6 != addr.Is6() {
		p.fail(errTerm)
		return
	}
	data, bits := addr.AsSlice(), s.Prefix.Bits()
	if t.Op != row.NftCtDaddr && t.Op != row.NftCtSaddr && t.Op != row.NftNextHop && bits > 0 && bits%8 == 0 {
		p.needFamily(t.V6)
		p.emit(payload(t, reg0, bits/8), equal(s.Not, data[:bits/8]))
		return
	}
	p.load(row.NftKeyOf(t), 0)
	if bits < len(data)*8 {
		mask := make([]byte, len(data))
		for i := range bits {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		p.emit(&expr.Bitwise{
			SourceRegister: reg0, DestRegister: reg0, Len: uint32(len(data)), Mask: mask, Xor: make([]byte, len(data)),
		})
	}
	p.emit(equal(s.Not, data))
}

// number is n as the term holds it: ports in network order, longer numbers in host order.
func (p *program) number(t row.NftTerm, n uint32) []byte {
	switch w := width(t); {
	case w == 1 && n < 1<<8:
		return []byte{byte(n)}
	case w == 2 && n < 1<<16:
		return binary.BigEndian.AppendUint16(nil, uint16(n))
	case w == 4 && t.Op != row.NftSaddr && t.Op != row.NftDaddr && t.Op != row.NftCtDaddr && t.Op != row.NftCtSaddr && t.Op != row.NftNextHop:
		return host(n)
	}
	p.fail(errTerm)
	return nil
}

func host(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func (p *program) matchNum(s row.NftStmt) {
	t := s.Key[0]
	data := p.number(t, s.Num)
	whole := !s.Not && s.Mask == 0
	switch {
	case t.Op == row.NftNfproto && whole && p.family == 0:
		p.family = byte(s.Num)
	case t.Op == row.NftL4proto && whole && p.proto == -1:
		p.proto = int(s.Num)
	}
	p.load(row.NftKeyOf(t), 0)
	if s.Mask != 0 {
		p.emit(&expr.Bitwise{
			SourceRegister: reg0, DestRegister: reg0, Len: uint32(len(data)),
			Mask: p.number(t, s.Mask), Xor: make([]byte, len(data)),
		})
	}
	p.emit(equal(s.Not, data))
}

func (p *program) matchRange(s row.NftStmt) {
	t := s.Key[0]
	from, to := p.number(t, s.Num), p.number(t, s.Last)
	p.load(row.NftKeyOf(t), 0)
	if len(from) == 4 {
		// The kernel compares bytes, so a number in host order is turned first.
		p.emit(&expr.Byteorder{SourceRegister: reg0, DestRegister: reg0, Op: expr.ByteorderHton, Len: 4, Size: 4})
		from, to = binary.BigEndian.AppendUint32(nil, s.Num), binary.BigEndian.AppendUint32(nil, s.Last)
	}
	op := expr.CmpOpEq
	if s.Not {
		op = expr.CmpOpNeq
	}
	p.emit(&expr.Range{Op: op, Register: reg0, FromData: from, ToData: to})
}

func (p *program) matchName(s row.NftStmt) {
	start, wild := strings.CutSuffix(s.Text, "*")
	if t := s.Key[0].Op; t != row.NftIif && t != row.NftOif || start == "" || len(start) >= unix.IFNAMSIZ {
		p.fail(errTerm)
		return
	}
	data := []byte(start)
	if !wild {
		data = make([]byte, unix.IFNAMSIZ)
		copy(data, start)
	}
	p.load(row.NftKeyOf(s.Key[0]), 0)
	p.emit(equal(s.Not, data))
}

func (p *program) action(s row.NftStmt) {
	switch s.Op {
	case row.NftCounter:
		p.emit(&expr.Counter{})
	case row.NftLog:
		p.emit(logTo(s))
	case row.NftLimit:
		p.emit(&expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(s.Num), Unit: expr.LimitTimeMinute, Burst: s.Last})
	case row.NftSetMark:
		p.emit(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0}, setBits(s),
			&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0, SourceRegister: true})
	case row.NftSetCtMark:
		p.emit(&expr.Ct{Key: expr.CtKeyMARK, Register: reg0}, setBits(s),
			&expr.Ct{Key: expr.CtKeyMARK, Register: reg0, SourceRegister: true})
	case row.NftUpdate, row.NftForget:
		p.update(s)
	case row.NftNotrack:
		p.emit(&expr.Notrack{})
	case row.NftMSS:
		p.emit(&expr.Immediate{Register: reg0, Data: binary.BigEndian.AppendUint16(nil, uint16(s.Num))},
			&expr.Exthdr{SourceRegister: reg0, Type: tcpOptMSS, Offset: 2, Len: 2, Op: expr.ExthdrOpTcpopt})
	case row.NftSetField:
		p.setField(s)
	default:
		p.nat(s)
	}
}

func logTo(s row.NftStmt) *expr.Log {
	e := &expr.Log{
		Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX, Group: uint16(s.Num), Data: []byte(s.Text),
	}
	if s.Last != 0 {
		e.Key |= 1 << unix.NFTA_LOG_SNAPLEN
		e.Snaplen = s.Last
	}
	return e
}

// setBits computes mark & ^Mask | Num as the kernel's (mark & mask) ^ xor.
func setBits(s row.NftStmt) *expr.Bitwise {
	return &expr.Bitwise{
		SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: host(^(s.Mask | s.Num)), Xor: host(s.Num),
	}
}

// update loads the data first: looking them up takes a key longer than they are, and both that and the key
// behind it would not fit into the registers for IPv6. The key goes to the registers' end.
func (p *program) update(s row.NftStmt) {
	e := &expr.Dynset{SetID: noSet, SetName: s.Set, Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: s.Timeout}
	at := regCount - words(s.Key[:]...)
	if at < 0 {
		p.fail(errRegisters)
		return
	}
	e.SrcRegKey = uint32(reg0 + at)
	p.need(s.Key)
	switch {
	case s.Op == row.NftForget:
		// The kernel wants a register for the data of a map's element, and then doesn't look at them. The nft program does.
		p.load(row.NftKeyOf(row.NftTerm{Op: row.NftSaddr, V6: s.Key.V6()}, row.NftTerm{Op: row.NftSport}), 0)
		e.Operation, e.SrcRegData = dynsetDelete, reg0
	case s.Via != "":
		p.via(s, 1)
		e.SrcRegData = reg0 + 1
	case s.Data != row.NftKeyExpr{}:
		p.load(s.Data, 0)
		e.SrcRegData = reg0
	}
	p.load(s.Key, at)
	p.emit(e)
}

func (p *program) nat(s row.NftStmt) {
	switch s.Op {
	case row.NftMasquerade:
		p.emit(&expr.Masq{FullyRandom: true})
	case row.NftSnatTo:
		addr := s.Prefix.Addr()
		if !addr.IsValid() {
			p.needFamily(s.Key.V6())
			p.load(s.Key, 0)
			p.emit(&expr.NAT{Type: expr.NATTypeSourceNAT, Family: uint32(p.family), RegAddrMin: reg0, FullyRandom: s.Num == 1})
			return
		}
		p.needFamily(addr.Is6())
		p.emit(&expr.Immediate{Register: reg0, Data: addr.AsSlice()},
			&expr.NAT{Type: expr.NATTypeSourceNAT, Family: uint32(p.family), RegAddrMin: reg0, FullyRandom: s.Num == 1})
	case row.NftDnatTo:
		p.needFamily(s.Key.V6())
		p.load(s.Key, 0)
		e := &expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(p.family), RegAddrMin: reg0}
		if s.Set == "" {
			p.emit(e)
			return
		}
		if s.Num != 1 {
			e.RegProtoMin = reg0 + 1
			if s.Key.V6() {
				e.RegProtoMin = reg0 + 4
			}
		}
		p.emit(lookup(s.Set, reg0, reg0), e)
	case row.NftVmap:
		if s.Via != "" {
			p.via(s, 1)
			p.emit(lookup(s.Set, reg0+1, unix.NFT_REG_VERDICT))
			return
		}
		p.load(s.Key, 0)
		p.emit(lookup(s.Set, reg0, unix.NFT_REG_VERDICT))
	case row.NftMarkFrom:
		p.load(s.Key, 0)
		p.emit(lookup(s.Set, reg0, reg0), &expr.Meta{Key: expr.MetaKeyMARK, Register: reg0, SourceRegister: true})
	default:
		p.fail(errTerm)
	}
}

func (p *program) verdict(s row.NftStmt) {
	switch s.Op {
	case row.NftReject:
		if s.Num == 1 {
			p.needProto(unix.IPPROTO_TCP)
			p.emit(&expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
			return
		}
		p.emit(&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: icmpxPort})
	case row.NftQueue:
		p.emit(queueTo(s))
	case row.NftRejectAdmin:
		p.emit(&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: icmpxAdmin})
	default:
		kind, ok := verdictOf(s.Op)
		if !ok {
			p.fail(errTerm)
			return
		}
		p.emit(&expr.Verdict{Kind: kind, Chain: s.Chain})
	}
}

// queueTo hands a packet to whoever listens, and lets it pass where nobody does.
func queueTo(s row.NftStmt) expr.Any {
	if s.Mask == 0 {
		return &expr.Queue{Num: uint16(s.Num), Total: 1, Flag: expr.QueueFlagBypass}
	}
	// struct xt_NFQ_info_v3 (linux/netfilter/xt_NFQUEUE.h): number, how many, flags; padded to eight bytes.
	info := make(xt.Unknown, 0, 8)
	for _, n := range []uint16{uint16(s.Num), 1, 1, 0} {
		info = binary.NativeEndian.AppendUint16(info, n)
	}
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &info}
}

// verdictOf gives the kernel's code of a verdict.
func verdictOf(op row.NftOp) (expr.VerdictKind, bool) {
	switch op {
	case row.NftAccept:
		return expr.VerdictAccept, true
	case row.NftDropPkt:
		return expr.VerdictDrop, true
	case row.NftReturn:
		return expr.VerdictReturn, true
	case row.NftJumpTo:
		return expr.VerdictJump, true
	case row.NftGotoChain:
		return expr.VerdictGoto, true
	}
	return 0, false
}

// opOf is the reverse of verdictOf.
func opOf(kind expr.VerdictKind) row.NftOp {
	for op := row.NftAccept; op <= row.NftGotoChain; op++ {
		if k, _ := verdictOf(op); k == kind {
			return op
		}
	}
	return row.NftNop
}
