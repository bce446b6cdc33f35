package forward

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the kernel is asked about a table of iptables-legacy, with the offsets in its answer: struct ipt_getinfo and struct ipt_get_entries
// (include/uapi/linux/netfilter_ipv4/ip_tables.h; IPv6 has the same).
const (
	soInfo, soEntries = 64, 65
	atHook            = 32 + 4 + 4*unix.NF_INET_FORWARD
	atUnderflow       = atHook + 4*unix.NF_INET_NUMHOOKS
	atSize            = 32 + 4 + 2*4*unix.NF_INET_NUMHOOKS + 4
	infoSize          = atSize + 4
	atEntries         = 32 + 8
)

// layout is where the parts of a rule are, by family: struct ipt_entry and struct ip6t_entry.
type layout struct {
	family, names                    string
	domain, level                    int
	addr                             int // bytes of an address; source, destination and their masks come first
	proto, inverted, target, targets int // targets: where the matches begin
}

func layouts() []layout {
	return []layout{
		{"ip", "/proc/thread-self/net/ip_tables_names", unix.AF_INET, unix.SOL_IP, 4, 80, 83, 88, 112},
		{"ip6", "/proc/thread-self/net/ip6_tables_names", unix.AF_INET6, unix.SOL_IPV6, 16, 128, 132, 140, 168},
	}
}

// Verdicts are kept as minus one less these (include/uapi/linux/netfilter.h).
const nfDrop, nfAccept = 0, 1

// Bits of a rule's inverted matches that matter (IPT_INV_…).
const invIn, invOut, invSrc, invDst = 1, 2, 8, 16

// lookLegacy reads chain FORWARD of iptables-legacy in both families. The kernel lists the tables in use in /proc, so that none is made by asking.
// It has no notifications.
func lookLegacy() ([]Foreign, error) {
	var list []Foreign
	for _, l := range layouts() {
		text, err := os.ReadFile(l.names)
		if err != nil || !slices.Contains(strings.Fields(string(text)), Table) {
			continue
		}
		t, err := l.read()
		if errors.Is(err, unix.ENOENT) {
			continue // it went meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("read table %s of iptables-legacy, family %s: %w", Table, l.family, err)
		}
		list = append(list, t.look())
	}
	return list, nil
}

// table is the kernel's answer.
type table struct {
	layout
	entries          []byte
	begin, underflow int            // of chain FORWARD; the rule at underflow is its policy
	chains           map[int]string // of others: their names by where their rules begin
}

func (l layout) read() (*table, error) {
	fd, err := unix.Socket(l.domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for range 5 { // the table may change between the two questions
		info := make([]byte, infoSize)
		copy(info, Table)
		if err = l.ask(fd, soInfo, info); err != nil {
			return nil, err
		}
		number := func(at int) uint32 { return binary.NativeEndian.Uint32(info[at:]) }
		blob := make([]byte, atEntries+int(number(atSize)))
		copy(blob, Table)
		binary.NativeEndian.PutUint32(blob[32:], number(atSize))
		if err = l.ask(fd, soEntries, blob); err == nil {
			t := &table{layout: l, entries: blob[atEntries:], begin: int(number(atHook)), underflow: int(number(atUnderflow))}
			return t, t.index()
		}
		if !errors.Is(err, unix.EAGAIN) {
			return nil, err
		}
	}
	return nil, err
}

// ask is getsockopt with a buffer that is question and answer in one.
func (l layout) ask(fd, opt int, buf []byte) error {
	n := uint32(len(buf))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(l.level), uintptr(opt), uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// rule is a rule of a table: what it looks at, where it leads, and whether it is the end of its chain.
type rule struct {
	facts
	next, jump int
	back       bool // every packet leaves the chain
}

var errForm = errors.New("it has another form than expected")

// at reads the rule at an offset.
func (t *table) at(offset int) (r rule, target []byte, err error) {
	if offset < 0 || offset+t.targets > len(t.entries) {
		return r, nil, errForm
	}
	e := t.entries[offset:]
	to, next := int(binary.NativeEndian.Uint16(e[t.target:])), int(binary.NativeEndian.Uint16(e[t.target+2:]))
	if to < t.targets || to+32 > next || next > len(e) {
		return r, nil, errForm
	}
	r.next, r.jump = offset+next, -1
	t.header(e, &r.facts)
	for m := t.targets; m < to; {
		size := int(binary.NativeEndian.Uint16(e[m:]))
		if size < 32 || m+size > to {
			return r, nil, errForm
		}
		name := text(e[m+2 : m+31])
		r.narrow = r.narrow || name != "comment"
		r.pods = r.pods || name == "set" || name == "iprange"
		r.state = r.state || name == "conntrack" || name == "state"
		m += size
	}
	return r, e[to:next], nil
}

// header reads what a rule's fixed part looks at.
func (t *table) header(e []byte, f *facts) {
	zero := func(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
	not := e[t.inverted]
	for i, inverted := range []bool{not&invSrc != 0, not&invDst != 0} {
		mask := e[(2+i)*t.addr : (3+i)*t.addr]
		f.narrow = f.narrow || !zero(mask)
		f.pods = f.pods || !inverted && !zero(mask) && slices.Contains(mask, 0)
	}
	for i, inverted := range []bool{not&invIn != 0, not&invOut != 0} {
		at := 4*t.addr + i*unix.IFNAMSIZ
		name, mask := e[at:at+unix.IFNAMSIZ], e[at+2*unix.IFNAMSIZ:at+3*unix.IFNAMSIZ]
		size := bytes.Count(mask, []byte{0xff})
		f.narrow = f.narrow || size > 0
		f.pods = f.pods || !inverted && size > 0 && bridge(name[:size])
	}
	f.narrow = f.narrow || !zero(e[t.proto:t.proto+2])
}

func text(b []byte) string {
	name, _, _ := bytes.Cut(b, []byte{0})
	return string(name)
}

// index finds the chains of others: each begins behind an entry whose target is ERROR and carries its name.
func (t *table) index() error {
	t.chains = map[int]string{}
	for at := 0; at < len(t.entries); {
		r, target, err := t.at(at)
		if err != nil {
			return err
		}
		if text(target[2:31]) == "ERROR" {
			t.chains[r.next] = text(target[32:])
		}
		at = r.next
	}
	return nil
}

// rule reads a rule with its target.
func (t *table) rule(at int) (rule, error) {
	r, target, err := t.at(at)
	if err != nil {
		return r, err
	}
	switch name := text(target[2:31]); {
	case name == "REJECT", name == "DROP":
		r.drop = true
	case name == "ERROR":
		r.back = true
	case name == "" && len(target) >= 36:
		switch v := int32(binary.NativeEndian.Uint32(target[32:])); {
		case v >= 0 && int(v) != r.next: // to the rule that follows: no target
			r.jump, r.chain = int(v), t.chains[int(v)]
		case v == -nfDrop-1:
			r.drop = true
		case v == -nfAccept-1:
			r.accept = true
		case v < 0:
			r.back = !r.narrow
		}
	}
	return r, nil
}

// look judges chain FORWARD.
func (t *table) look() Foreign {
	w := &walk{Foreign: Foreign{Family: t.family, Table: Table, Name: Chain, Legacy: true}}
	if r, err := t.rule(t.underflow); err == nil && r.drop {
		w.Policy, w.Closed = true, true
	}
	t.chain(w, t.begin, true, false, 0)
	return w.Foreign
}

// chain reads one chain, as walk.chain does with those of nftables.
func (t *table) chain(w *walk, at int, all, pods bool, depth int) {
	if w.seen++; depth > deepest || w.seen > most {
		return
	}
	for depth > 0 || at != t.underflow {
		r, err := t.rule(at)
		if err != nil || r.back {
			return
		}
		if every, about := w.judge(r.facts, all, pods); r.jump >= 0 && !kubernetes(r.chain) {
			t.chain(w, r.jump, every, about, depth+1)
		}
		at = r.next
	}
}
