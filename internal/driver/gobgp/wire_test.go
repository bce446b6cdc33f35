package gobgp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// The attributes of the tests' paths.
var (
	aOrigin = []byte{0x40, 1, 1, 0}
	aPath   = []byte{0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9}
	aHop    = []byte{0x40, 3, 4, 172, 30, 0, 200}
	nlri1   = []byte{24, 198, 51, 100}
	nlri2   = []byte{24, 203, 0, 113}
)

func announce(attrs []byte, nlri ...byte) []byte { return (&update{}).built(nil, attrs, nlri) }

// path6 is MP_REACH_NLRI of 2001:db8:N::/48.
func reach6(n ...byte) []byte {
	v := append([]byte{0, 2, 1, 16}, make([]byte, 16)...)
	v = append(v, 0)
	for _, i := range n {
		v = append(v, 48, 0x20, 1, 0x0d, 0xb8, 0, i)
	}
	return attributeOf(0x80, attrReach, v)
}

// said prints messages: what they withdraw, -, and announce, +.
func said(t *testing.T, all []byte) string {
	t.Helper()
	var words []string
	for len(all) > 0 {
		n := int(all[16])<<8 | int(all[17])
		m := all[:n]
		all = all[n:]
		if m[18] != typeUpdate {
			words = append(words, fmt.Sprintf("type %d", m[18]))
			continue
		}
		u, ok := splitUpdate(m[headLen:])
		if !ok {
			t.Fatalf("no UPDATE: %x", m)
		}
		if len(m) == headLen+4 {
			words = append(words, "end-of-rib")
		}
		list := func(sign string, nlri []byte, v4 bool) {
			if !prefixes(nlri, v4, func(p netip.Prefix, _ []byte) { words = append(words, sign+p.String()) }) {
				t.Fatalf("malformed: %x", nlri)
			}
		}
		list("-", u.withdrawn, true)
		if a := u.find(attrUnreach); a != nil {
			list("-", a.value[3:], false)
		}
		list("+", u.nlri, true)
		if a := u.find(attrReach); a != nil {
			_, _, nlri, _ := reach(a)
			list("+", nlri, false)
		}
	}
	return strings.Join(words, " ")
}

// TestExcluded turns what must not be used into a withdrawal, which ends the use of what was announced before.
func TestExcluded(t *testing.T) {
	loop := []byte{0x40, 2, 10, 2, 2, 0, 0, 0xfd, 0xe9, 0, 0, 0xfc, 0}
	for _, c := range []struct {
		name string
		node bool
		two  bool // AS numbers of two octets
		m    []byte
		want string
	}{
		{name: "a good path", m: announce(slices.Concat(aOrigin, aPath, aHop), nlri1...), want: "+198.51.100.0/24"},
		{name: "our own AS in it", m: announce(slices.Concat(aOrigin, loop, aHop), nlri1...), want: "-198.51.100.0/24"},
		{name: "in a set", m: announce(slices.Concat(aOrigin, []byte{0x40, 2, 12, 2, 1, 0, 0, 0xfd, 0xe9, 1, 1, 0, 0, 0xfc, 0}, aHop), nlri1...), want: "-198.51.100.0/24"},
		{name: "an AS of two octets", two: true, m: announce(slices.Concat(aOrigin, []byte{0x40, 2, 4, 2, 1, 0xfc, 0}, aHop), nlri1...), want: "-198.51.100.0/24"},
		{name: "in AS4_PATH", two: true, m: announce(slices.Concat(aOrigin, []byte{0x40, 2, 4, 2, 1, 0xfd, 0xe9}, []byte{0xc0, 17, 6, 2, 1, 0, 0, 0xfc, 0}, aHop), nlri1...), want: "-198.51.100.0/24"},
		{name: "AS 0", m: announce(slices.Concat(aOrigin, []byte{0x40, 2, 10, 2, 2, 0, 0, 0xfd, 0xe9, 0, 0, 0, 0}, aHop), nlri1...), want: "-198.51.100.0/24"},
		{name: "attributes that overrun", m: announce(slices.Concat(aOrigin, aPath, aHop, []byte{0xc0, 8, 200, 1, 2}), nlri1...), want: "-198.51.100.0/24"},
		{name: "attributes that end in a head", m: announce(slices.Concat(aOrigin, aPath, aHop, []byte{0xc0, 8}), nlri1...), want: "-198.51.100.0/24"},
		{name: "both families", m: announce(slices.Concat(reach6(1, 2), aOrigin, loop, aHop), nlri1...), want: "-198.51.100.0/24 -2001:db8:1::/48 -2001:db8:2::/48"},
		{name: "beside a withdrawal", m: (&update{}).built(nlri2, slices.Concat(aOrigin, loop, aHop), nlri1), want: "-203.0.113.0/24 -198.51.100.0/24"},
		{name: "no prefix at all", m: announce(slices.Concat(aOrigin, loop, aHop)), want: "type 4"},
		{name: "what we made, reflected to us", node: true, m: announce(slices.Concat(aOrigin, []byte{0x40, 2, 0}, aHop, []byte{0x80, 9, 4, 10, 0, 0, 1}), nlri1...), want: "-198.51.100.0/24"},
		{name: "what our cluster reflected", node: true, m: announce(slices.Concat(aOrigin, []byte{0x40, 2, 0}, aHop, []byte{0x80, 10, 8, 0, 0, 0, 1, 0, 0, 0, 7}), nlri1...), want: "-198.51.100.0/24"},
		{name: "from outside that says nothing", m: announce(slices.Concat(aOrigin, aPath, aHop, []byte{0x80, 9, 4, 10, 0, 0, 1}), nlri1...), want: "+198.51.100.0/24"},
	} {
		w := &wire{rules: rules{node: c.node, as: 64512, id: addr("10.0.0.1"), clusters: []netip.Addr{addr("0.0.0.7")}}}
		w.four.Store(!c.two)
		if have := said(t, w.judge(c.m)); have != c.want {
			t.Errorf("%s: %s, want %s", c.name, have, c.want)
		}
	}
}

// TestLimit takes as many prefixes as there is room for, and no End-of-RIB marker is made of what is left.
func TestLimit(t *testing.T) {
	over := 0
	w := &wire{rules: rules{as: 64512, limit: 2}, over: func(n int) { over += n }}
	w.four.Store(true)
	good := slices.Concat(aOrigin, aPath, aHop)
	for _, c := range []struct {
		m    []byte
		want string
		over int
	}{
		{announce(good, nlri1...), "+198.51.100.0/24", 0},
		{announce(good, nlri1...), "+198.51.100.0/24", 0},
		{announce(slices.Concat(reach6(1, 2, 3), good)), "+2001:db8:1::/48", 2},
		{announce(good, nlri2...), "type 4", 3},
		{announce(good, slices.Concat(nlri2, nlri1)...), "+198.51.100.0/24", 4},
		{(&update{}).built(nlri1, good, nlri2), "-198.51.100.0/24 +203.0.113.0/24", 4},
		{(&update{}).built(nlri1, good, []byte{8, 9}), "-198.51.100.0/24 type 4", 5},
		{(&update{}).built(nil, nil, nil), "end-of-rib", 5},
	} {
		have := said(t, w.judge(c.m))
		if strings.Contains(c.want, "type 4") {
			have = strings.TrimSuffix(have, " type 4") // one withdrawal is a message as well
			c.want = strings.TrimSuffix(c.want, " type 4")
		}
		if have != c.want || over != c.over {
			t.Errorf("%s with %d over, want %s with %d", have, over, c.want, c.over)
		}
	}
}

// TestRoomAgain asks for everything once a fifth of the room is free.
func TestRoomAgain(t *testing.T) {
	here, there := pair(t)
	w := &wire{TCPConn: here, rules: rules{as: 64512, limit: 5}, over: func(int) {}}
	w.four.Store(true)
	w.refresh.Store(true)
	good := slices.Concat(aOrigin, aPath, aHop)
	w.judge(announce(good, 8, 1, 8, 2, 8, 3, 8, 4, 8, 5, 8, 6))
	w.judge((&update{}).built([]byte{8, 1}, nil, nil))
	w.judge((&update{}).built([]byte{8, 2}, nil, nil)) // once is enough
	want := slices.Concat(message(typeFresh, []byte{0, 1, 0, 1}), message(typeFresh, []byte{0, 2, 0, 1}))
	have := make([]byte, 200)
	must(t, there.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	n := 0
	for {
		m, err := there.Read(have[n:])
		if n += m; err != nil {
			break
		}
	}
	if !bytes.Equal(have[:n], want) {
		t.Errorf("asked %x, want %x", have[:n], want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair are the ends of a connection.
func pair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	one, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	two, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { one.Close(); two.Close() })
	return one.(*net.TCPConn), two.(*net.TCPConn)
}

// TestPieces reads messages that arrive in pieces, or that are none.
func TestPieces(t *testing.T) {
	here, there := pair(t)
	w := &wire{TCPConn: here, rules: rules{as: 64512}}
	w.four.Store(true)
	m := announce(slices.Concat(aOrigin, aPath, aHop), nlri1...)
	all := slices.Concat(m, message(typeKeep, nil), []byte("no BGP, but more than nineteen octets"))
	go func() {
		for _, b := range all {
			there.Write([]byte{b})
			time.Sleep(100 * time.Microsecond)
		}
		there.Close()
	}()
	var have []byte
	for b := make([]byte, 7); ; {
		n, err := w.Read(b)
		have = append(have, b[:n]...)
		if err != nil {
			break
		}
	}
	if !bytes.Equal(have, all) {
		t.Errorf("have %s\nwant %s", hex.Dump(have), hex.Dump(all))
	}
}

// TestOffer leaves out of our OPEN what we couldn't keep, and tells nodes about the TTL.
func TestOffer(t *testing.T) {
	head := []byte{4, 0xfc, 0, 0, 90, 10, 0, 0, 1}
	caps := []byte{1, 4, 0, 1, 0, 1, capNextHop, 6, 0, 1, 0, 1, 0, 2, capFour, 4, 0, 0, 0xfc, 0}
	m := message(typeOpen, slices.Concat(head, []byte{byte(len(caps) + 2), 2, byte(len(caps))}, caps))
	codes := func(m []byte) (list []byte) {
		capabilities(m, func(code byte, _ []byte) { list = append(list, code) })
		return list
	}
	if have := codes((&wire{}).offer(m)); !bytes.Equal(have, []byte{1, capFour}) {
		t.Errorf("outside: %v", have)
	}
	out := (&wire{rules: rules{node: true}}).offer(m)
	if have := codes(out); !bytes.Equal(have, []byte{1, capFour, capFullTTL}) || int(out[17]) != len(out) || !bytes.Equal(out[headLen:headLen+9], head) {
		t.Errorf("a node: %v", have)
	}
}

// FuzzWire reads whatever a peer may send: the engine gets whole messages, and never more than the peer said.
func FuzzWire(f *testing.F) {
	f.Add(announce(slices.Concat(aOrigin, aPath, aHop), nlri1...), true, 1)
	f.Add(announce(slices.Concat(reach6(1, 2), aOrigin, aPath), nlri1...), false, 0)
	f.Add(announce([]byte{0x40, 2, 200}, nlri1...), true, 5)
	f.Add(message(typeNotification, []byte{6, 2}), true, 0)
	f.Fuzz(func(t *testing.T, m []byte, four bool, limit int) {
		if len(m) < headLen || int(m[16])<<8|int(m[17]) != len(m) {
			return
		}
		w := &wire{rules: rules{node: true, as: 64512, limit: max(limit, 0)}, over: func(int) {}, ended: func(string) {}}
		w.four.Store(four)
		out := w.judge(bytes.Clone(m))
		if len(out) > len(m)+3*(headLen+4+8) {
			t.Errorf("%d bytes of %d", len(out), len(m))
		}
		for len(out) > 0 {
			n := 0
			if len(out) >= headLen {
				n = int(out[16])<<8 | int(out[17])
			}
			if n < headLen || n > len(out) {
				t.Fatalf("no message: %x of %x", out, m)
			}
			out = out[n:]
		}
		if m[18] == typeOpen && len(m) >= headLen+10 { // as the engine's is
			w.offer(m)
		}
	})
}
