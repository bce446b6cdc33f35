package names

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"
)

func named(s string) dnsmessage.Name { return dnsmessage.MustNewName(s + ".") }

func head(owner string, ttl uint32) dnsmessage.ResourceHeader {
	return dnsmessage.ResourceHeader{Name: named(owner), Class: dnsmessage.ClassINET, TTL: ttl}
}

func at(owner string, ttl uint32, a string) dnsmessage.Resource {
	addr := netip.MustParseAddr(a)
	if addr.Is4() {
		return dnsmessage.Resource{Header: head(owner, ttl), Body: &dnsmessage.AResource{A: addr.As4()}}
	}
	return dnsmessage.Resource{Header: head(owner, ttl), Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}}
}

func to(owner string, ttl uint32, target string) dnsmessage.Resource {
	return dnsmessage.Resource{Header: head(owner, ttl), Body: &dnsmessage.CNAMEResource{CNAME: named(target)}}
}

func response(asked string, answers ...dnsmessage.Resource) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, Response: true},
		Questions: []dnsmessage.Question{{Name: named(asked), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}, Answers: answers,
		Additionals: []dnsmessage.Resource{at(asked, 60, "192.0.2.99"), {Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("."), Class: 4096}, Body: &dnsmessage.OPTResource{}}},
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func told(a string, seconds int) Told {
	return Told{netip.MustParseAddr(a), time.Duration(seconds) * time.Second}
}

// TestParseAnswer: the name that was asked counts, and what a chain of aliases leads to from it.
func TestParseAnswer(t *testing.T) {
	var links []dnsmessage.Resource
	for i := range 100 {
		links = append(links, to(fmt.Sprintf("l%d.a.b", i), 60, fmt.Sprintf("l%d.a.b", i+1)))
	}
	hint := dnsmessage.SVCBResource{Priority: 1, Target: dnsmessage.MustNewName("."), Params: []dnsmessage.SVCParam{
		{Key: dnsmessage.SVCParamIPv4Hint, Value: []byte{192, 0, 2, 5, 192, 0, 2, 6}}}}
	for _, c := range []struct {
		name string
		msg  []byte
		want []Told
	}{
		{"both families", response("a.b", at("a.b", 60, "192.0.2.1"), at("a.b", 30, "2001:db8::1")), []Told{told("192.0.2.1", 60), told("2001:db8::1", 30)}},
		{"a chain, in any order, as long as its shortest link", response("a.b", at("e.f", 60, "192.0.2.1"), to("c.d", 90, "e.f"), to("a.b", 5, "c.d")), []Told{told("192.0.2.1", 5)}},
		{"the same in another case", response("A.b", to("a.B", 60, "C.d"), at("c.D", 60, "192.0.2.1")), []Told{told("192.0.2.1", 60)}},
		{"records beside the chain", response("a.b", at("c.d", 60, "192.0.2.1"), at("x.a.b", 60, "192.0.2.2")), nil},
		{"a loop", response("a.b", to("a.b", 60, "c.d"), to("c.d", 60, "a.b"), at("c.d", 60, "192.0.2.1")), []Told{told("192.0.2.1", 60)}},
		{"100 links", response("l0.a.b", append(links, at("l100.a.b", 60, "192.0.2.1"))...), nil},
		{"no time, and more than there is", response("a.b", at("a.b", 0, "192.0.2.1"), at("a.b", 1<<31, "192.0.2.2"), at("a.b", 1<<31-1, "192.0.2.3")),
			[]Told{told("192.0.2.1", 0), told("192.0.2.2", 0), {netip.MustParseAddr("192.0.2.3"), longest}}},
		{"twice", response("a.b", at("a.b", 60, "192.0.2.1"), at("a.b", 60, "192.0.2.1")), []Told{told("192.0.2.1", 60)}},
		{"hints", response("a.b", dnsmessage.Resource{Header: head("a.b", 60), Body: &dnsmessage.HTTPSResource{SVCBResource: hint}}), []Told{told("192.0.2.5", 60), told("192.0.2.6", 60)}},
		{"nothing", response("a.b"), nil},
	} {
		got, err := ParseAnswer(c.msg)
		if d := cmp.Diff(c.want, got.Addrs, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, d)
		}
	}
	ask := response("a.b")
	ask[2] &^= 0x80
	failed := response("a.b", at("a.b", 60, "192.0.2.1"))
	failed[3] |= 3
	for name, msg := range map[string][]byte{"a question": ask, "NXDOMAIN": failed, "half": response("a.b", at("a.b", 60, "192.0.2.1"))[:30], "empty": nil,
		"a name of no host": response(`a*.b`, at("a*.b", 60, "192.0.2.1")), "the root": response("x", at("x", 60, "192.0.2.1"))} {
		if got, err := ParseAnswer(msg); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// FuzzAnswer: whatever arrives ends, and tells no more than is in it.
func FuzzAnswer(f *testing.F) {
	f.Add(response("a.b", to("a.b", 60, "c.d"), at("c.d", 60, "192.0.2.1"), at("c.d", 60, "2001:db8::1")))
	f.Add(response("a.b", to("a.b", 60, "a.b")))
	f.Add([]byte("\x00\x01\x80\x00\x00\x01\x00\x01\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x01\x02\x03\x04"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		a, err := ParseAnswer(msg)
		if err != nil {
			return
		}
		if !isHost(a.Name) || len(a.Addrs) > len(msg)/4 {
			t.Errorf("%q stands for %d addresses in %d bytes", a.Name, len(a.Addrs), len(msg))
		}
		seen := map[netip.Addr]bool{}
		for _, one := range a.Addrs {
			if !one.Addr.IsValid() || one.TTL < 0 || one.TTL > longest || seen[one.Addr] {
				t.Errorf("%v of %v", one, a)
			}
			seen[one.Addr] = true
		}
	})
}

// FuzzPacket: whatever is held can be read, and streams end as they began.
func FuzzPacket(f *testing.F) {
	f.Add(udp4(response("a.b", at("a.b", 60, "192.0.2.1"))), []byte{1})
	f.Add(tcp4(1, flagSYN, nil), tcp4(2, 0, []byte{0, 1, 9}))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		s := newStreams()
		for _, p := range [][]byte{a, b, a} {
			if seg, ok := readPacket(p); ok && seg.tcp {
				s.take(seg)
			}
		}
		if len(s.of) > 2 {
			t.Errorf("%d streams", len(s.of))
		}
	})
}

func udp4(data []byte) []byte {
	b := make([]byte, 28, 28+len(data))
	b[0], b[9], b[19], b[15] = 0x45, protoUDP, 2, 1
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(data)))
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(data)))
	return append(b, data...)
}

func tcp4(seq uint32, flags byte, data []byte) []byte {
	b := make([]byte, 40, 40+len(data))
	b[0], b[9], b[19], b[15], b[32], b[33] = 0x45, protoTCP, 2, 1, 0x50, flags
	binary.BigEndian.PutUint16(b[2:], uint16(40+len(data)))
	binary.BigEndian.PutUint32(b[24:], seq)
	return append(b, data...)
}

// TestStreams: answers over TCP come in any pieces, twice, in another order, and several at once.
func TestStreams(t *testing.T) {
	one, two := []byte{0, 3, 'a', 'b', 'c'}, []byte{0, 2, 'd', 'e'}
	all := append(append([]byte{}, one...), two...)
	for name, pieces := range map[string][][2]int{
		"at once": {{0, 9}}, "bytes": {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 6}, {6, 7}, {7, 8}, {8, 9}},
		"twice": {{0, 4}, {0, 4}, {4, 9}, {2, 9}}, "another order": {{6, 9}, {2, 7}, {0, 3}}, "overlapping": {{0, 6}, {3, 9}},
	} {
		for _, first := range []uint32{100, 1<<32 - 5} { // numbers go round
			s := newStreams()
			take := func(seq uint32, flags byte, data []byte) (list []string) {
				seg, ok := readPacket(tcp4(seq, flags, data))
				if !ok {
					t.Fatal("a segment is not read")
				}
				for _, b := range s.take(seg) {
					list = append(list, string(b))
				}
				return list
			}
			take(first-1, flagSYN, nil)
			var got []string
			for _, p := range pieces {
				got = append(got, take(first+uint32(p[0]), 0, all[p[0]:p[1]])...)
			}
			if d := cmp.Diff([]string{"abc", "de"}, got); d != "" {
				t.Errorf("%s: %s", name, d)
			}
			take(first+9, flagFIN, nil)
			if len(s.of) > 0 {
				t.Errorf("%s: a stream that has ended is kept", name)
			}
		}
	}
	s := newStreams()
	for i := range 3 * streamsAre {
		s.begin(ends{netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(i)), netip.AddrPort{}}, 1)
	}
	if len(s.of) > streamsAre || len(s.order) > 3*streamsAre {
		t.Errorf("%d streams are kept", len(s.of))
	}
}
