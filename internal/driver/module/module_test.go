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
