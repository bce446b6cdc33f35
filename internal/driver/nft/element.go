package nft

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// shape is what of a set its elements' encoding depends on, worked out once for all of them.
type shape struct {
	set     row.NftSet
	key     int  // bytes of a key to the kernel
	value   int  // bytes of a value; 0: none or a verdict
	padded  int  // bytes of a key in a row
	tree    bool // one-field intervals: a start and an end element each, the end exclusive
	pair    bool // intervals of a concatenation: key and end in one element, both inclusive
	verdict bool
}

func shapeOf(s row.NftSet) shape {
	_, key := typesOf(s.Keys)
	_, value := typesOf(s.Values)
	return shape{
		set: s, key: int(key), value: int(value), padded: (int(key) + 3) &^ 3,
		tree: s.Interval && !concat(s.Keys), pair: s.Interval && concat(s.Keys),
		verdict: s.Values[0] == row.NftVerdict,
	}
}

// check finds what can't be said to the kernel.
func (s *shape) check(e row.NftElement) error {
	valuePadded := (s.value + 3) &^ 3
	switch {
	case s.key == 0 || len(e.Elem) != s.padded, e.Last != "" && (len(e.Last) != s.padded || !s.set.Interval):
		return errKeySize
	case len(e.Value) != valuePadded, s.verdict != (e.Verdict.Op != row.NftNop):
		return errKeySize
	case s.tree && (s.set.Keys[0] == row.NftMark || s.set.Keys[0] == row.NftSlot):
		return errHostRange
	}
	return nil
}

// appendElement appends the list elements (NFTA_LIST_ELEM) that one row is made of. Their values are left
// out when they are to be removed.
func (s *shape) appendElement(b []byte, e row.NftElement, remove bool) []byte {
	b, at := open(b, unix.NFTA_LIST_ELEM)
	b = appendKey(b, unix.NFTA_SET_ELEM_KEY, e.Elem[:s.key])
	if s.pair {
		last := e.Last
		if last == "" {
			last = e.Elem
		}
		b = appendKey(b, elemKeyEnd, last[:s.key])
	}
	if !remove {
		b = s.appendValue(b, e)
	}
	closeAttr(b, at)
	if !s.tree {
		return b
	}
	end, ok := next(lastOf(e)[:s.key])
	if !ok {
		return b // the range goes to the end of all keys, so it needs none
	}
	b, at = open(b, unix.NFTA_LIST_ELEM)
	b = appendKey(b, unix.NFTA_SET_ELEM_KEY, end)
	b = append32(b, unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	closeAttr(b, at)
	return b
}

func lastOf(e row.NftElement) string {
	if e.Last == "" {
		return e.Elem
	}
	return e.Last
}

func appendKey(b []byte, typ uint16, key string) []byte {
	b, at := open(b, typ)
	b = appendBytes(b, unix.NFTA_DATA_VALUE, key)
	closeAttr(b, at)
	return b
}

func (s *shape) appendValue(b []byte, e row.NftElement) []byte {
	switch {
	case s.verdict:
		var data, verdict int
		b, data = open(b, unix.NFTA_SET_ELEM_DATA)
		b, verdict = open(b, unix.NFTA_DATA_VERDICT)
		kind, _ := verdictOf(e.Verdict.Op)
		b = append32(b, unix.NFTA_VERDICT_CODE, uint32(kind))
		if e.Verdict.Chain != "" {
			b = appendText(b, unix.NFTA_VERDICT_CHAIN, e.Verdict.Chain)
		}
		closeAttr(b, verdict)
		closeAttr(b, data)
	case s.value > 0:
		b = appendKey(b, unix.NFTA_SET_ELEM_DATA, e.Value[:s.value])
	}
	return b
}

// next is the key behind, as the kernel orders keys; there is none behind the last.
func next(key string) (string, bool) {
	b := []byte(key)
	for i := len(b) - 1; i >= 0; i-- {
		b[i]++
		if b[i] != 0 {
			return string(b), true
		}
	}
	return "", false
}

// before is the key before one that is not the first.
func before(key string) string {
	b := []byte(key)
	for i := len(b) - 1; i >= 0; i-- {
		b[i]--
		if b[i] != 0xff {
			break
		}
	}
	return string(b)
}

// bound is an element of a tree as the kernel lists it: where a range begins or where it has ended.
type bound struct {
	row.NftElement
	end bool
}

// ranges pairs the bounds of a tree. A range without an end goes to the next, or to the last key of all.
func (s *shape) ranges(bounds []bound, f func(row.NftElement)) {
	slices.SortFunc(bounds, func(a, b bound) int {
		if n := strings.Compare(a.Elem, b.Elem); n != 0 || a.end == b.end {
			return n
		}
		if a.end {
			return -1
		}
		return 1
	})
	for i, b := range bounds {
		if b.end {
			continue
		}
		last := strings.Repeat("\xff", s.key)
		if i+1 < len(bounds) {
			last = before(bounds[i+1].Elem[:s.key])
		}
		if last != b.Elem[:s.key] {
			b.Last = s.widen(last)
		}
		f(b.NftElement)
	}
}

// widen pads a key of the kernel to that of a row.
func (s *shape) widen(key string) string {
	if len(key) >= s.padded {
		return key
	}
	return key + strings.Repeat("\x00", s.padded-len(key))
}
