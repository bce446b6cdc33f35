package podlink

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const bridgeText = `{"type":"bridge","bridge":"kube-bridge","isDefaultGateway":true,"hairpinMode":true,"forceAddress":true,"mtu":1480,
	"ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.1.0/29","rangeStart":"10.244.1.2"}],[{"subnet":"fd00::/64"}]],"routes":[{"dst":"10.9.0.0/16"}]}}`

func conf(t *testing.T, entries ...string) Conf {
	t.Helper()
	c, err := parse(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func parse(entries ...string) (Conf, error) {
	var raw []json.RawMessage
	for _, e := range entries {
		raw = append(raw, json.RawMessage(e))
	}
	return Parse(raw)
}

func TestWhatOursStandsInFor(t *testing.T) {
	c := conf(t, bridgeText, `{"type":"portmap","snat":true}`, `{"type":"bandwidth"}`)
	if c.Bridge != "kube-bridge" || c.MTU != 1480 || !c.Hairpin || !c.Bandwidth || c.Portmap == nil || len(c.Sets) != 2 {
		t.Errorf("read: %+v", c)
	}
	if got := fmt.Sprint(c.Sets[0][0], c.Sets[1][0]); got != "{10.244.1.0/29 10.244.1.2 10.244.1.6 10.244.1.1} {fd00::/64 fd00::1 fd00::ffff:ffff:ffff:ffff fd00::1}" {
		t.Errorf("ranges %s", got)
	}
	for text, why := range map[string]string{
		strings.Replace(bridgeText, `"mtu"`, `"vlan":7,"mtu"`, 1):             "vlan",
		strings.Replace(bridgeText, "host-local", "dhcp", 1):                  "dhcp",
		strings.Replace(bridgeText, `"isDefaultGateway":true,`, "", 1):        "isDefaultGateway",
		strings.Replace(bridgeText, `"mtu"`, `"ipMasq":true,"mtu"`, 1):        "ipMasq",
		strings.Replace(bridgeText, "10.244.1.0/29", "10.244.1.0/31", 1):      "too small",
		strings.Replace(bridgeText, "10.244.1.2", "10.244.2.2", 1):            "is not in",
		strings.Replace(bridgeText, `"type":"bridge"`, `"type":"macvlan"`, 1): "macvlan",
		`{"type":"portmap"}`: "no bridge plugin",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %q", err, why)
		}
	}
}

func open(t *testing.T, dir string) *Leases {
	t.Helper()
	l, err := Open(dir, "mynet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func addrs(given []Address) (list []string) {
	for _, g := range given {
		list = append(list, g.Prefix.Addr().String())
	}
	return list
}

func TestAddressesAreGivenAsHostLocalGivesThem(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, dir), conf(t, bridgeText)
	take := func(id string, wishes ...netip.Addr) ([]string, error) {
		given, err := l.Take(Owner{"mynet", id, "eth0"}, c.Sets, wishes)
		return addrs(given), err
	}
	for i, want := range []string{"[10.244.1.2 fd00::2]", "[10.244.1.3 fd00::3]"} {
		if got, err := take(fmt.Sprint("c", i)); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%v %v, want %s", got, err, want)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "mynet", "fd00::2")); string(text) != "c0\r\neth0" {
		t.Errorf("a lease is %q", text)
	}
	if err := l.Free(Owner{"mynet", "c0", "eth0"}); err != nil {
		t.Fatal(err)
	}
	// An address rests as long as can be, and a fixed one doesn't move that on.
	if got, err := take("fixed", netip.MustParseAddr("10.244.1.6")); err != nil || fmt.Sprint(got) != "[10.244.1.6 fd00::4]" {
		t.Errorf("fixed: %v %v", got, err)
	}
	for _, want := range []string{"10.244.1.4", "10.244.1.5", "10.244.1.2"} {
		if got, err := take("of " + want); err != nil || got[0] != want {
			t.Errorf("%v %v, want %s", got, err, want)
		}
	}
	before, _ := os.ReadDir(filepath.Join(dir, "mynet"))
	if _, err := take("late"); !errors.Is(err, ErrFull) {
		t.Errorf("a full range: %v", err)
	}
	if _, err := take("two", netip.MustParseAddr("fd00::99"), netip.MustParseAddr("10.244.1.6")); err != (Taken{netip.MustParseAddr("10.244.1.6"), Owner{"mynet", "fixed", "eth0"}}) {
		t.Errorf("a taken address: %v", err)
	}
	for _, out := range []string{"10.244.1.1", "10.244.1.7", "10.9.9.9", "fe80::1"} {
		if _, err := take("out", netip.MustParseAddr(out)); err != (OutOfRange{netip.MustParseAddr(out)}) {
			t.Errorf("%s: %v", out, err)
		}
	}
	if after, _ := os.ReadDir(filepath.Join(dir, "mynet")); len(after) != len(before) {
		t.Errorf("who got nothing left %d files, before %d", len(after), len(before))
	}
}

func TestSweepKnowsTheYoung(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	write := func(addr, text string, age time.Duration) {
		path := filepath.Join(dir, "mynet", addr)
		at := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	write("10.244.1.2", "gone\r\neth0", time.Hour)
	write("10.244.1.3", "", time.Hour) // a power cut lost what was in it
	write("10.244.1.4", "starts\r\neth0", time.Second)
	write("10.244.1.5", "lives\r\neth0", time.Hour)
	write("kube-router.draft", "killed\r\neth0", time.Hour)
	freed, young, err := l.Sweep(time.Now(), func(o Owner) bool { return o.Container == "lives" })
	all, _ := l.All()
	var left []string
	for _, le := range all {
		left = append(left, le.Owner.Container)
	}
	if slices.Sort(left); freed != 2 || young != 1 || err != nil || fmt.Sprint(left) != "[lives starts]" {
		t.Errorf("freed %d, young %d, left %s: %v", freed, young, left, err)
	}
}

func TestWhoLives(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	r := Records{Root: root, Attached: filepath.Join(root, "run/kube-router/attached"), Sure: true}
	lives := func(id string) bool { return r.Lives(Owner{"mynet", id, "eth0"}) }
	if !lives("any") {
		t.Error("somebody is dead where nobody keeps records")
	}
	write("run/netns/a", "")
	write("var/lib/cni/results/mynet-a-eth0", `{"netns":"/run/netns/a"}`)
	write("var/lib/cni/results/mynet-gone-eth0", `{"netns":"/run/netns/gone"}`)
	write("var/lib/cni/results/mynet-odd-eth0", `{`)
	write("run/kube-router/attached/b@eth0.json", `{"netns":"/run/netns/a"}`)
	for id, want := range map[string]bool{"a": true, "b": true, "gone": false, "odd": true, "never": false, "": false} {
		if lives(id) != want {
			t.Errorf("%q lives: %t", id, !want)
		}
	}
	if err := os.RemoveAll(filepath.Join(root, "run/netns")); err != nil {
		t.Fatal(err)
	}
	if lives("gone") {
		t.Error("on the host a folder that isn't there has no namespaces")
	}
	if r.Sure = false; !lives("gone") {
		t.Error("a container that doesn't see the folder knows nothing")
	}
}

func TestNames(t *testing.T) {
	a, b := Owner{"n", "ab", "c"}, Owner{"n", "a", "bc"}
	if a.Link() == b.Link() || !OurLink(a.Link()) || len(a.Link()) > 15 || OurLink("veth0123abcd") || OurLink("vethk0123abcdzz") {
		t.Errorf("links %s and %s", a.Link(), b.Link())
	}
	// What plugin bandwidth v1.9.1 calls it.
	if got := (Owner{"mynet", "c1", "eth0"}).limiter(); len(got) != 15 || !strings.HasPrefix(got, "bwp") {
		t.Errorf("limiter %s", got)
	}
}

func TestABurstThatNobodyNamed(t *testing.T) {
	for _, c := range []struct {
		rate, burst uint64
		want        uint32
	}{{8e6, 1<<31 - 1, 1e5}, {8e6, 0, 1e5}, {1e5, 0, 64 << 10}, {8e6, 8e6, 1e6}, {8e6, 1<<32 - 1, 1e5}} {
		if got := bucketSize(c.rate, c.burst); got != c.want {
			t.Errorf("%d bit/s, burst %d: %d bytes, want %d", c.rate, c.burst, got, c.want)
		}
	}
}
