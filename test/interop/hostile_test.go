//go:build interop

package interop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// message is a BGP message (RFC 4271 section 4.1): a marker, its length, its type and what it says.
func message(typ byte, body ...byte) []byte {
	m := append(bytes.Repeat([]byte{0xff}, 16), 0, 0, typ)
	m = append(m, body...)
	binary.BigEndian.PutUint16(m[16:], uint16(len(m)))
	return m
}

// The types of messages.
const (
	typeOpen         = 1
	typeUpdate       = 2
	typeNotification = 3
	typeKeepalive    = 4
	typeRefresh      = 5
)

// open is the OPEN of AS 65001 with a capability for each family.
func open(from string) []byte {
	capabilities := []byte{2, 14, 1, 4, 0, 1, 0, 1, 65, 4, 0, 0, 0xfd, 0xe9, 2, 0}
	id := netip.MustParseAddr(from).As4()
	head := append(append([]byte{4, 0xfd, 0xe9, 0, 90}, id[:]...), byte(len(capabilities)))
	return message(typeOpen, append(head, capabilities...)...)
}

// attacks are messages that a speaker must not fall over.
func attacks() map[string][]byte {
	long := make([]byte, 4096-19)
	list := map[string][]byte{
		"update without anything":       message(typeUpdate),
		"withdrawn longer than message": message(typeUpdate, 0xff, 0xff, 0, 0),
		"attributes longer":             message(typeUpdate, 0, 0, 0xff, 0xff),
		"prefix of 255 bits":            message(typeUpdate, 0, 2, 255, 1, 0, 0),
		"unknown well-known attribute":  message(typeUpdate, 0, 0, 0, 3, 0x40, 99, 0, 24, 10, 0, 0),
		"attribute twice":               message(typeUpdate, 0, 0, 0, 8, 0x40, 1, 1, 0, 0x40, 1, 1, 0, 24, 10, 0, 0),
		"no mandatory attribute":        message(typeUpdate, 0, 0, 0, 0, 24, 10, 0, 0),
		"mp reach cut short":            message(typeUpdate, 0, 0, 0, 6, 0x80, 14, 3, 0, 2, 1),
		"mp reach with next hop of 255": message(typeUpdate, 0, 0, 0, 9, 0x80, 14, 6, 0, 2, 1, 255, 0, 0),
		"as path that ends in segment":  message(typeUpdate, 0, 0, 0, 7, 0x40, 2, 4, 2, 255, 0, 1, 24, 10, 0, 0),
		"community of three octets":     message(typeUpdate, 0, 0, 0, 6, 0xc0, 8, 3, 1, 2, 3, 24, 10, 0, 0),
		"unknown type":                  message(77, 1, 2, 3),
		"keepalive with a body":         message(typeKeepalive, long...),
		"refresh cut short":             message(typeRefresh, 0),
		"length below the header":       append(bytes.Repeat([]byte{0xff}, 16), 0, 3, typeUpdate),
		"length 65535":                  append(bytes.Repeat([]byte{0xff}, 16), 0xff, 0xff, typeUpdate),
		"marker of zeros":               append(make([]byte, 16), 0, 19, typeKeepalive),
		"notification cut short":        message(typeNotification, 6),
		"open again":                    open(first),
		"zeros":                         make([]byte, 8192),
	}
	random := rand.New(rand.NewPCG(1, 2))
	good := message(typeUpdate, 0, 0, 0, 18, 0x40, 1, 1, 0, 0x40, 2, 4, 2, 1, 0xfd, 0xe9, 0x40, 3, 4, 172, 30, 0, 200, 24, 203, 0, 113)
	for i := range 150 {
		m := bytes.Clone(good)
		for range 1 + random.IntN(4) {
			m[16+random.IntN(len(m)-16)] = byte(random.IntN(256))
		}
		list[fmt.Sprintf("random %d", i)] = m
	}
	return list
}

// crowd is how many broken routers there are. The engine leaves a peer whose session it ended alone for five
// seconds, so one would take long.
const crowd = 24

// TestBoundaryHostilePeer sends broken messages in sessions of routers that are ours to talk to. Their sessions may
// end; another one, the speaker and the daemon must not even notice.
func TestBoundaryHostilePeer(t *testing.T) {
	ips, asns := []string{second}, []string{"65002"}
	host := lab.HostConfig{Name: "r1"}
	for i := range crowd {
		ips, asns = append(ips, fmt.Sprintf("172.30.0.%d", 100+i)), append(asns, "65001")
		host.Addrs = append(host.Addrs, netip.MustParsePrefix(fmt.Sprintf("172.30.0.%d/24", 100+i)))
	}
	w := begin(t, lab.Config{Nodes: 1, Hosts: []lab.HostConfig{host, {Name: "r2"}}},
		"--peer-router-ips="+strings.Join(ips, ","), "--peer-router-asns="+strings.Join(asns, ","), "--advertise-external-ip=true")
	other := w.bird("r2", birdPeers(second, second6, "65002", "", "172.30.0.11"))
	other.says(10*time.Second, "show protocols n1", "Established")
	since, pid := upSince(other, "n1"), w.speakerPID("n1")
	all := make(chan []byte, 1000)
	for _, m := range attacks() {
		all <- m
	}
	close(all)
	var said, sessions atomic.Int32
	var wg sync.WaitGroup
	for _, from := range ips[1:] {
		wg.Go(func() {
			for len(all) > 0 {
				n, err := attack(w.Host("r1"), from, all)
				if n > 0 {
					sessions.Add(1)
				}
				said.Add(int32(n))
				if err != nil {
					t.Logf("%s: %v", from, err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d broken messages in %d sessions", said.Load(), sessions.Load())
	if int(said.Load()) < len(attacks()) {
		t.Errorf("only %d of %d attacks came through", said.Load(), len(attacks()))
	}
	if now := upSince(other, "n1"); now != since || w.speakerPID("n1") != pid {
		t.Errorf("the other session stood since %s, now since %s", since, now)
	}
	other.says(time.Second, "show route protocol n1", "10.244.1.0/24")
	w.apply(service("web", "10.98.0.5", "fd00:10:98::5", "n1", "Cluster"))
	other.says(5*time.Second, "show route protocol n1", "10.98.0.5/32")
}

// attack opens a session and says broken things in it until it ends or there are no more. It tells how many.
func attack(h *lab.Host, from string, all <-chan []byte) (int, error) {
	d := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Control: once}
	var conn net.Conn
	var err error
	for range 60 {
		if err = h.Do(func() (err error) { conn, err = d.Dial("tcp", "172.30.0.11:179"); return err }); err != nil {
			return 0, err
		}
		conn.SetDeadline(time.Now().Add(3 * time.Second))
		if _, err = conn.Write(open(from)); err == nil {
			err = read(conn, typeOpen)
		}
		if err == nil {
			_, err = conn.Write(message(typeKeepalive))
		}
		if err == nil {
			err = read(conn, typeKeepalive)
		}
		if err == nil {
			break
		}
		conn.Close()
		time.Sleep(250 * time.Millisecond)
	}
	if err != nil {
		return 0, fmt.Errorf("no session: %w", err)
	}
	defer conn.Close()
	n := 0
	for m := range all {
		conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := conn.Write(m); err != nil {
			break
		}
		n++
		if err := read(conn, typeNotification); !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	return n, nil
}

// once lets the same port be used again at once.
func once(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	})
}

// read reads messages until one of a type.
func read(conn net.Conn, typ byte) error {
	for {
		head := make([]byte, 19)
		if _, err := io.ReadFull(conn, head); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, make([]byte, int(binary.BigEndian.Uint16(head[16:]))-19)); err != nil {
			return err
		}
		if head[18] == typ {
			return nil
		}
	}
}
