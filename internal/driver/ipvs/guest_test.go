//go:build guest

package ipvs

import (
	"errors"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"kube-router/internal/model"
	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// namespace makes a network namespace that is gone when the test is, and runs f in it.
func namespace(t testing.TB, f func()) netns.NsHandle {
	t.Helper()
	var ns netns.NsHandle
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		if ns, err = netns.New(); err != nil {
			return
		}
		// Without any address the kernel takes no destination to be a unicast one.
		if lo, failure := netlink.LinkByName("lo"); failure != nil || netlink.LinkSetUp(lo) != nil {
			t.Errorf("setting lo up: %v", failure)
		}
		if f != nil {
			f()
		}
	}()
	<-done
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
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

func TestKernelConformance(t *testing.T) {
	conform.Target(t, config(
		func(t testing.TB) Kernel { return socket(t, namespace(t, nil)) },
		func(k Kernel) func(testing.TB) func() error {
			return func(t testing.TB) func() error {
				in(t, k.(*Socket).ns, "ipvsadm", "-A", "-t", "192.0.2.200:443", "-s", "rr")
				return func() error { return still(k, foreignServer) }
			}
		}, 5000))
}

// in runs a tool in a namespace and returns what it prints.
func in(t testing.TB, ns netns.NsHandle, args ...string) string {
	t.Helper()
	var out []byte
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = netns.Set(ns); err == nil {
			out, err = exec.Command(args[0], args[1:]...).CombinedOutput()
		}
	}()
	<-done
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

// TestRowsPrintAsIpvsadmDoes: the tool that users know shows what the rows say.
func TestRowsPrintAsIpvsadmDoes(t *testing.T) {
	ns := namespace(t, nil)
	want := []row.Ipvs{
		row.IpvsServer{Front: front("10.96.0.10:53", 17), Scheduler: "rr"},
		row.IpvsDest{Front: front("10.96.0.10:53", 17), To: ap("10.244.1.5:5353"), Weight: 1},
		row.IpvsServer{Front: front("10.96.0.1:443", 6), Scheduler: "sh", Persist: 3 * time.Hour, Flags: row.IpvsFallback},
		row.IpvsDest{Front: front("10.96.0.1:443", 6), To: ap("10.0.0.1:6443"), Weight: 0},
		row.IpvsServer{Front: front("[fd00::a]:443", 6), Scheduler: "mh", Flags: row.IpvsFallback | row.IpvsPort},
		row.IpvsDest{Front: front("[fd00::a]:443", 6), To: ap("[fd00:1::5]:6443"), Weight: 1},
		row.IpvsServer{Front: front("10.96.0.9:9", 132), Scheduler: "wrr", Flags: row.IpvsFlag3},
		row.IpvsServer{Front: row.IpvsFront{Mark: 77}, Scheduler: "rr"},
		row.IpvsDest{Front: row.IpvsFront{Mark: 77}, To: ap("10.244.1.5:0"), Weight: 1, Method: row.IpvsTunnel},
		row.IpvsServer{Front: row.IpvsFront{Mark: 77, V6: true}, Scheduler: "lc"},
	}
	d := New(socket(t, ns), Options{})
	if err := d.Apply(t.Context(), conform.Diff(nil, conform.Index[row.IpvsKey](want))); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for line := range strings.Lines(in(t, ns, "ipvsadm", "-Sn")) {
		shown[strings.TrimSpace(line)] = true
	}
	printed := map[string]bool{}
	for _, r := range want {
		printed[r.String()] = true
	}
	if d := cmp.Diff(shown, printed); d != "" {
		t.Errorf("ipvsadm - rows +:\n%s", d)
	}
}

// TestAnothersOnOurDummyLinkIsOurs: the reference left it there.
func TestAnothersOnOurDummyLinkIsOurs(t *testing.T) {
	ns := namespace(t, func() {
		link := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: row.DummyName}}
		if err := netlink.LinkAdd(link); err != nil {
			t.Error(err)
		}
		a, _ := netlink.ParseAddr("10.96.0.10/32")
		if err := netlink.AddrAdd(link, a); err != nil {
			t.Error(err)
		}
	})
	in(t, ns, "ipvsadm", "-A", "-t", "10.96.0.10:80", "-s", "rr")
	in(t, ns, "ipvsadm", "-A", "-t", "10.0.0.1:80", "-s", "rr")
	d := New(socket(t, ns), Options{})
	have, err := d.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old := row.IpvsServer{Front: front("10.96.0.10:80", 6), Scheduler: "rr", Unmarked: true}
	if diff := cmp.Diff(map[row.IpvsKey]row.Ipvs{old.Key(): old}, have, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("want - have +:\n%s", diff)
	}
	want := old
	want.Unmarked = false
	if err := d.Apply(t.Context(), conform.Diff(have, map[row.IpvsKey]row.Ipvs{want.Key(): want})); err != nil {
		t.Fatal(err)
	}
	if have, _ = d.Dump(t.Context()); have[want.Key()] != want {
		t.Errorf("after adoption: %v", have)
	}
	// A tool that edits it takes the mark off; on our link it stays ours.
	in(t, ns, "ipvsadm", "-E", "-t", "10.96.0.10:80", "-s", "lc")
	if have, _ = d.Dump(t.Context()); len(have) != 1 {
		t.Errorf("after an edit: %v", have)
	}
}

func TestTimeoutsInTheKernel(t *testing.T) {
	s := socket(t, namespace(t, nil))
	d := New(s, Options{})
	var r row.Ipvs = row.IpvsTimeouts{TCP: time.Hour, UDP: time.Minute}
	if err := d.Apply(t.Context(), []change{{New: &r}}); err != nil {
		t.Fatal(err)
	}
	have, err := s.Timeouts()
	if want := (row.IpvsTimeouts{TCP: time.Hour, TCPFin: 2 * time.Minute, UDP: time.Minute}); err != nil || have != want {
		t.Errorf("want %v, have %v, %v", want, have, err)
	}
}

func TestAvailable(t *testing.T) {
	if !Available(namespace(t, nil)) {
		t.Error("the guest has IPVS")
	}
}

// BenchmarkTenThousandServices loads ten thousand virtual servers of ten destinations and changes one.
func BenchmarkTenThousandServices(b *testing.B) {
	for range b.N {
		d := New(socket(b, namespace(b, nil)), Options{})
		all := conform.Index[row.IpvsKey](many(10000, 10))
		start := time.Now()
		lap := func(what string) {
			b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/"+what)
			start = time.Now()
		}
		if err := d.Apply(b.Context(), conform.Diff(nil, all)); err != nil {
			b.Fatal(err)
		}
		lap("cold")
		if have, err := d.Dump(b.Context()); err != nil || len(have) != len(all) {
			b.Fatalf("dump: %d rows of %d, %v", len(have), len(all), err)
		}
		lap("dump")
		gone := all[row.IpvsKey{Front: front("10.96.3.7:80", 6), To: ap("10.244.3.7:4")}]
		for range 100 {
			if err := d.Apply(b.Context(), []change{{Key: gone.Key(), Old: &gone}}); err != nil {
				b.Fatal(err)
			}
			if err := d.Apply(b.Context(), []change{{Key: gone.Key(), New: &gone}}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/200, "us/change")
	}
}

// TestTheKernelsSchedulers: each name is one that the kernel knows, asking makes nothing, and what nobody has is told.
func TestTheKernelsSchedulers(t *testing.T) {
	k := socket(t, namespace(t, nil))
	for _, name := range append(model.Schedulers(), "nonesuch") {
		has, err := k.HasScheduler(name)
		if err != nil || has != (name != "nonesuch") {
			t.Errorf("scheduler %s: %v, %v", name, has, err)
		}
	}
	if list, err := k.Servers(); err != nil || len(list) > 0 {
		t.Errorf("asking made %v (%v)", list, err)
	}
	d := New(k, Options{})
	var heard []string
	d.OnLack(func(list []string) { heard = list })
	var bad failed
	s := row.IpvsServer{Front: front("10.96.0.10:80", 6), Scheduler: "nonesuch"}
	err := d.Apply(t.Context(), conform.Diff(nil, conform.Index[row.IpvsKey]([]row.Ipvs{s})))
	if !errors.As(err, &bad) || !errors.As(bad[s.Key()], &row.Later{}) || !slices.Equal(heard, []string{"nonesuch"}) {
		t.Errorf("%v, heard %v", err, heard)
	}
	if text := in(t, k.ns, "ipvsadm", "-Sn"); !strings.Contains(text, "10.96.0.10:80 -s rr") {
		t.Errorf("%s; want rr in its place", text)
	}
}
