package conntrack

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	ct "github.com/ti-mo/conntrack"
	"github.com/vishvananda/netns"
)

// namespace makes a network namespace of its own that goes with the test.
func namespace(t testing.TB) netns.NsHandle {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("making a network namespace (root is needed): %v", err)
	}
	if err := netns.Set(old); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// begin makes flows through another library than ours.
func begin(t testing.TB, ns netns.NsHandle, list ...Flow) {
	t.Helper()
	c := dial(t, ns)
	defer c.Close()
	for _, f := range list {
		n := ct.NewFlow(f.Protocol, ct.StatusConfirmed|ct.StatusSeenReply|ct.StatusDstNAT|ct.StatusDstNATDone, f.Orig.Src.Addr(), f.Orig.Dst.Addr(), f.Orig.Src.Port(), f.Orig.Dst.Port(), 300, 0)
		n.TupleReply.IP.SourceAddress, n.TupleReply.Proto.SourcePort = f.Reply.Src.Addr(), f.Reply.Src.Port()
		n.Zone = 0
		if f.Protocol == 6 {
			n.ProtoInfo.TCP = &ct.ProtoInfoTCP{State: 3}
		}
		if err := c.Create(n); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
	}
}

func dial(t testing.TB, ns netns.NsHandle) *ct.Conn {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err = netns.Set(ns); err != nil {
		t.Fatal(err)
	}
	c, err := ct.Dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := netns.Set(old); err != nil {
		t.Fatal(err)
	}
	return c
}

func socket(t testing.TB, ns netns.NsHandle) *Socket {
	t.Helper()
	s, err := Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func listed(t *testing.T, s *Socket, f Filter) []string {
	t.Helper()
	var list []string
	if err := s.Flows(f, func(w Flow) { list = append(list, w.String()) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func TestKernelFilters(t *testing.T) {
	ns := namespace(t)
	begin(t, ns,
		flow(17, "10.244.1.1:1000", "10.96.0.10:53", "10.244.1.5:53"),
		flow(17, "10.244.1.1:1001", "10.96.0.10:54", "10.244.1.5:53"),
		flow(17, "10.244.1.1:1002", "10.96.0.11:53", "10.244.1.5:53"),
		flow(6, "10.244.1.1:1003", "10.96.0.10:53", "10.244.1.5:53"),
		flow(17, "[fd00:244::1]:1000", "[fd00:96::a]:53", "[fd00:244::5]:53"),
	)
	s := socket(t, ns)
	for _, c := range []struct {
		f    Filter
		want int
	}{
		{Filter{}, 4},
		{Filter{V6: true}, 1},
		{Filter{Protocol: 17}, 3},
		{Filter{Protocol: 6}, 1},
		{Filter{Protocol: 17, V6: true}, 1},
		{Filter{Protocol: 17, Dst: ap("10.96.0.10:53")}, 1},
		{Filter{Dst: ap("10.96.0.10:53")}, 2},
		{Filter{Protocol: 17, V6: true, Dst: ap("[fd00:96::a]:53")}, 1},
		{Filter{Protocol: 17, Dst: ap("10.96.0.12:53")}, 0},
	} {
		if got := listed(t, s, c.f); len(got) != c.want {
			t.Errorf("%+v gives %d flows; want %d: %v", c.f, len(got), c.want, got)
		}
	}
	if got := listed(t, s, Filter{Protocol: 17, Dst: ap("10.96.0.10:53")}); !slices.Equal(got, []string{"udp 10.96.0.10:53 from 10.244.1.1:1000 answered by 10.244.1.5:53"}) {
		t.Errorf("got %v", got)
	}
}

func TestKernelTable(t *testing.T) {
	ns := namespace(t)
	begin(t, ns,
		flow(17, "10.244.1.1:1000", "10.96.0.10:53", "10.244.1.5:53"),
		flow(17, "10.244.1.1:1001", "10.96.0.10:53", "10.244.2.5:53"),
		flow(17, "10.244.1.1:1002", "10.96.0.10:54", "10.244.2.5:53"),
		flow(17, "[fd00:244::1]:1000", "[fd00:96::a]:53", "[fd00:244::5]:53"),
		flow(6, "10.244.1.1:1003", "10.96.0.10:53", "10.244.2.5:53"),
	)
	s := socket(t, ns)
	tab := NewTable(s)
	four, six := flows(17, "10.96.0.10:53", "10.244.1.5:53"), flows(17, "[fd00:96::a]:53")
	turn(t, tab, nil, &four)
	turn(t, tab, nil, &six)
	got := append(listed(t, s, Filter{}), listed(t, s, Filter{V6: true})...)
	want := []string{
		"tcp 10.96.0.10:53 from 10.244.1.1:1003 answered by 10.244.2.5:53",
		"udp 10.96.0.10:53 from 10.244.1.1:1000 answered by 10.244.1.5:53",
		"udp 10.96.0.10:54 from 10.244.1.1:1002 answered by 10.244.2.5:53",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func TestDeleteTakesTheVeryFlow(t *testing.T) {
	ns := namespace(t)
	f := flow(17, "10.244.1.1:1000", "10.96.0.10:53", "10.244.1.5:53")
	begin(t, ns, f)
	s := socket(t, ns)
	f.ID = 1 // surely not the one that the kernel gave
	if err := s.Delete(f); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, s, Filter{}); len(got) != 1 {
		t.Errorf("a flow of another identity was deleted: %v left", got)
	}
	f.ID = 0
	for range 2 { // the second finds nothing, which is fine
		if err := s.Delete(f); err != nil {
			t.Fatal(err)
		}
	}
	if got := listed(t, s, Filter{}); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

// BenchmarkOneFrontOfMany prints what a look at one front costs beside 20,000 other flows.
func BenchmarkOneFrontOfMany(b *testing.B) {
	ns := namespace(b)
	var list []Flow
	for i := range 20000 {
		list = append(list, flow(17, fmt.Sprintf("10.244.%d.%d:1000", i>>8, i&255), "10.96.0.10:54", "10.244.1.5:53"))
	}
	begin(b, ns, list...)
	s := socket(b, ns)
	for name, f := range map[string]Filter{"front": {Protocol: 17, Dst: ap("10.96.0.10:53")}, "protocol": {Protocol: 17}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Flows(f, func(Flow) {}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzParse: bytes from the kernel may be cut or of a later version; parse never panics.
func FuzzParse(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0, 8, 0, 12, 0, 0, 0, 0, 1})
	f.Add([]byte{2, 0, 0, 0, 28, 0, 1, 128, 20, 0, 1, 128, 8, 0, 1, 0, 10, 0, 0, 1, 8, 0, 2, 0, 10, 0, 0, 2, 4, 0, 2, 128})
	f.Fuzz(func(t *testing.T, data []byte) { parse(data) })
}

// TestKernelDeletesWhatWasSeen leaves a flow alone that began with the same client's port after another one was seen there: the kernel
// often gives it the same identity.
func TestKernelDeletesWhatWasSeen(t *testing.T) {
	for _, old := range []Flow{
		flow(6, "10.244.1.1:1000", "10.96.0.10:80", "10.244.1.5:80"),
		flow(17, "[fd00:244::1]:1000", "[fd00:96::a]:53", "[fd00:244::5]:53"),
	} {
		ns := namespace(t)
		s := socket(t, ns)
		young := old
		young.Reply.Src = netip.AddrPortFrom(young.Reply.Src.Addr().Next(), young.Reply.Src.Port())
		same := 0
		for range 20 {
			begin(t, ns, old)
			seen := all(t, s, old.Orig.Dst.Addr().Is6())
			if err := s.Delete(seen...); err != nil {
				t.Fatal(err)
			}
			begin(t, ns, young)
			now := all(t, s, old.Orig.Dst.Addr().Is6())
			if len(seen) != 1 || len(now) != 1 {
				t.Fatalf("%v became %v", seen, now)
			}
			if seen[0].ID == now[0].ID {
				same++
			}
			if err := s.Delete(seen...); err != nil {
				t.Fatal(err)
			}
			if left := all(t, s, old.Orig.Dst.Addr().Is6()); len(left) != 1 {
				t.Fatalf("%v went with %v", now, seen)
			}
			if err := s.Delete(now...); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%s: the same identity %d times of 20", old, same)
	}
}

func all(t *testing.T, s *Socket, v6 bool) (list []Flow) {
	t.Helper()
	if err := s.Flows(Filter{V6: v6}, func(f Flow) { list = append(list, f) }); err != nil {
		t.Fatal(err)
	}
	return list
}
