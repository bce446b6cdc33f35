package module

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// loader is a Loader over files of the test's own, which notes what it would load.
func loader(t *testing.T, answer func(string) error) (*Loader, *[]string) {
	t.Helper()
	dir, loaded := t.TempDir(), &[]string{}
	for name, text := range map[string]string{
		"modules.dep": "kernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz kernel/net/802/stp.ko.xz kernel/net/llc/llc.ko.xz\n" +
			"kernel/net/ipv4/fou.ko: kernel/net/udp-tunnel.ko\n",
		"modules.builtin": "kernel/drivers/net/some-thing.ko\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "sys", "present"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Loader{lib: dir, sys: filepath.Join(dir, "sys"), init: func(path string) error {
		*loaded = append(*loaded, filepath.Base(path))
		return answer(filepath.Base(path))
	}}, loaded
}

func TestLoad(t *testing.T) {
	for _, c := range []struct {
		name, loads, err string
		answer           error
	}{
		{name: "br_netfilter", loads: "llc.ko.xz stp.ko.xz bridge.ko.xz br_netfilter.ko.xz"},
		{name: "fou", loads: "udp-tunnel.ko fou.ko", answer: unix.EEXIST},
		{name: "fou", loads: "udp-tunnel.ko", answer: unix.EPERM, err: "operation not permitted"},
		{name: "some_thing"},
		{name: "present"},
		{name: "nowhere", err: "this kernel doesn't have it"},
	} {
		l, loaded := loader(t, func(string) error { return c.answer })
		err := l.Load(c.name)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: want error %q, have %v", c.name, c.err, err)
		}
		if have := strings.Join(*loaded, " "); have != c.loads {
			t.Errorf("%s: want %q loaded, have %q", c.name, c.loads, have)
		}
	}
}

// What the kernel has, and what can be used without loading anything.
func TestSafeAndHas(t *testing.T) {
	for _, c := range []struct {
		name, modprobe, disabled string
		safe, has                bool
	}{
		{"present", "/sbin/modprobe\n", "0\n", true, true},
		{"some_thing", "/sbin/modprobe\n", "0\n", true, true}, // built in
		{"fou", "/sbin/modprobe\n", "0\n", false, true},
		{"fou", "/sbin/modprobe\n", "1\n", true, true}, // none can be loaded any more
		{"fou", "\n", "0\n", true, true},               // nor without a program for it
		{"fou", "", "", true, true},                    // nor with CONFIG_MODULES=n
		{"nowhere", "/sbin/modprobe\n", "0\n", false, false},
	} {
		l, _ := loader(t, nil)
		l.proc = t.TempDir()
		for file, text := range map[string]string{"modprobe": c.modprobe, "modules_disabled": c.disabled} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(l.proc, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if safe := l.Safe(c.name); safe != c.safe {
			t.Errorf("%s, modprobe %q, disabled %q: safe is %v", c.name, c.modprobe, c.disabled, safe)
		}
		if has, err := l.Has(c.name); has != c.has || err != nil {
			t.Errorf("%s: there is %v, %v", c.name, has, err)
		}
		l.lib = t.TempDir()
		if has, err := l.Has(c.name); has != (c.name == "present") || (err == nil) != has {
			t.Errorf("%s without the modules' folder: there is %v, %v", c.name, has, err)
		}
	}
}

func TestAFileThatIsNoModule(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.ko")
	if err := os.WriteFile(path, []byte("not a module"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := insert(path); err == nil {
		t.Error("no error")
	}
	if err := insert(path + ".gz"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("have %v", err)
	}
}
