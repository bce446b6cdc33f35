package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"kube-router/internal/model"
	"kube-router/internal/row"
)

// impatient lets a pod on our bridge ask for the Ethernet address of a neighbour three times in 0.3 s, and not in 3: all of them are on
// this machine. Who connects to an address that no pod has is told at once.
func impatient(ifname string) error {
	for _, family := range []string{"ipv4", "ipv6"} {
		err := os.WriteFile(filepath.Join("/proc/sys/net", family, "neigh", ifname, "retrans_time_ms"), []byte(row.SolicitMS), 0o644)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// cookie is that of the thread's network namespace; 0: this kernel has none (Linux 5.14), so that the pod's sockets are left alone.
func cookie() uint64 {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	n, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0
	}
	return n
}

// announce tells the neighbours on the link whose some addresses are: who knew another pod there would send to that
// for up to a minute. Linux does the same for an interface that comes up with addresses (arp_notify, ndisc_notify), but
// plugins give them afterwards.
func announce(ifname string, mac model.MAC, addrs []netip.Addr) error {
	if mac == (model.MAC{}) || len(addrs) == 0 {
		return nil
	}
	link, err := net.InterfaceByName(ifname)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, a := range addrs {
		frame := gratuitous(mac, a)
		if a.Is6() {
			frame = unsolicited(mac, a)
		}
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	return nil
}

// gratuitous is an ARP request of an address for itself, to everybody (RFC 5227, section 3).
func gratuitous(mac model.MAC, a netip.Addr) []byte {
	b := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac[:]...)
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_ARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 1) // Ethernet, IPv4, their lengths, request
	b = append(append(b, mac[:]...), a.AsSlice()...)
	return append(append(b, 0, 0, 0, 0, 0, 0), a.AsSlice()...)
}

// unsolicited is a neighbour advertisement to all nodes on the link (RFC 4861, section 7.2.6).
func unsolicited(mac model.MAC, a netip.Addr) []byte {
	all := netip.MustParseAddr("ff02::1")
	body := append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, a.AsSlice()...) // override
	body = append(append(body, 2, 1), mac[:]...)                        // target link-layer address
	sum := uint32(len(body)) + unix.IPPROTO_ICMPV6
	for _, part := range [][]byte{a.AsSlice(), all.AsSlice(), body} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(body[2:], ^uint16(sum))
	b := append([]byte{0x33, 0x33, 0, 0, 0, 1}, mac[:]...)
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IPV6)
	b = append(b, 0x60, 0, 0, 0, 0, byte(len(body)), unix.IPPROTO_ICMPV6, 255)
	b = append(append(b, a.AsSlice()...), all.AsSlice()...)
	return append(b, body...)
}
