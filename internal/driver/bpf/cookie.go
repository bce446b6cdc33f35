package bpf

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Cookie is the cookie of the calling thread's network namespace (Linux 5.14).
func Cookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if errors.Is(err, unix.ENOPROTOOPT) {
		return 0, fmt.Errorf("this kernel doesn't tell network namespaces apart (SO_NETNS_COOKIE, Linux 5.14): %w", err)
	}
	return cookie, err
}
