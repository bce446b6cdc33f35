package bpf

import (
	"net/netip"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// TestRightsThatSuffice does all that the daemon does with CAP_BPF and CAP_NET_ADMIN alone.
func TestRightsThatSuffice(t *testing.T) {
	w := newWorld(t)
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // its rights are the thread's, which ends with it
		done <- func() error {
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			data := [2]unix.CapUserData{}
			for _, c := range []int{unix.CAP_BPF, unix.CAP_NET_ADMIN} {
				data[c/32].Effective |= 1 << (c % 32)
				data[c/32].Permitted |= 1 << (c % 32)
			}
			if err := unix.Capset(&header, &data[0]); err != nil {
				return err
			}
			if err := Try(Options{Root: w.root, Cgroup: w.cgroup}); err != nil {
				return err
			}
			d := w.open()
			want := conform.Index[row.BpfKey](manyRows(w.cgroup, 40))
			if err := d.Apply(t.Context(), conform.Diff(nil, want)); err != nil {
				return err
			}
			have, err := d.Dump(t.Context())
			if left := conform.Diff(have, want); err != nil || len(left) > 0 {
				t.Errorf("%v, left to do: %v", err, left)
			}
			if _, err := d.Counts(); err != nil {
				return err
			}
			return d.Apply(t.Context(), conform.Diff(want, nil))
		}()
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// BenchmarkOneEndpoint changes one endpoint of a frontend with ten, and its head.
func BenchmarkOneEndpoint(b *testing.B) {
	w := newWorld(b)
	d := w.open()
	rows := conform.Index[row.BpfKey](manyRows(w.cgroup, 110_000))
	if err := d.Apply(b.Context(), conform.Diff(nil, rows)); err != nil {
		b.Fatal(err)
	}
	slot := row.Bpf(row.BpfSlot(front10(), 6, 1, front10()))
	head := row.Bpf(row.BpfHead(front10(), 6, 3))
	changes := []change{{Key: slot.Key(), New: &slot}, {Key: head.Key(), New: &head}}
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Apply(b.Context(), changes); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if err := w.pins().clear(); err != nil {
		b.Error(err)
	}
}

// BenchmarkCold writes 10,000 frontends with ten endpoints each, and the programs.
func BenchmarkCold(b *testing.B) {
	w := newWorld(b)
	d := w.open()
	changes := conform.Diff(nil, conform.Index[row.BpfKey](tenEach(w.cgroup, 10_000)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Apply(b.Context(), changes); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := w.pins().clear(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func front10() netip.AddrPort { return netip.AddrPortFrom(plus("10.96.0.0", 3), 80) }

// tenEach are programs and frontends of IPv4 with ten endpoints each.
func tenEach(cgroup string, n int) []row.Bpf {
	rows := manyRows(cgroup, int(row.BpfHookMost)+2)
	for i := range n {
		front := netip.AddrPortFrom(plus("10.96.0.0", i), 80)
		rows = append(rows, row.BpfHead(front, 6, 10))
		for slot := range 10 {
			rows = append(rows, row.BpfSlot(front, 6, slot, netip.AddrPortFrom(plus("10.128.0.0", i*10+slot), 8080)))
		}
	}
	return rows
}
