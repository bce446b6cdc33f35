package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"kube-router/internal/driver/module"
)

// known is what a test knows of the kernel's modules: which are loaded, and which could be; nil: that can't be told.
type known struct{ loaded, there []string }

// Safe is true for a loaded module.
func (k known) Safe(name string) bool { return slices.Contains(k.loaded, name) }

// Has is true for one that is there.
func (k known) Has(name string) (bool, error) {
	if k.there == nil {
		return false, fs.ErrNotExist
	}
	return slices.Contains(k.there, name), nil
}

// What would load a module is not tried, and why not is told.
func TestNothingIsLoaded(t *testing.T) {
	tried := false
	never := func() (bool, error) { return false, nil }
	for _, c := range []struct {
		k     known
		there func() (bool, error)
		tries bool
		err   string
	}{
		{known{loaded: []string{"a", "b"}}, never, true, ""},
		{known{loaded: []string{"a"}, there: []string{"b"}}, nil, false, "its module is not loaded yet: b"},
		{known{loaded: []string{"a"}, there: []string{"c"}}, never, false, "this kernel has no module b"},
		{known{loaded: []string{"a"}}, never, false, "not loaded: b; file does not exist"},
		{known{}, func() (bool, error) { return true, nil }, true, ""}, // built in, and nobody says so
	} {
		tried = false
		err := trial{[]string{"a", "b"}, c.there, func() error { tried = true; return nil }}.judge(c.k)
		if tried != c.tries || (err != nil || c.err != "") && fmt.Sprint(err) != c.err {
			t.Errorf("%+v: tried %v, %v; want %v, %q", c.k, tried, err, c.tries, c.err)
		}
	}
}

// The kernel tells which kinds of link it knows now.
func TestRegistered(t *testing.T) {
	for kind, want := range map[string]bool{"veth": true, "bridge": true, "nonesuch": false} {
		if have, err := registered(kind); have != want || err != nil {
			t.Errorf("%s: %v, %v", kind, have, err)
		}
	}
}

// sysModules are the names below /sys/module: those that are loaded.
func sysModules(t *testing.T) []string {
	t.Helper()
	list, err := os.ReadDir("/sys/module")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// What every kernel that runs these tests has is found, and the node has nothing more afterwards.
func TestKernel(t *testing.T) {
	before, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	modules, err := module.New()
	if err != nil {
		t.Fatal(err)
	}
	loaded := sysModules(t)
	can, err := Kernel(modules)
	if err != nil {
		t.Fatal(err)
	}
	if now := sysModules(t); !slices.Equal(now, loaded) {
		t.Errorf("modules were loaded: before %v, after %v", loaded, now)
	}
	for _, f := range []Facility{Nftables, Conntrack, Bridge, Veth, VXLAN, Rules, BrNetfilter} {
		if why, ok := can[f]; !ok || why != nil && !errors.Is(why, ErrNotLoaded) {
			t.Errorf("%s: %v", f, why)
		}
	}
	if len(can) != 12 {
		t.Errorf("%d facilities were tried", len(can))
	}
	after, err := netlink.LinkList()
	if err != nil || len(after) != len(before) {
		t.Errorf("%d links before, %d after, %v", len(before), len(after), err)
	}
}

func TestLook(t *testing.T) {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ns.Close()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
	}()
	text, err := exec.Command("bash", "-euc", `ip link add kube-bridge mtu 1400 type bridge`).CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, text)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"proc/sys/net/ipv4/ip_forward": "1\n", "proc/sys/net/ipv4/tcp_rmem": "1\t2\t3\n",
		"proc/77/comm": "kube-proxy\n", "proc/78/comm": "kube-proxy\n", "proc/79/comm": "sh\n",
		"bin/bridge": "", "conf/20-b.conflist": "", "conf/10-a.conf": "", "conf/README": "",
	} {
		path := filepath.Join(dir, name)
		if err = os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err = os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n, err := Look(filepath.Join(dir, "proc"), filepath.Join(dir, "proc/sys"), []string{"net/ipv4/ip_forward", "net/ipv4/tcp_rmem", "net/none"},
		filepath.Join(dir, "bin"), filepath.Join(dir, "conf"))
	if err != nil {
		t.Fatal(err)
	}
	if n.Settings["net/ipv4/ip_forward"] != "1" || n.Settings["net/ipv4/tcp_rmem"] != "1 2 3" || len(n.Settings) != 2 || !n.Writable {
		t.Errorf("settings %v, writable %v", n.Settings, n.Writable)
	}
	if !slices.Equal(n.Processes, []string{"kube-proxy"}) || !slices.Equal(n.Plugins, []string{"bridge"}) ||
		!slices.Equal(n.CNIFiles, []string{"10-a.conf", "20-b.conflist"}) {
		t.Errorf("%v %v %v", n.Processes, n.Plugins, n.CNIFiles)
	}
	if !slices.Contains(n.Links, Link{Name: "kube-bridge", Kind: "bridge", MTU: 1400}) {
		t.Errorf("links %v", n.Links)
	}
	if n, err := Look(dir, dir, nil, "/nowhere", "/nowhere"); err != nil || n.CNIError == nil || n.Writable {
		t.Errorf("a bare node: %+v %v", n, err)
	}
}
