package bpf

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// world is a BPF file system and a cgroup of a test's own.
type world struct{ root, cgroup string }

func newWorld(t testing.TB) world {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("needs root, as everything here that asks the kernel")
	}
	mount := func(kind string) string {
		dir := t.TempDir()
		if err := unix.Mount(kind, dir, kind, 0, ""); err != nil {
			t.Fatalf("mount -t %s: %v", kind, err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		return dir
	}
	hierarchy := mount("cgroup2")
	cgroup, err := os.MkdirTemp(hierarchy, "kr-test-") // a kernel has one hierarchy: other runs meet here
	if err != nil {
		t.Fatal(err)
	}
	w := world{root: mount("bpf"), cgroup: cgroup}
	t.Cleanup(func() {
		enter(t, hierarchy)
		if err := os.Remove(w.cgroup); err != nil {
			t.Error(err)
		}
	})
	return w
}

// enter moves the test into a cgroup. Sockets belong to the cgroup in which they were made.
func enter(t testing.TB, cgroup string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), []byte("0"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (w world) open() *Driver { return &Driver{w.pins()} }

// pins is a kernel (--bpf-root and --cgroup-root of the daemon) with a later build's programs beside those of this one.
func (w world) pins() *pins {
	k := newPins(Options{Root: w.root, Cgroup: w.cgroup})
	k.code = func(p row.BpfProgram) (asm.Instructions, bool) {
		if code := later(p.Hook); tagOf(code) == p.Tag {
			return code, true
		}
		return codeOf(p)
	}
	return k
}

func TestKernelConforms(t *testing.T) {
	w := newWorld(t)
	c := samples(w.cgroup)
	c.World = func(testing.TB) { _ = w.pins().clear() }
	c.Open = func(testing.TB) row.Target[row.BpfKey, row.Bpf] { return w.open() }
	c.Foreign = func(t testing.TB) func() error { return strangers(t, w) }
	conform.Target(t, c)
	if _, err := os.Stat(filepath.Join(w.root, Folder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("our folder is left: %v", err)
	}
}

// strangers puts somebody else's program on the cgroup and somebody else's map beside our folder.
func strangers(t testing.TB, w world) func() error {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "kr_c4_stranger", Type: ebpf.CGroupSockAddr, AttachType: ebpf.AttachCGroupInet4Connect, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	at, err := os.Open(w.cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	l, err := link.AttachRawLink(link.RawLinkOptions{Target: int(at.Fd()), Program: p, Attach: ebpf.AttachCGroupInet4Connect})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "kr_heads4", Type: ebpf.Hash, KeySize: 8, ValueSize: 4, MaxEntries: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	pin := filepath.Join(w.root, "kr_heads4")
	if err := m.Pin(pin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(pin) })
	return func() error {
		info, err := l.Info()
		if err != nil {
			return err
		}
		runs, err := w.pins().runs(row.BpfConnect4, info.Program)
		if _, gone := os.Stat(pin); err != nil || !runs || gone != nil {
			return errors.Join(err, gone, errors.New("not attached any more, or not pinned"))
		}
		return nil
	}
}

// TestWhatOthersTakeAwayIsFound: a link that was cut off while its pin is there, pins that were removed while programs run.
func TestWhatOthersTakeAwayIsFound(t *testing.T) {
	w := newWorld(t)
	d := w.open()
	want := conform.Index[row.BpfKey](manyRows(w.cgroup, 20))
	if err := d.Apply(t.Context(), conform.Diff(nil, want)); err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]func() error{
		"a link is cut off": func() error {
			l, err := link.LoadPinnedLink(w.pins().pin("connect4_link"), nil)
			if err != nil {
				return err
			}
			return errors.Join(l.Detach(), l.Close())
		},
		"a program's pin":  func() error { return os.Remove(w.pins().pin("connect6_program")) },
		"the pin of heads": func() error { return os.Remove(w.pins().pin("kr_heads4")) },
		"the lease's pin":  func() error { return os.Remove(w.pins().pin("kr_lease")) },
		"the whole folder": func() error { return os.RemoveAll(w.pins().folder) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := harm(); err != nil {
				t.Fatal(err)
			}
			have, err := d.Dump(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(conform.Diff(have, want)) == 0 {
				t.Fatal("nothing was found")
			}
			if err := d.Apply(t.Context(), conform.Diff(have, want)); err != nil {
				t.Fatal(err)
			}
			have, err = d.Dump(t.Context())
			if left := conform.Diff(have, want); err != nil || len(left) > 0 {
				t.Errorf("%v, left to do: %v", err, left)
			}
		})
	}
	if err := d.Apply(t.Context(), conform.Diff(want, nil)); err != nil {
		t.Error(err)
	}
}
