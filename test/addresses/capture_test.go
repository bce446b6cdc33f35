//go:build addresses

package addresses

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab"
)

// port is where the hosts outside answer.
const port = 9999

// capture notes the source of every packet of TCP or UDP to port that arrives at a host's link.
type capture struct {
	mu   sync.Mutex
	seen map[netip.Addr]int
}

// listen begins to note at a host.
func listen(t *testing.T, h *lab.Host) *capture {
	t.Helper()
	c := &capture{seen: map[netip.Addr]int{}}
	var fd int
	if err := h.Do(func() (err error) {
		all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, int(all)); err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100000})
	go func() {
		defer unix.Close(fd)
		buf := make([]byte, 2048)
		for {
			select {
			case <-done:
				return
			default:
			}
			n, from, err := unix.Recvfrom(fd, buf, 0)
			if l, ok := from.(*unix.SockaddrLinklayer); err != nil || !ok || l.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			c.note(buf[:n])
		}
	}()
	return c
}

func (c *capture) note(b []byte) {
	var src netip.Addr
	var proto, hops byte
	var head int
	switch {
	case len(b) >= 40 && b[0]>>4 == 6:
		src, _ = netip.AddrFromSlice(b[8:24])
		proto, hops, head = b[6], b[7], 40
	case len(b) >= 20 && b[0]>>4 == 4:
		src, _ = netip.AddrFromSlice(b[12:16])
		proto, hops, head = b[9], b[8], int(b[0]&15)*4
	}
	// A connection of before the gateway was the node's own, seen from outside: what its server still sends there the node itself refuses. Its packet has
	// passed one router, a pod's has passed two.
	const rst, ownHops = 4, 63
	if proto == unix.IPPROTO_TCP && hops == ownHops && len(b) >= head+14 && b[head+13]&rst != 0 {
		return
	}
	if (proto == unix.IPPROTO_TCP || proto == unix.IPPROTO_UDP) && len(b) >= head+4 && binary.BigEndian.Uint16(b[head+2:]) == port {
		c.mu.Lock()
		c.seen[src]++
		c.mu.Unlock()
	}
}

// take gives what was noted since, and begins anew.
func (c *capture) take() map[netip.Addr]int {
	time.Sleep(50 * time.Millisecond) // the last packet is read
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = map[netip.Addr]int{}
	return seen
}

// only complains unless packets came from these addresses, from each of them, and from nobody else.
func only(seen map[netip.Addr]int, want ...netip.Addr) string {
	var bad []string
	for a, n := range seen {
		if !slices.Contains(want, a) {
			bad = append(bad, fmt.Sprintf("%d from %s", n, a))
		}
	}
	for _, a := range want {
		if seen[a] == 0 {
			bad = append(bad, "none from "+a.String())
		}
	}
	slices.Sort(bad)
	return strings.Join(bad, ", ")
}

// total counts packets.
func total(seen map[netip.Addr]int) (n int) {
	for v := range maps.Values(seen) {
		n += v
	}
	return n
}
