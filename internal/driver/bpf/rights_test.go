package bpf

import (
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// TestRightsThatSuffice does all that the daemon does with CAP_BPF and CAP_NET_ADMIN alone.
func TestRightsThatSuffice(t *testing.T) {
	w := newWorld(t)
	err := withRights(func() error {
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
	}, unix.CAP_BPF, unix.CAP_NET_ADMIN)
	if err != nil {
		t.Error(err)
	}
}

// TestNothingIsAskedWhereNothingIs: the manifests without --socket-lb give no right of BPF, container runtimes then forbid bpf(2)
// itself, and the table is read there all the same.
func TestNothingIsAskedWhereNothingIs(t *testing.T) {
	w := newWorld(t)
	d := w.open()
	read := func() (have map[row.BpfKey]row.Bpf, err error) {
		err = withRights(func() error {
			if err := forbid(unix.SYS_BPF); err != nil {
				t.Error(err)
			}
			have, err = d.Dump(t.Context())
			return err
		}, unix.CAP_NET_ADMIN, unix.CAP_DAC_OVERRIDE)
		return have, err
	}
	if have, err := read(); err != nil || len(have) > 0 {
		t.Errorf("where nothing was ever: %v, %v", have, err)
	}
	want := conform.Index[row.BpfKey](manyRows(w.cgroup, 4))
	if err := d.Apply(t.Context(), conform.Diff(nil, want)); err != nil {
		t.Fatal(err)
	}
	if _, err := read(); !errors.Is(err, unix.EPERM) {
		t.Errorf("what can't be read passes for nothing: %v", err)
	}
	if err := d.Apply(t.Context(), conform.Diff(want, nil)); err != nil {
		t.Fatal(err)
	}
	if have, err := read(); err != nil || len(have) > 0 {
		t.Errorf("where nothing is any more: %v, %v", have, err)
	}
}

// forbid lets a system call end with EPERM in the calling thread, as a container runtime's profile does.
func forbid(call uint32) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	filter := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&filter))); errno != 0 {
		return errno
	}
	return nil
}

// withRights calls f with these capabilities alone.
func withRights(f func() error, capabilities ...int) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // its rights are the thread's, which ends with it
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		data := [2]unix.CapUserData{}
		for _, c := range capabilities {
			data[c/32].Effective |= 1 << (c % 32)
			data[c/32].Permitted |= 1 << (c % 32)
		}
		if err := unix.Capset(&header, &data[0]); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
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
