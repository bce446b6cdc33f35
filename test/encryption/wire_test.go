//go:build encryption || guest

package encryption

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab"
)

// wire watches a host's eth0: what goes there in clear, and what is encrypted.
type wire struct {
	name   string
	fd     int
	done   sync.WaitGroup
	over   atomic.Bool
	sealed atomic.Int64 // packets of WireGuard
	pieces atomic.Int64 // fragments of whatever
	mu     sync.Mutex
	clear  map[string]int // packets of pods, by what they are
	when   map[string]time.Time
}

// tapped watches a host until it is closed.
func tapped(h *lab.Host) (*wire, error) {
	w := &wire{name: h.Name, clear: map[string]int{}, when: map[string]time.Time{}}
	err := h.Do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all)); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20); err != nil {
			return err
		}
		if err := unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
			return err
		}
		return unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index})
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", h.Name, err)
	}
	w.done.Go(w.read)
	return w, nil
}

func (w *wire) read() {
	b := make([]byte, 96)
	for !w.over.Load() {
		if n, _, err := unix.Recvfrom(w.fd, b, 0); err == nil {
			w.take(b[:n])
		}
	}
}

func (w *wire) close() {
	w.over.Store(true)
	w.done.Wait()
	unix.Close(w.fd)
}

var podSpace = []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:244::/48")}

func isPod(a netip.Addr) bool { return podSpace[0].Contains(a) || podSpace[1].Contains(a) }

// take judges a packet.
func (w *wire) take(b []byte) {
	var from, to netip.Addr
	var proto byte
	var rest []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		from, to, proto, rest = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[9], b[int(b[0]&15)*4:]
		if binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			w.pieces.Add(1)
		}
	case len(b) >= 40 && b[0]>>4 == 6:
		from, to, proto, rest = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[6], b[40:]
		if proto == 44 {
			w.pieces.Add(1)
		}
	default:
		return
	}
	port := 0
	if proto == 17 && len(rest) >= 4 {
		port = int(binary.BigEndian.Uint16(rest[2:]))
	}
	switch {
	case isPod(from), isPod(to):
		w.note("%s > %s protocol %d", from, to, proto)
	case proto == 4, proto == 41, port == 8472, port == 5555:
		w.note("a tunnel %s > %s protocol %d port %d", from, to, proto, port)
	case port == 51890:
		w.sealed.Add(1)
	}
}

func (w *wire) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what := fmt.Sprintf(format, args...)
	if w.clear[what]++; w.clear[what] == 1 {
		w.when[what] = time.Now()
	}
}

// seen is what was in clear since the last time, as an error.
func (w *wire) seen() error {
	time.Sleep(150 * time.Millisecond) // what is on its way to the reader
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.clear
	w.clear = map[string]int{}
	if len(list) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s: in clear:", w.name)
	for what, n := range list {
		text += fmt.Sprintf(" %d× %s (first %s)", n, what, w.when[what].Format("15:04:05.000"))
	}
	return fmt.Errorf("%s", text)
}
