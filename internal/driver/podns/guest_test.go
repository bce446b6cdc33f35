//go:build guest

package podns

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// node is a directory with the records of ten pods, each in a namespace with an address of each family.
func node(t testing.TB, record bool) string {
	root := t.TempDir()
	for _, dir := range []string{cacheDir, netnsDir} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		name := fmt.Sprintf("pod-%d", i)
		path := filepath.Join(root, netnsDir, name)
		pod(t, path, podAddr(i, false), podAddr(i, true))
		if !record {
			continue
		}
		text := strings.NewReplacer("/var/run/netns/cni-1", "/"+netnsDir+"/"+name, "web-0", name,
			"10.244.1.5", podAddr(i, false).String(), "fd00:244:1::5", podAddr(i, true).String()).Replace(cached)
		if err := os.WriteFile(filepath.Join(root, cacheDir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// pod makes a named namespace with addresses.
func pod(t testing.TB, path string, addrs ...netip.Addr) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		done <- func() error {
			ns, err := netns.New()
			if err != nil {
				return err
			}
			defer ns.Close()
			link := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}}
			if err := netlink.LinkAdd(link); err != nil {
				return err
			}
			if err := netlink.LinkSetUp(link); err != nil {
				return err
			}
			for _, a := range addrs {
				if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: single(a), Flags: unix.IFA_F_NODAD}); err != nil {
					return err
				}
			}
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return unix.Mount(fmt.Sprintf("/proc/self/fd/%d", ns), path, "", unix.MS_BIND, "")
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
}

func podAddr(i int, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0: 0xfd, 2: 1, 15: byte(i + 1)})
	}
	return netip.AddrFrom4([4]byte{10, 244, 1, byte(i + 1)})
}

// vips are n addresses of Services in ten pods.
func vips(n int) []row.PodVIP {
	var list []row.PodVIP
	for i := range n {
		v6 := i%4 == 3
		vip := netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i)})
		if v6 {
			vip = netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x99, 14: byte(i >> 8), 15: byte(i)})
		}
		pod := i % 10
		list = append(list, row.PodVIP{Pod: row.KubeName{Namespace: "default", Name: fmt.Sprintf("pod-%d", pod)}, Addr: podAddr(pod, v6), VIP: vip})
	}
	return list
}

func TestConformance(t *testing.T) {
	for _, record := range []bool{true, false} {
		t.Run(fmt.Sprintf("record=%t", record), func(t *testing.T) {
			var d *Driver
			conform.Target(t, conform.Config[row.PodVIPKey, row.PodVIP]{
				World:  func(t testing.TB) { d = New(Options{Roots: []string{node(t, record)}}) },
				Open:   func(testing.TB) row.Target[row.PodVIPKey, row.PodVIP] { return d },
				Rows:   vips,
				Change: func(r row.PodVIP) (row.PodVIP, bool) { return r, false },
				Bad: func() []row.PodVIP {
					return []row.PodVIP{{Pod: row.KubeName{Namespace: "default", Name: "nobody"}, Addr: netip.MustParseAddr("10.244.9.9"), VIP: netip.MustParseAddr("10.99.9.9")}}
				},
				Many: 200,
			})
		})
	}
}

// TestNothingIsLeftInThePod: the links go with the last address, and the pod's own are as they were.
func TestNothingIsLeftInThePod(t *testing.T) {
	root := node(t, true)
	d := New(Options{Roots: []string{root}})
	rows := conform.Index[row.PodVIPKey](vips(8))
	for _, changes := range [][]row.Change[row.PodVIPKey, row.PodVIP]{conform.Diff(nil, rows), conform.Diff(rows, nil)} {
		if err := d.Apply(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
	}
	in, err := open(filepath.Join(root, netnsDir, "pod-3"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	for _, name := range []string{row.PodTunnelName, row.PodTunnel6Name} {
		if _, err := in.LinkByName(name); err == nil {
			t.Errorf("%s is left", name)
		}
	}
	if !in.has(podAddr(3, false)) || !in.has(podAddr(3, true)) {
		t.Error("the pod lost its addresses")
	}
}
