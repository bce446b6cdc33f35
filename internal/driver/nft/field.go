package nft

import (
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Where headers have their checksums (RFC 791, RFC 9293).
const (
	ipv4ChecksumOffset = 10
	tcpChecksumOffset  = 16
)

// setField writes a header field as the nft program does: with the checksum of its own header, and of an address
// with that of the header behind it, which covers addresses too (the pseudo header of RFC 9293, section 3.1).
func (p *program) setField(s row.NftStmt) {
	field, value := s.Key[0], s.Data[0]
	if w := width(field); w == 0 || w != width(value) || field.V6 != value.V6 {
		p.fail(errTerm)
		return
	}
	kind, offset, flags := uint32(unix.NFT_PAYLOAD_CSUM_INET), uint32(ipv4ChecksumOffset), uint32(unix.NFT_PAYLOAD_L4CSUM_PSEUDOHDR)
	switch {
	case field.Op == row.NftDport:
		p.needProto(unix.IPPROTO_TCP)
		offset, flags = tcpChecksumOffset, 0
	case field.Op == row.NftDaddr && field.V6:
		kind, offset = unix.NFT_PAYLOAD_CSUM_NONE, 0 // IPv6 has none of its own
	case field.Op != row.NftDaddr:
		p.fail(errTerm)
		return
	}
	p.need(row.NftKeyOf(field))
	p.load(row.NftKeyOf(value), 0)
	p.writePayload(payload(field, 0, width(field)), kind, offset, flags)
}
