package nft

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"testing"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/driver/nft"
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// BenchmarkGuard sends frames from one port of a bridge to another, without the guard and with it for 250 pods. The ratio of the
// two is what the guard costs; a packet of a pod goes through more than this.
func BenchmarkGuard(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	old, err := netns.Get()
	if err != nil {
		b.Fatal(err)
	}
	defer old.Close()
	ns, err := netns.New()
	if err != nil {
		b.Fatal(err)
	}
	defer ns.Close()
	defer func() { _ = netns.Set(old) }()
	out, err := exec.Command("sh", "-ec", `ip link add name cni9 type bridge && ip link set cni9 up
for i in 1 2; do ip link add veth$i type veth peer name end$i && ip link set veth$i master cni9 && ip link set veth$i up && ip link set end$i up; done; sleep 1`).CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	end1, err := net.InterfaceByName("end1")
	if err != nil {
		b.Fatal(err)
	}
	end2, err := net.InterfaceByName("end2")
	if err != nil {
		b.Fatal(err)
	}
	frames := map[string][]byte{}
	head := append(append([]byte{}, end2.HardwareAddr...), end1.HardwareAddr...)
	four := append([]byte{8, 0, 0x45, 0, 0, 92, 0, 0, 0, 0, 64, 17, 0, 0, 10, 244, 1, 1, 10, 244, 1, 2}, make([]byte, 72)...)
	frames["IPv4"] = append(append([]byte{}, head...), four...)
	six := append([]byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, 72, 17, 64}, netip.MustParseAddr("fd00::1").AsSlice()...)
	frames["IPv6"] = append(append(append(append([]byte{}, head...), six...), netip.MustParseAddr("fd00::2").AsSlice()...), make([]byte, 72)...)
	table, err := nft.New(int(ns))
	if err != nil {
		b.Fatal(err)
	}
	defer table.Close()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Ifindex: end1.Index}
	for _, guarded := range []bool{false, true} {
		if guarded {
			if err := table.Apply(context.Background(), additions(guardOf(250, end1.HardwareAddr))); err != nil {
				b.Fatal(err)
			}
		}
		for _, family := range []string{"IPv4", "IPv6"} {
			b.Run(fmt.Sprintf("%s/guarded=%t", family, guarded), func(b *testing.B) {
				for b.Loop() {
					if err := unix.Sendto(fd, frames[family], 0, to); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// guardOf is the guard of n pods, the first of which has the Ethernet address.
func guardOf(n int, first net.HardwareAddr) []row.Nft {
	rows := GuardBase()
	for i := 1; i <= n; i++ {
		p := &intent.Port{Name: fmt.Sprintf("veth%d", i), MAC: [6]byte{2, 0, 0, 0, 0, byte(i)}, Addrs: []netip.Addr{
			netip.AddrFrom4([4]byte{10, 244, 1, byte(i)}), netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i)}),
		}}
		if i == 1 {
			copy(p.MAC[:], first)
		}
		rows = append(rows, GuardPort(p)...)
	}
	return rows
}
