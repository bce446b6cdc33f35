package nft

import (
	"bytes"

	"github.com/google/nftables/expr"

	"kube-router/internal/row"
)

// spare is where what a map gives is put first: behind the longest key that it is looked up by, client and front of IPv6, and a word.
const spare = 10

// viaComment is what the nft program prints at rules with such look-ups, since it can't print them.
const viaComment = "saddr and sport at the end stand for the backend in the map"

const (
	userdataMax     = 256 // NFT_USERDATA_MAXLEN
	userdataComment = 0   // NFTNL_UDATA_RULE_COMMENT
)

// comment is viaComment as user data where the body has such a look-up and there is room for it.
func comment(body row.NftBody, room int) []byte {
	if room < 2+len(viaComment)+1 {
		return nil
	}
	for _, s := range body.Stmts() {
		if s.Via != "" {
			return append(append([]byte{userdataComment, byte(len(viaComment) + 1)}, viaComment...), 0)
		}
	}
	return nil
}

// via looks Data up in map Via and puts the backend that it holds, an address and a port, into the registers from at on; the word before
// it is the last of Key.
//
// The nft program up to 1.0.6 takes what a map gives for empty, and where that is part of a key it stops with an assertion, and whoever
// lists the ruleset with it: a user who looks for a fault, or another program. It keeps one note for each register where a value
// begins. So the backend is not looked up into its place but moved there, together with the word before it: then nft has a note of that word
// and, in the backend's place, of the source address and port that were there before. It prints these, and a comment says so.
func (p *program) via(s row.NftStmt, at int) {
	size := 2
	if s.Data.V6() {
		size = 5
	}
	if p.load(s.Data, 0) > spare || at+size > spare+1 {
		p.fail(errRegisters)
		return
	}
	last := row.NftKeyOf(lastTerm(s.Key))
	p.load(last, spare)
	if size+1 > moved {
		p.load(last, spare+moved)
	}
	p.emit(lookup(s.Via, reg0, reg0+spare+1))
	p.load(row.NftKeyOf(row.NftTerm{Op: row.NftSaddr, V6: s.Data.V6()}), at)
	if at+size-1 != spare {
		p.load(row.NftKeyOf(row.NftTerm{Op: row.NftSport}), at+size-1)
	}
	for done := 0; done <= size; done += moved {
		p.move(spare+done, at-1+done, min(moved, size+1-done))
	}
}

// moved is how many words one expression moves: no more fit into its mask.
const moved = 4

func (p *program) move(from, to, n int) {
	p.emit(&expr.Bitwise{
		SourceRegister: uint32(reg0 + from), DestRegister: uint32(reg0 + to), Len: uint32(4 * n),
		Mask: bytes.Repeat([]byte{0xff}, 4*n), Xor: make([]byte, 4*n),
	})
}

// lastTerm is the last term of a key.
func lastTerm(k row.NftKeyExpr) (last row.NftTerm) {
	for _, t := range k {
		if t.Op != row.NftNoTerm {
			last = t
		}
	}
	return last
}

// words are the registers that a key takes.
func words(k row.NftKeyExpr) (n int) {
	for _, t := range k {
		n += (width(t) + 3) / 4
	}
	return n
}
