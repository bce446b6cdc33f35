package nft

import (
	"bytes"

	"github.com/google/nftables/expr"

	"kube-router/internal/row"
)

// spare is where what a map gives is put first: behind the longest key that it is looked up by, client and front of IPv6, and a word.
const spare = 10

// moved is how many words one expression moves: no more fit into its mask.
const moved = 4

const (
	userdataMax     = 256 // NFT_USERDATA_MAXLEN
	userdataComment = 0   // NFTNL_UDATA_RULE_COMMENT
	commentMax      = 128 // NFTNL_UDATA_COMMENT_MAXLEN
)

// via looks Data up in map Via and puts what it holds into the registers from at on; into the one before comes the last word of Key.
//
// The nft program up to 1.0.6 takes what a map gives for empty, and where that is part of a key it stops with an assertion, and whoever
// lists the ruleset with it: a user who looks for a fault, or another program. It keeps one note for each register where a value
// begins. So the value is not looked up into its place but moved there, together with the word before it: then nft has a note of that word
// and, in the value's place, of what stood there before. It prints that, and a comment says what it is instead.
func (p *program) via(s row.NftStmt, at int) {
	standIn := row.NftKeyOf(row.NftTerm{Op: row.NftSaddr, V6: s.Data.V6()}, row.NftTerm{Op: row.NftSport})
	last := lastTerm(s.Key)
	if s.Op == row.NftVmap {
		mark := row.NftTerm{Op: row.NftPktMark}
		standIn, last = row.NftKeyOf(mark, mark, mark), lastTerm(s.Data)
	}
	size := words(standIn[:]...)
	if p.load(s.Data, 0) > spare || at+size > spare+1 {
		p.fail(errRegisters)
		return
	}
	p.load(row.NftKeyOf(last), spare)
	if size+1 > moved {
		p.load(row.NftKeyOf(last), spare+moved)
	}
	p.emit(lookup(s.Via, reg0, reg0+spare+1))
	for i, t := range standIn {
		if to := at + words(standIn[:i]...); to < spare {
			p.load(row.NftKeyOf(t), to)
		}
	}
	for done := 0; done <= size; done += moved {
		p.move(spare+done, at-1+done, min(moved, size+1-done))
	}
}

func (p *program) move(from, to, n int) {
	p.emit(&expr.Bitwise{
		SourceRegister: uint32(reg0 + from), DestRegister: uint32(reg0 + to), Len: uint32(4 * n),
		Mask: bytes.Repeat([]byte{0xff}, 4*n), Xor: make([]byte, 4*n),
	})
}

// comment tells, as user data, what the nft program can't print of a body, where there is room for it.
func comment(body row.NftBody, room int) []byte {
	for _, s := range body.Stmts() {
		if s.Via == "" {
			continue
		}
		place := "the last two: of "
		if s.Op == row.NftVmap {
			place = "the marks: "
		}
		text := place + s.Data.String() + " map @" + s.Via
		if n := len(text) + 1; n <= commentMax && 2+n <= room {
			return append(append([]byte{userdataComment, byte(n)}, text...), 0)
		}
	}
	return nil
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

// words are the registers that terms take.
func words(terms ...row.NftTerm) (n int) {
	for _, t := range terms {
		n += (width(t) + 3) / 4
	}
	return n
}
