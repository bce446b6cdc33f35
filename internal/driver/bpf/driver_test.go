package bpf

import (
	"encoding/binary"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

var update = flag.Bool("update", false, "write testdata/programs.txt anew")

// TestProgramsAreWhatIsWritten shows each program's text, so that a change of one is read.
func TestProgramsAreWhatIsWritten(t *testing.T) {
	var b strings.Builder
	for hook := row.BpfConnect4; hook <= row.BpfHookMost; hook++ {
		code := Programs()[hook]
		fmt.Fprintf(&b, "# %s, tag %s\n%v\n", hook, tagOf(code), code)
	}
	const file = "testdata/programs.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("-update writes it anew: %s", diff)
	}
}

func TestFakeConforms(t *testing.T) {
	var f *Fake
	c := samples("/sys/fs/cgroup")
	c.World = func(testing.TB) { f = NewFake() }
	c.Open = func(testing.TB) row.Target[row.BpfKey, row.Bpf] { return f }
	conform.Target(t, c)
}

// later is a build whose programs do the same and are others.
func later(hook row.BpfHook) asm.Instructions {
	return append(asm.Instructions{asm.Mov.Reg(asm.R1, asm.R1)}, Programs()[hook]...)
}

func samples(cgroup string) conform.Config[row.BpfKey, row.Bpf] {
	return conform.Config[row.BpfKey, row.Bpf]{
		Rows: func(n int) []row.Bpf { return manyRows(cgroup, n) },
		Change: func(r row.Bpf) (row.Bpf, bool) {
			switch r := r.(type) {
			case row.BpfEntry:
				b := []byte(r.Value)
				b[0] ^= 0x40
				r.Value = string(b)
				return r, true
			case row.BpfProgram:
				if now := tagOf(Programs()[r.Hook]); r.Tag != now {
					r.Tag = now
				} else {
					r.Tag = tagOf(later(r.Hook))
				}
				return r, true
			}
			return nil, false
		},
		Bad: func() []row.Bpf {
			return []row.Bpf{
				row.BpfEntry{Map: row.BpfHeads4, Elem: "short", Value: "1234"},
				row.BpfEntry{Map: row.BpfSlots6, Elem: strings.Repeat("k", 24), Value: "short"},
				row.BpfEntry{Map: row.BpfNetns, Elem: strings.Repeat("k", 9), Value: "1234"},
			}
		},
	}
}

// manyRows are programs, network namespaces, and frontends of both families with three slots each.
func manyRows(cgroup string, n int) []row.Bpf {
	var rows []row.Bpf
	for hook := row.BpfConnect4; hook <= row.BpfHookMost; hook++ {
		rows = append(rows, row.BpfProgram{Hook: hook, Target: cgroup, Tag: tagOf(Programs()[hook])})
	}
	rows = append(rows, row.BpfSpace(1<<40, row.BpfHost), row.BpfSpace(1<<40+1, row.BpfPod))
	for i := 0; len(rows) < n; i++ {
		for _, base := range []string{"10.96.0.0", "fd00:96::"} {
			front := netip.AddrPortFrom(plus(base, i), 80)
			rows = append(rows, row.BpfHead(front, 6, 3))
			for slot := range 3 {
				rows = append(rows, row.BpfSlot(front, 6, slot, netip.AddrPortFrom(plus(base, 1<<20+i*3+slot), 8080)))
			}
		}
	}
	return rows[:max(n, 1)]
}

func plus(base string, n int) netip.Addr {
	b := netip.MustParseAddr(base).AsSlice()
	last := b[len(b)-4:]
	binary.BigEndian.PutUint32(last, binary.BigEndian.Uint32(last)+uint32(n))
	a, _ := netip.AddrFromSlice(b)
	return a
}

// TestSlotsComeBeforeHeadsAndGoAfterThem: at no moment a head counts a slot that is not there.
func TestSlotsComeBeforeHeadsAndGoAfterThem(t *testing.T) {
	f := NewFake()
	rows := conform.Index[row.BpfKey](manyRows("/sys/fs/cgroup", 20))
	for _, step := range []struct {
		have, want map[row.BpfKey]row.Bpf
		calls      []string
	}{
		{nil, rows, []string{"put kr_slots4", "put kr_slots6", "put kr_heads4", "put kr_heads6", "put kr_netns", "attach", "attach", "attach", "attach"}},
		{rows, nil, []string{"detach", "detach", "detach", "detach", "drop kr_netns", "drop kr_heads6", "drop kr_heads4", "drop kr_slots6", "drop kr_slots4"}},
	} {
		if err := f.Apply(t.Context(), conform.Diff(step.have, step.want)); err != nil {
			t.Fatal(err)
		}
		calls := f.Calls()
		for i, c := range calls {
			if verb, _, _ := strings.Cut(c, " "); strings.HasSuffix(verb, "tach") {
				calls[i] = verb
			}
		}
		if diff := cmp.Diff(step.calls, calls); diff != "" {
			t.Error(diff)
		}
	}
}

// TestASlotThatCantBeWrittenIsRemoved: an endpoint of before must not stay in its place.
func TestASlotThatCantBeWrittenIsRemoved(t *testing.T) {
	f := NewFake()
	front := netip.MustParseAddrPort("10.96.0.1:80")
	old := row.BpfSlot(front, 6, 0, netip.MustParseAddrPort("10.1.0.1:80"))
	now := row.BpfSlot(front, 6, 0, netip.MustParseAddrPort("10.1.0.2:80"))
	apply := func(rows ...row.Bpf) error {
		return f.Apply(t.Context(), conform.Diff(nil, conform.Index[row.BpfKey](rows)))
	}
	if err := apply(row.BpfHead(front, 6, 1), old); err != nil {
		t.Fatal(err)
	}
	f.Refuse("map update name kr_slots4 key 10.96.0.1:80/tcp#0")
	if err := apply(now); err == nil {
		t.Error("it was not refused")
	}
	have, _ := f.Dump(t.Context())
	if _, ok := have[now.Key()]; ok {
		t.Errorf("the old endpoint is still there: %v", have)
	}
}

// TestCountersGoWithTheirFrontend: a frontend that comes back begins at nothing.
func TestCountersGoWithTheirFrontend(t *testing.T) {
	f := NewFake()
	front := netip.MustParseAddrPort("[fd00::1]:80")
	rows := conform.Index[row.BpfKey]([]row.Bpf{row.BpfHead(front, 6, 1), row.BpfSpace(7, row.BpfHost)})
	if err := f.Apply(t.Context(), conform.Diff(nil, rows)); err != nil {
		t.Fatal(err)
	}
	f.Connect(row.BpfHead(front, 6, 1), true)
	f.Connect(row.BpfHead(front, 6, 1), true)
	f.Connect(row.BpfHead(front, 6, 1), false)
	counts, _ := f.Counts()
	if got := counts[row.FlowsKey{Addr: front.Addr(), Port: 80, Protocol: 6}]; got != (Count{2, 1}) {
		t.Errorf("%v, not 2 and 1", got)
	}
	head := row.BpfHead(front, 6, 1)
	if err := f.Apply(t.Context(), []change{{Key: head.Key(), Old: ptr[row.Bpf](head)}}); err != nil {
		t.Fatal(err)
	}
	if counts, _ := f.Counts(); len(counts) > 0 {
		t.Errorf("left: %v", counts)
	}
}

func ptr[T any](v T) *T { return &v }

func TestTagsDiffer(t *testing.T) {
	var tags []string
	for _, tag := range Tags() {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	if len(slices.Compact(tags)) != int(row.BpfHookMost) {
		t.Errorf("two programs have one tag: %v", tags)
	}
}
