package row

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// NftOp is what one statement of a rule does.
type NftOp uint8

// The statements: first the matches, then what is done with a packet that matched, then the verdicts.
//
// Whatever a statement presumes of the packet is matched by the driver if no statement before it did: the
// family of an address (by V6), TCP for TCP flags and reset, ICMP for its type. Ports alone need the
// protocol said before (NftMatchNum of NftL4proto) or in the same key, or the rule is refused.
const (
	NftNop         NftOp = iota
	NftMatchNet          // Key[0] (an address) in Prefix
	NftMatchNum          // Key[0] (anything of up to 32 bits), under Mask if not zero, equals Num
	NftMatchRange        // Key[0] from Num to Last
	NftMatchName         // Key[0] (an interface) is Text; a trailing * matches the rest
	NftMatchState        // ct state has one of the bits Num (NftStateNew …)
	NftMatchStatus       // ct status has one of the bits Num (NftStatusDNAT …)
	NftMatchLocal        // Key[0] (an address) is of fib type local
	NftLookup            // Key in @Set; with Via: Key . (Data map @Via) in @Set
	NftCounter           // count packets and bytes
	NftLog               // log to group Num with prefix Text, Last bytes of the packet (0: all)
	NftLimit             // at most Num per minute, burst Last
	NftSetMark           // packet mark = mark & ^Mask | Num
	NftSetCtMark         // conntrack mark = mark & ^Mask | Num
	NftUpdate            // update dynamic @Set { Key timeout Timeout : data }; data is Data, or Data map @Via; a set has none
	NftForget            // delete Key from @Set, a dynamic map (Linux 5.4)
	NftNotrack           // bypass conntrack
	NftMSS               // lower the TCP MSS option to Num where it is more
	NftDnatTo            // dnat to Key map @Set, whose values are address . port, or an address where Num is 1; without Set to Key, an address
	NftSnatTo            // snat to Prefix's address, or without one to Key, an address; fully-random where Num is 1
	NftMasquerade        // masquerade fully-random
	NftVmap              // Key vmap @Set; with Via: (Data map @Via) vmap @Set
	NftMarkFrom          // packet mark = what map @Set has for Key; no value: no match
	NftSetField          // header field Key[0] (daddr or dport, of TCP) = Data[0]; checksums follow
	NftAccept
	NftDropPkt
	NftReturn
	NftJumpTo      // jump Chain
	NftGotoChain   // goto Chain
	NftReject      // icmpx port-unreachable, tcp reset for TCP where Num is 1
	NftRejectAdmin // icmpx admin-prohibited
	NftQueue       // queue flags bypass to Num; where Mask is 1 by the target of xtables, for kernels that have no other
	NftForeign     // in dumps only: a rule that is not ours, told by Text
)

// Bits of NftMatchState and NftMatchStatus, as nft and the kernel number them.
const (
	NftStateInvalid     = 1
	NftStateEstablished = 2
	NftStateRelated     = 4
	NftStateNew         = 8
	NftStateUntracked   = 64
	NftStatusSNAT       = 16
	NftStatusDNAT       = 32
)

// NftTermOp is a value that a packet has.
type NftTermOp uint8

// The terms of which lookup keys are made.
const (
	NftNoTerm NftTermOp = iota
	NftSaddr
	NftDaddr
	NftNfproto
	NftL4proto
	NftSport
	NftDport
	NftICMPType  // icmp type, or icmpv6 type when V6
	NftTCPFlags  // the byte of TCP flags
	NftPktMark   // meta mark, host order
	NftCtMark    // ct mark
	NftIif       // meta iifname
	NftOif       // meta oifname
	NftCtDaddr   // ct original daddr
	NftCtDport   // ct original proto-dst
	NftCtDir     // ct direction: 0 original, 1 reply
	NftNumRandom // numgen random mod Mod
	NftNumInc    // numgen inc mod Mod
	NftHash      // jhash of Hash's fields mod Mod with Seed
	NftSCTPChunk // the type of an SCTP packet's first chunk (RFC 9260, section 3.2)

	// Of frames, in family bridge alone.
	NftEtherSaddr // the sender's Ethernet address
	NftEthertype  // what the frame says it carries; of one with a VLAN tag it is the tag's type
	NftArpSaddr   // the address that an ARP packet for Ethernet and IPv4 says is the sender's (RFC 826)
	NftNDTarget   // the target of a neighbour solicitation or advertisement (RFC 4861, section 4.3)

	NftTTL     // the TTL, or the hop limit when V6
	NftCtSaddr // ct original saddr
	NftNextHop // rt nexthop: whom the packet goes to next, by the route that it has; without a router its own destination

	NftICMPCode // icmp code, or icmpv6 code when V6
)

// NftTermMost is the last term that there is.
const NftTermMost = NftICMPCode

// NftTerm is one term of a key. V6 tells the family of addresses.
type NftTerm struct {
	Op   NftTermOp
	V6   bool
	Mod  uint32
	Seed uint32
	Hash NftHashFields
}

// NftHashFields are the fields that a hash reads, ended by NftNoTerm.
type NftHashFields [4]NftTermOp

// NftKeyExpr is a concatenation of terms, ended by an empty one.
type NftKeyExpr [6]NftTerm

// NftKeyOf makes a concatenation.
func NftKeyOf(t ...NftTerm) (k NftKeyExpr) {
	if copy(k[:], t) < len(t) {
		panic("row: too many terms")
	}
	return k
}

// NftStmt is one statement of a rule. Which fields count is told by Op.
//
// Via is a map of backends (addresses and ports) or, in NftVmap, of three numbers. The nft program can't print such a look-up and shows
// other values of the packet in its place, with a comment (driver/nft, via.go).
type NftStmt struct {
	Op      NftOp
	Not     bool // the match is negated
	Key     NftKeyExpr
	Data    NftKeyExpr // data of NftUpdate on a map; with Via: the key to look up in map Via first
	Via     string     // a map: the value that it holds for Data is used in Data's place; no value: no match
	Num     uint32
	Last    uint32
	Mask    uint32
	Timeout time.Duration
	Prefix  netip.Prefix
	Set     string
	Chain   string
	Text    string
}

// String prints the statement as nft does.
func (s NftStmt) String() string {
	if s.Op < NftCounter {
		return s.match()
	}
	if s.Op < NftAccept {
		return s.action()
	}
	switch s.Op {
	case NftAccept:
		return "accept"
	case NftDropPkt:
		return "drop"
	case NftReturn:
		return "return"
	case NftJumpTo:
		return "jump " + s.Chain
	case NftGotoChain:
		return "goto " + s.Chain
	case NftRejectAdmin:
		return "reject with icmpx admin-prohibited"
	case NftQueue:
		return fmt.Sprintf("queue flags bypass to %d", s.Num)
	case NftForeign:
		return "# not ours: " + s.Text
	}
	if s.Num == 1 {
		return "reject with tcp reset"
	}
	return "reject with icmpx port-unreachable"
}

func (s NftStmt) match() string {
	eq, neg, none := " ", "", ""
	if s.Not {
		eq, neg, none = " != ", "!= ", "! "
	}
	key := s.Key.String()
	if s.Mask != 0 {
		key += fmt.Sprintf(" & 0x%x", s.Mask)
		eq = " == "
		if s.Not {
			eq = " != "
		}
	}
	switch s.Op {
	case NftMatchNet:
		return key + eq + nftPrefix(s.Prefix)
	case NftMatchNum:
		return key + eq + s.Key[0].value(s.Num)
	case NftMatchRange:
		return fmt.Sprintf("%s%s%d-%d", key, eq, s.Num, s.Last)
	case NftMatchName:
		return key + eq + strconv.Quote(s.Text)
	case NftMatchState:
		return "ct state " + none + bits(s.Num, map[uint32]string{1: "invalid", 2: "established", 4: "related", 8: "new", 64: "untracked"})
	case NftMatchStatus:
		return "ct status " + none + bits(s.Num, map[uint32]string{16: "snat", 32: "dnat"})
	case NftMatchLocal:
		dir := "daddr"
		if s.Key[0].Op == NftSaddr {
			dir = "saddr"
		}
		return "fib " + dir + " type " + neg + "local"
	case NftLookup:
		if s.Via != "" {
			key += " . ( " + s.data() + " )"
		}
		return key + eq + "@" + s.Set
	}
	return ""
}

func (s NftStmt) action() string {
	switch s.Op {
	case NftCounter:
		return "counter"
	case NftLog:
		if s.Last != 0 {
			return fmt.Sprintf("log prefix %q group %d snaplen %d", s.Text, s.Num, s.Last)
		}
		return fmt.Sprintf("log prefix %q group %d", s.Text, s.Num)
	case NftLimit:
		return fmt.Sprintf("limit rate %d/minute burst %d packets", s.Num, s.Last)
	case NftSetMark:
		return fmt.Sprintf("meta mark set meta mark & 0x%x | 0x%x", ^s.Mask, s.Num)
	case NftSetCtMark:
		return fmt.Sprintf("ct mark set ct mark & 0x%x | 0x%x", ^s.Mask, s.Num)
	case NftUpdate:
		return s.update()
	case NftForget:
		return "delete @" + s.Set + " { " + s.Key.String() + " }"
	case NftNotrack:
		return "notrack"
	case NftMSS:
		return fmt.Sprintf("tcp option maxseg size set %d", s.Num)
	case NftDnatTo:
		if s.Set == "" {
			return fmt.Sprintf("dnat %s to %s", family(s.Key.V6()), s.Key)
		}
		return fmt.Sprintf("dnat %s to %s map @%s", family(s.Key.V6()), s.Key, s.Set)
	case NftSnatTo:
		text := fmt.Sprintf("snat %s to %s", family(s.Key.V6()), s.Key)
		if s.Prefix.IsValid() {
			text = "snat " + family(s.Prefix.Addr().Is6()) + " to " + s.Prefix.Addr().String()
		}
		if s.Num == 1 {
			text += " fully-random"
		}
		return text
	case NftMasquerade:
		return "masquerade fully-random"
	case NftMarkFrom:
		return fmt.Sprintf("meta mark set %s map @%s", s.Key, s.Set)
	case NftSetField:
		return fmt.Sprintf("%s set %s", s.Key, s.Data)
	}
	if s.Via != "" {
		return fmt.Sprintf("( %s ) vmap @%s", s.data(), s.Set)
	}
	return fmt.Sprintf("%s vmap @%s", s.Key, s.Set)
}

func (s NftStmt) update() string {
	text := "update @" + s.Set + " { " + s.Key.String()
	if s.Timeout > 0 {
		text += " timeout " + s.Timeout.String()
	}
	if s.Data != (NftKeyExpr{}) {
		text += " : " + s.data()
	}
	return text + " }"
}

// data prints Data, or the look-up of it that stands in its place.
func (s NftStmt) data() string {
	if s.Via == "" {
		return s.Data.String()
	}
	return s.Data.String() + " map @" + s.Via
}

// V6 tells whether the key is of IPv6 packets: whether any of its terms is.
func (k NftKeyExpr) V6() bool {
	for _, t := range k {
		if t.V6 {
			return true
		}
	}
	return false
}

// String prints "ip daddr . meta l4proto . th dport".
func (k NftKeyExpr) String() string {
	var parts []string
	for _, t := range k {
		if t.Op == NftNoTerm {
			break
		}
		parts = append(parts, t.String())
	}
	return strings.Join(parts, " . ")
}

// String prints the term as nft does.
func (t NftTerm) String() string {
	ip, icmp := family(t.V6), "icmp"
	if t.V6 {
		icmp = "icmpv6"
	}
	switch t.Op {
	case NftSaddr, NftDaddr:
		return ip + " " + [...]string{"saddr", "daddr"}[t.Op-NftSaddr]
	case NftICMPType:
		return icmp + " type"
	case NftICMPCode:
		return icmp + " code"
	case NftTTL:
		return ip + map[bool]string{false: " ttl", true: " hoplimit"}[t.V6]
	case NftCtDaddr:
		return "ct original " + ip + " daddr"
	case NftCtSaddr:
		return "ct original " + ip + " saddr"
	case NftNextHop:
		return "rt " + ip + " nexthop"
	case NftNumRandom:
		return fmt.Sprintf("numgen random mod %d", t.Mod)
	case NftNumInc:
		return fmt.Sprintf("numgen inc mod %d", t.Mod)
	case NftHash:
		var parts []string
		for _, op := range t.Hash {
			if op != NftNoTerm {
				parts = append(parts, NftTerm{Op: op, V6: t.V6}.String())
			}
		}
		return fmt.Sprintf("jhash %s mod %d seed 0x%x", strings.Join(parts, " . "), t.Mod, t.Seed)
	}
	return nftTerms[t.Op]
}

var nftTerms = [...]string{
	NftNfproto: "meta nfproto", NftL4proto: "meta l4proto", NftSport: "th sport", NftDport: "th dport",
	NftTCPFlags: "tcp flags", NftPktMark: "meta mark", NftCtMark: "ct mark", NftIif: "iifname",
	NftOif: "oifname", NftCtDport: "ct original proto-dst", NftCtDir: "ct direction",
	NftSCTPChunk:  "@th,96,8", // nft has a word for it where it knows the protocol
	NftEtherSaddr: "ether saddr", NftEthertype: "ether type",
	NftArpSaddr: "arp saddr ip", NftNDTarget: "@th,64,128", // "icmpv6 taddr" from nft 1.0.9 on
}

// value prints a number the way nft prints it for the term.
func (t NftTerm) value(n uint32) string {
	switch t.Op {
	case NftL4proto:
		return nftProto(uint8(n))
	case NftNfproto:
		return map[uint32]string{2: "ipv4", 10: "ipv6"}[n]
	case NftPktMark, NftCtMark:
		return fmt.Sprintf("0x%x", n)
	case NftEthertype:
		return fmt.Sprintf("0x%04x", n)
	case NftCtDir:
		return map[uint32]string{0: "original", 1: "reply"}[n]
	}
	return strconv.FormatUint(uint64(n), 10)
}

func family(v6 bool) string {
	if v6 {
		return "ip6"
	}
	return "ip"
}

func nftPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func bits(n uint32, names map[uint32]string) string {
	var parts []string
	for b := uint32(1); b != 0 && b <= n; b <<= 1 {
		if n&b != 0 {
			parts = append(parts, names[b])
		}
	}
	return strings.Join(parts, ",")
}
