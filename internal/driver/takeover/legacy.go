package takeover

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// The questions of iptables-legacy (include/uapi/linux/netfilter_ipv4/ip_tables.h; IPv6 has the same numbers).
const (
	legacyInfo    = 64
	legacyEntries = 65
	tableName     = 32 // bytes of a table's name
	infoSize      = tableName + 4 + 5*4 + 5*4 + 4 + 4
	sizeOffset    = infoSize - 4
)

// findLegacy finds chains of iptables-legacy. The kernel lists the tables in use in /proc, so that none is
// made by asking for it.
func (d *Driver) findLegacy() ([]row.Leftover, error) {
	var found []row.Leftover
	err := d.inside(func() error {
		for _, f := range []struct {
			v6           bool
			names        string
			domain, opts int
		}{
			{false, "/proc/thread-self/net/ip_tables_names", unix.AF_INET, unix.SOL_IP},
			{true, "/proc/thread-self/net/ip6_tables_names", unix.AF_INET6, unix.SOL_IPV6},
		} {
			text, err := os.ReadFile(f.names)
			if err != nil {
				continue // a kernel without them
			}
			for _, table := range strings.Fields(string(text)) {
				blob, err := legacyTable(f.domain, f.opts, table)
				if err != nil {
					return fmt.Errorf("read table %s of iptables-legacy: %w", table, err)
				}
				for _, name := range legacyChains(blob) {
					found = append(found, row.Leftover{Kind: row.LeftoverLegacy, V6: f.v6, Of: chainOf(name), Table: table, Name: name})
				}
			}
		}
		return nil
	})
	return found, err
}

// legacyTable reads a table as the kernel keeps it.
func legacyTable(domain, level int, table string) ([]byte, error) {
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	info := make([]byte, infoSize)
	copy(info, table)
	if err = getsockopt(fd, level, legacyInfo, info); err != nil {
		return nil, err
	}
	size := *(*uint32)(unsafe.Pointer(&info[sizeOffset]))
	// struct ipt_get_entries: name, size, padding to eight bytes, entries.
	blob := make([]byte, tableName+8+int(size))
	copy(blob, table)
	*(*uint32)(unsafe.Pointer(&blob[tableName])) = size
	err = getsockopt(fd, level, legacyEntries, blob)
	return blob, err
}

// getsockopt is the system call with a buffer that is question and answer in one.
func getsockopt(fd, level, opt int, buf []byte) error {
	n := uint32(len(buf))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(opt),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// legacyChains are the names of leftover chains in a table. A chain begins with an entry whose target is
// "ERROR" and carries the chain's name, both padded with zero bytes (struct xt_error_target).
func legacyChains(blob []byte) []string {
	const targetName, padding = 29, 1
	var names []string
	for {
		i := bytes.Index(blob, []byte("ERROR\x00"))
		if i < 0 {
			return names
		}
		blob = blob[i+len("ERROR"):]
		if at := targetName + padding - len("ERROR"); len(blob) > at {
			name, _, _ := bytes.Cut(blob[at:min(at+30, len(blob))], []byte{0})
			if chainOf(string(name)) != "" {
				names = append(names, string(name))
			}
		}
	}
}
