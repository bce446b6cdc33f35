package nft

import (
	"encoding/binary"
	"errors"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Registers are counted in 32 bits from NFT_REG32_00; there are sixteen.
const (
	reg0     = unix.NFT_REG32_00
	regCount = 16
)

const (
	dynsetDelete    = 2 // NFT_DYNSET_OP_DELETE
	icmpxPort       = 1 // NFT_REJECT_ICMPX_PORT_UNREACH
	icmpxAdmin      = 3 // NFT_REJECT_ICMPX_ADMIN_PROHIBITED
	tcpOptMSS       = 2 // RFC 9293
	tcpFlagsOffset  = 13
	sctpChunkOffset = 12
	ctDirOriginal   = 0 // IP_CT_DIR_ORIGINAL
)

// noSet is the number of no set. Sets are found by name, but one that isn't there is looked for by number
// in the same transaction, where zero is the number of every set that was there already.
const noSet = 0xffffffff

var (
	errFamilies  = errors.New("a rule can't match both IPv4 and IPv6")
	errProtocol  = errors.New("a port needs its protocol matched before, or in the same key")
	errProtocols = errors.New("a rule can't match several protocols")
	errRegisters = errors.New("a key that is longer than the registers")
	errTerm      = errors.New("a term that doesn't fit the statement")
)

// program is the rule that is being put together, and what is known of a packet that got so far.
type program struct {
	out    []byte // NFTA_LIST_ELEM attributes
	err    error
	bridge bool // in family bridge, where packets are frames
	family byte // NFPROTO_IPV4 or IPV6; 0: not known
	proto  int  // of the transport layer; -1: not known
	ports  bool // the protocol has been looked at, so ports may be
}

// compile turns a body into the list of expressions of an NFTA_RULE_EXPRESSIONS attribute.
func compile(bridge bool, body row.NftBody) ([]byte, error) {
	p := program{proto: -1, bridge: bridge}
	for _, s := range body.Stmts() {
		p.stmt(s)
		if p.err != nil {
			return nil, p.err
		}
	}
	return p.out, nil
}

func (p *program) emit(exprs ...expr.Any) {
	for _, e := range exprs {
		b, err := expr.Marshal(familyOf(p.bridge), e)
		p.fail(err)
		p.out = appendAttr(p.out, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, b)
	}
}

func (p *program) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// needFamily makes sure that the packet is of the family.
func (p *program) needFamily(v6 bool) {
	want := byte(unix.NFPROTO_IPV4)
	if v6 {
		want = unix.NFPROTO_IPV6
	}
	switch p.family {
	case want:
		return
	case 0:
		p.family = want
		if p.bridge { // where meta nfproto is NFPROTO_BRIDGE
			p.needEtherType(map[bool]uint16{false: unix.ETH_P_IP, true: unix.ETH_P_IPV6}[v6])
			return
		}
		p.emit(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg0}, equal(false, []byte{want}))
	default:
		p.fail(errFamilies)
	}
}

// needEtherType makes sure that the frame carries that and nothing before it.
func (p *program) needEtherType(typ uint16) {
	p.emit(payload(row.NftTerm{Op: row.NftEthertype}, reg0, 2), equal(false, binary.BigEndian.AppendUint16(nil, typ)))
}

// needProto makes sure that the packet is of the transport protocol.
func (p *program) needProto(proto int) {
	switch p.proto {
	case proto:
		return
	case -1:
		p.proto, p.ports = proto, true
		p.emit(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg0}, equal(false, []byte{byte(proto)}))
	default:
		p.fail(errProtocols)
	}
}

func equal(not bool, data []byte) *expr.Cmp {
	if not {
		return &expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: data}
	}
	return &expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: data}
}

// need matches whatever the terms presume, before any of them is loaded.
func (p *program) need(k row.NftKeyExpr) {
	for _, t := range k {
		p.ports = p.ports || t.Op == row.NftL4proto
	}
	for _, t := range k {
		p.needTerm(t)
		for _, op := range t.Hash {
			p.needTerm(row.NftTerm{Op: op, V6: t.V6})
		}
	}
}

func (p *program) needTerm(t row.NftTerm) {
	switch t.Op {
	case row.NftSaddr, row.NftDaddr, row.NftTTL:
		p.needFamily(t.V6)
	case row.NftSport, row.NftDport:
		if !p.ports {
			p.fail(errProtocol)
		}
	case row.NftTCPFlags:
		p.needProto(unix.IPPROTO_TCP)
	case row.NftSCTPChunk:
		p.needProto(unix.IPPROTO_SCTP)
	case row.NftArpSaddr:
		p.needEtherType(unix.ETH_P_ARP)
	case row.NftNDTarget:
		p.needProto(unix.IPPROTO_ICMPV6)
	case row.NftICMPType, row.NftICMPCode:
		if t.V6 {
			p.needProto(unix.IPPROTO_ICMPV6)
		} else {
			p.needProto(unix.IPPROTO_ICMP)
		}
	}
}

// width is the size of a term in bytes.
func width(t row.NftTerm) int {
	switch t.Op {
	case row.NftSaddr, row.NftDaddr, row.NftCtDaddr, row.NftCtSaddr, row.NftNextHop:
		if t.V6 {
			return 16
		}
		return 4
	case row.NftNDTarget:
		return 16
	case row.NftEtherSaddr:
		return 6
	case row.NftIif, row.NftOif:
		return unix.IFNAMSIZ
	case row.NftSport, row.NftDport, row.NftCtDport, row.NftEthertype:
		return 2
	case row.NftNfproto, row.NftL4proto, row.NftICMPType, row.NftICMPCode, row.NftTCPFlags, row.NftSCTPChunk, row.NftCtDir, row.NftTTL:
		return 1
	case row.NftNoTerm:
		return 0
	}
	return 4
}

// load puts the key into the registers from number at on, and returns the number of the one behind it.
func (p *program) load(k row.NftKeyExpr, at int) int {
	p.need(k)
	for _, t := range k {
		p.loadTerm(t, at)
		at += (width(t) + 3) / 4
	}
	if at > regCount {
		p.fail(errRegisters)
	}
	return at
}

func (p *program) loadTerm(t row.NftTerm, at int) {
	dst := uint32(reg0 + at)
	switch t.Op {
	case row.NftNoTerm:
	case row.NftSaddr, row.NftDaddr, row.NftSport, row.NftDport, row.NftICMPType, row.NftICMPCode, row.NftTCPFlags, row.NftSCTPChunk,
		row.NftEtherSaddr, row.NftEthertype, row.NftArpSaddr, row.NftNDTarget, row.NftTTL:
		p.emit(payload(t, dst, width(t)))
	case row.NftNfproto:
		p.emit(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: dst})
	case row.NftL4proto:
		p.emit(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: dst})
	case row.NftPktMark:
		p.emit(&expr.Meta{Key: expr.MetaKeyMARK, Register: dst})
	case row.NftIif:
		p.emit(&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: dst})
	case row.NftOif:
		p.emit(&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: dst})
	case row.NftCtMark:
		p.emit(&expr.Ct{Key: expr.CtKeyMARK, Register: dst})
	case row.NftCtDir:
		p.emit(&expr.Ct{Key: expr.CtKeyDIRECTION, Register: dst})
	case row.NftCtDport:
		p.emit(&expr.Ct{Key: expr.CtKeyPROTODST, Register: dst})
	case row.NftCtDaddr, row.NftCtSaddr:
		p.loadCtAddr(t, dst)
	case row.NftNextHop:
		key := expr.RtKey(unix.NFT_RT_NEXTHOP4)
		if t.V6 {
			key = unix.NFT_RT_NEXTHOP6
		}
		p.emit(&expr.Rt{Register: dst, Key: key})
	case row.NftNumRandom:
		p.emit(&expr.Numgen{Register: dst, Modulus: t.Mod, Type: unix.NFT_NG_RANDOM})
	case row.NftNumInc:
		p.emit(&expr.Numgen{Register: dst, Modulus: t.Mod, Type: unix.NFT_NG_INCREMENTAL})
	case row.NftHash:
		p.loadHash(t, at)
	default:
		p.fail(errTerm)
	}
}

func payload(t row.NftTerm, dst uint32, size int) *expr.Payload {
	e := &expr.Payload{DestRegister: dst, Len: uint32(size), Base: expr.PayloadBaseTransportHeader}
	switch t.Op {
	case row.NftDport:
		e.Offset = 2
	case row.NftICMPCode:
		e.Offset = 1
	case row.NftTCPFlags:
		e.Offset = tcpFlagsOffset
	case row.NftSCTPChunk:
		e.Offset = sctpChunkOffset
	case row.NftEtherSaddr, row.NftEthertype:
		e.Base, e.Offset = expr.PayloadBaseLLHeader, 6
		if t.Op == row.NftEthertype {
			e.Offset = 12
		}
	case row.NftArpSaddr:
		e.Base, e.Offset = expr.PayloadBaseNetworkHeader, 14
	case row.NftNDTarget:
		e.Offset = 8
	case row.NftTTL:
		e.Base, e.Offset = expr.PayloadBaseNetworkHeader, 8
		if t.V6 {
			e.Offset = 7
		}
	case row.NftSaddr, row.NftDaddr:
		e.Base, e.Offset = expr.PayloadBaseNetworkHeader, 12
		if t.V6 {
			e.Offset = 8
		}
		if t.Op == row.NftDaddr {
			e.Offset += uint32(width(t))
		}
	}
	return e
}

// loadCtAddr is written out because the library knows the keys with a family (Linux 4.17) without their
// direction; in family inet the ones that it does know always take sixteen bytes.
func (p *program) loadCtAddr(t row.NftTerm, dst uint32) {
	key := map[row.NftTerm]uint32{
		{Op: row.NftCtDaddr}: unix.NFT_CT_DST_IP, {Op: row.NftCtDaddr, V6: true}: unix.NFT_CT_DST_IP6,
		{Op: row.NftCtSaddr}: unix.NFT_CT_SRC_IP, {Op: row.NftCtSaddr, V6: true}: unix.NFT_CT_SRC_IP6,
	}[t]
	var data []byte
	data = appendAttr(data, unix.NFTA_CT_KEY, binary.BigEndian.AppendUint32(nil, key))
	data = appendAttr(data, unix.NFTA_CT_DREG, binary.BigEndian.AppendUint32(nil, dst))
	data = appendAttr(data, unix.NFTA_CT_DIRECTION, []byte{ctDirOriginal})
	e := appendAttr(nil, unix.NFTA_EXPR_NAME, []byte("ct\x00"))
	e = appendAttr(e, unix.NFTA_EXPR_DATA|unix.NLA_F_NESTED, data)
	p.out = appendAttr(p.out, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, e)
}

// writePayload is written out because the library leaves the flags out where the header has no checksum of its own.
func (p *program) writePayload(at *expr.Payload, csum, offset, flags uint32) {
	var data []byte
	for _, a := range []struct {
		kind  uint16
		value uint32
	}{
		{unix.NFTA_PAYLOAD_SREG, reg0}, {unix.NFTA_PAYLOAD_BASE, uint32(at.Base)}, {unix.NFTA_PAYLOAD_OFFSET, at.Offset},
		{unix.NFTA_PAYLOAD_LEN, at.Len}, {unix.NFTA_PAYLOAD_CSUM_TYPE, csum}, {unix.NFTA_PAYLOAD_CSUM_OFFSET, offset},
		{unix.NFTA_PAYLOAD_CSUM_FLAGS, flags},
	} {
		data = appendAttr(data, a.kind, binary.BigEndian.AppendUint32(nil, a.value))
	}
	e := appendAttr(nil, unix.NFTA_EXPR_NAME, []byte("payload\x00"))
	e = appendAttr(e, unix.NFTA_EXPR_DATA|unix.NLA_F_NESTED, data)
	p.out = appendAttr(p.out, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, e)
}

// loadHash loads the fields where the hash is to be: the kernel has read them when it writes it.
func (p *program) loadHash(t row.NftTerm, at int) {
	end := at
	for _, op := range t.Hash {
		f := row.NftTerm{Op: op, V6: t.V6}
		p.loadTerm(f, end)
		end += (width(f) + 3) / 4
	}
	if end > regCount {
		p.fail(errRegisters)
	}
	reg := uint32(reg0 + at)
	p.emit(&expr.Hash{
		SourceRegister: reg, DestRegister: reg, Length: uint32(4 * (end - at)), Modulus: t.Mod, Seed: t.Seed,
		Type: expr.HashTypeJenkins,
	})
}
