package names

import (
	"encoding/binary"
	"net/netip"
)

// streams puts the answers of DNS over TCP together (RFC 7766): each has its length before it, and segments begin and end anywhere, come twice,
// or in another order. Every segment goes on once it is read: the client can't read an answer before its last one.
type streams struct {
	of    map[ends]*stream
	order []ends // as they began; some are gone
}

type ends struct{ from, to netip.AddrPort }

type stream struct {
	next  uint32 // what is missing, by its number
	buf   []byte
	later map[uint32][]byte // segments behind a gap
	size  int               // bytes of both
}

// What streams may hold: one answer each with its length, and how many there may be: the oldest go first. Of those that go, or have more,
// nothing is learned any more.
const (
	streamMost = 2 + 65535
	streamsAre = 256
)

func newStreams() *streams { return &streams{of: map[ends]*stream{}} }

// take gives the answers that a segment completes. They are valid until the next call.
func (s *streams) take(seg segment) (answers [][]byte) {
	key := ends{seg.from, seg.to}
	if seg.flags&flagRST != 0 {
		s.drop(key)
		return nil
	}
	if seg.flags&flagSYN != 0 {
		s.begin(key, seg.seq+1)
		return nil
	}
	st := s.of[key]
	if st == nil {
		return nil // begun before we listened
	}
	st.put(seg.seq, seg.data)
	answers = st.answers()
	if seg.flags&flagFIN != 0 && len(st.later) == 0 || st.size > streamMost {
		s.drop(key)
	}
	return answers
}

func (s *streams) begin(key ends, next uint32) {
	s.drop(key)
	s.of[key] = &stream{next: next, later: map[uint32][]byte{}}
	s.order = append(s.order, key)
	s.bound()
}

func (s *streams) drop(key ends) { delete(s.of, key) }

// bound lets the oldest go where there are too many.
func (s *streams) bound() {
	if len(s.order) > 2*streamsAre {
		s.order = nil
		for key := range s.of {
			s.order = append(s.order, key)
		}
	}
	for len(s.of) > streamsAre && len(s.order) > 0 {
		s.drop(s.order[0])
		s.order = s.order[1:]
	}
}

// put takes what of a segment isn't there yet.
func (st *stream) put(seq uint32, data []byte) {
	if len(data) == 0 {
		return
	}
	if len(st.later) < 64 || seq == st.next {
		st.later[seq] = append([]byte(nil), data...)
	}
	for found := true; found; {
		found = false
		for at, b := range st.later {
			ahead := int32(st.next - at)
			if ahead < 0 {
				continue // behind the gap
			}
			delete(st.later, at)
			if int(ahead) < len(b) {
				st.buf = append(st.buf, b[ahead:]...)
				st.next = at + uint32(len(b))
			}
			found = true
		}
	}
}

// answers takes those that are complete out of the buffer.
func (st *stream) answers() (list [][]byte) {
	for len(st.buf) >= 2 {
		size := int(binary.BigEndian.Uint16(st.buf))
		if len(st.buf) < 2+size {
			break
		}
		list = append(list, st.buf[2:2+size:2+size])
		st.buf = st.buf[2+size:]
	}
	st.buf = append([]byte(nil), st.buf...)
	st.size = len(st.buf)
	for _, b := range st.later {
		st.size += len(b)
	}
	return list
}
