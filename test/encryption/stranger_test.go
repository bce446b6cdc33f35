//go:build encryption || guest

package encryption

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
)

// wirePort is where nodes listen; initiation and answer are the lengths of what asks for a session and grants it (WireGuard's paper, 5.4).
const wirePort, initiation, answer = 51890, 148, 92

// stranger speaks WireGuard from some host with a key of its own, real handshakes and all.
type stranger struct {
	name string
	dev  *device.Device
	tun  *tuntest.ChannelTUN
	bind *counting
}

// counting counts what a stranger's sockets get.
type counting struct {
	conn.Bind
	host *lab.Host // where its sockets are
	got  atomic.Int64
	mute bool // nothing is really sent

	mu       sync.Mutex
	sent     map[uint32]call // initiations, by the number that answers refer to
	answered map[uint32]bool
}

// call is what asked somebody for a session.
type call struct {
	to   netip.AddrPort
	text []byte
}

// Open opens sockets on the host, and counts what comes.
func (c *counting) Open(port uint16) (list []conn.ReceiveFunc, actual uint16, err error) {
	err = c.host.Do(func() (err error) {
		list, actual, err = c.Bind.Open(port)
		return err
	})
	for i, receive := range list {
		list[i] = func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
			n, err := receive(packets, sizes, eps)
			c.got.Add(int64(n))
			for j := range n {
				if b := packets[j][:sizes[j]]; len(b) == answer && b[0] == 2 {
					c.mu.Lock()
					c.answered[binary.LittleEndian.Uint32(b[8:])] = true
					c.mu.Unlock()
				}
			}
			return n, err
		}
	}
	return list, actual, err
}

// Send keeps what asks for a session.
func (c *counting) Send(list [][]byte, to conn.Endpoint) error {
	for _, b := range list {
		if len(b) == initiation && b[0] == 1 {
			c.mu.Lock()
			c.sent[binary.LittleEndian.Uint32(b[4:])] = call{netip.MustParseAddrPort(to.DstToString()), slices.Clone(b)}
			c.mu.Unlock()
		}
	}
	if c.mute {
		return nil
	}
	return c.Bind.Send(list, to)
}

// calls are initiations, one for each who was asked: such as were answered or, where nothing is sent, any. One that never arrived would be
// good still.
func (c *counting) calls() map[netip.AddrPort][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := map[netip.AddrPort][]byte{}
	for number, one := range c.sent {
		if c.mute || c.answered[number] {
			list[one.to] = one.text
		}
	}
	return list
}

// stranger has somebody with a private key call nodes, by one of their addresses, from a host.
func (w *world) stranger(from *lab.Host, private []byte, nodes ...*lab.Node) *stranger {
	w.t.Helper()
	return w.caller(from, private, false, nodes...)
}

func (w *world) caller(from *lab.Host, private []byte, mute bool, nodes ...*lab.Node) *stranger {
	w.t.Helper()
	s := &stranger{name: from.Name, tun: tuntest.NewChannelTUN(), bind: &counting{Bind: conn.NewDefaultBind(), host: from, mute: mute, sent: map[uint32]call{}, answered: map[uint32]bool{}}}
	s.dev = device.NewDevice(s.tun.TUN(), s.bind, device.NewLogger(device.LogLevelSilent, ""))
	var text strings.Builder
	fmt.Fprintf(&text, "private_key=%x\n", private)
	for _, n := range nodes {
		key, err := base64.StdEncoding.DecodeString(w.node(n.Name).Annotations["kube-router.io/wireguard-key"])
		w.check(err)
		fmt.Fprintf(&text, "public_key=%x\nendpoint=%s\npersistent_keepalive_interval=1\n", key, netip.AddrPortFrom(n.IPv4(), wirePort))
		fmt.Fprintf(&text, "allowed_ip=10.244.%d.0/24\nallowed_ip=fd00:10:244:%x::/64\n", n.Number(), n.Number())
	}
	w.check(s.dev.IpcSet(text.String()))
	w.check(s.dev.Up())
	return s
}

// heard is an error if anybody answered.
func (s *stranger) heard() error {
	if n := s.bind.got.Load(); n > 0 {
		return fmt.Errorf("from %s, %d packets came back", s.name, n)
	}
	if text, err := s.dev.IpcGet(); err != nil || strings.Count(text, "last_handshake_time_sec=0") != strings.Count(text, "public_key=") {
		return fmt.Errorf("from %s, there is a session: %w", s.name, err)
	}
	return nil
}

// reaches tells whether a pod answers a ping of an address through the tunnel.
func (s *stranger) reaches(from netip.Addr, pod netip.Addr, patience time.Duration) bool {
	var message icmp.Message
	var head []byte
	pseudo := []byte(nil)
	if pod.Is4() {
		message = icmp.Message{Type: ipv4.ICMPTypeEcho}
	} else {
		message, pseudo = icmp.Message{Type: ipv6.ICMPTypeEchoRequest}, icmp.IPv6PseudoHeader(from.AsSlice(), pod.AsSlice())
	}
	message.Body = &icmp.Echo{ID: 77, Seq: 1, Data: []byte("stranger")}
	body, err := message.Marshal(pseudo)
	if err != nil {
		return false
	}
	if pod.Is4() {
		head = tuntest.Ping(pod, from)[:20]
		head[10], head[11] = 0, 0
		head[3] = byte(20 + len(body))
		sum := uint32(0)
		for i := 0; i < 20; i += 2 {
			sum += uint32(head[i])<<8 | uint32(head[i+1])
		}
		sum = sum&0xffff + sum>>16
		sum = sum&0xffff + sum>>16
		head[10], head[11] = ^byte(sum>>8), ^byte(sum)
	} else {
		head = append([]byte{0x60, 0, 0, 0, 0, byte(len(body)), 58, 64}, append(from.AsSlice(), pod.AsSlice()...)...)
	}
	for { // what was answered before
		select {
		case <-s.tun.Inbound:
			continue
		default:
		}
		break
	}
	end := time.After(patience)
	select {
	case s.tun.Outbound <- append(head, body...):
	case <-end:
		return false
	}
	for {
		select {
		case b := <-s.tun.Inbound:
			if len(b) > 20 && b[0]>>4 == 4 && b[9] == 1 && b[20] == 0 || len(b) > 40 && b[0]>>4 == 6 && b[6] == 58 && b[40] == 129 {
				return true
			}
		case <-end:
			return false
		}
	}
}

// again sends packets as they were recorded, and is an error if anybody answers.
func again(from *lab.Host, packets map[netip.AddrPort][]byte) error {
	return from.Do(func() error {
		c, err := net.ListenUDP("udp4", nil)
		if err != nil {
			return err
		}
		defer c.Close()
		for to, b := range packets {
			if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
				return err
			}
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		b := make([]byte, 2000)
		if n, who, err := c.ReadFromUDPAddrPort(b); err == nil {
			return fmt.Errorf("%s answered %s with %d bytes of kind %d", who, from.Name, n, b[0])
		}
		return nil
	})
}

// node is the API's object of a node.
func (w *world) node(name string) *corev1.Node {
	w.t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	w.check(w.Client.Get(w.ctx, n))
	return n
}

// private is the key that a node has.
func (w *world) private(n *lab.Node) []byte {
	w.t.Helper()
	text, err := n.Run(w.ctx, "cat", "/run/kube-router/wireguard.key")
	w.check(err)
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.SplitN(text, "\n", 2)[0]))
	w.check(err)
	return key
}

// strangers shows that who has a key that counts no longer gets nothing: one that a node had before, one that is revoked, one whose Node
// is gone, and handshakes of any of these that were recorded; while the nodes' pods speak on.
func (w *world) strangers() {
	const group = "strangers with old keys"
	nodes := w.Nodes()
	thief, outside, last := w.Host("thief"), w.Outside(), nodes[2]
	made, err := ecdh.X25519().GenerateKey(rand.Reader)
	w.check(err)
	public := base64.StdEncoding.EncodeToString(made.PublicKey().Bytes())
	stolen := w.private(last)
	l := w.beginsWith(3, 15*time.Second)

	// The last node's key changes meanwhile.
	recorded := w.recorded(stolen, nodes[:2]...)
	_, err = w.show(last.Name, "encryption", "rotate")
	w.check(err)

	w.appears(thief, public)
	s := w.stranger(thief, made.Bytes(), nodes[:2]...)
	for _, n := range nodes[:2] {
		w.judge(group, "pods of "+n.Name+" answer a node that has a key", w.serves(s, n.Name), "in both families: a stranger's tools are right")
	}
	if w.t.Failed() {
		return
	}
	mine := s.bind.calls()
	if len(mine) != 2 {
		err = fmt.Errorf("%d handshakes recorded", len(mine))
	}
	for _, from := range []*lab.Host{thief, outside} {
		err = errors.Join(err, again(from, mine))
	}
	w.judge(group, "a handshake that is sent again gets nothing", err, "of a node that may speak, from its host and from elsewhere")

	took, err := w.silences(s, nodes[0].Name, func() {
		w.check(w.Client.Merge(w.ctx, w.node(ghost), "", map[string]any{"metadata": map[string]any{"annotations": map[string]string{"kube-router.io/node.wireguard.revoked": public}}}))
	})
	w.judge(group, "one annotation revokes at once", err, "the last answer came %s after it was written, at most", took.Round(time.Millisecond))
	s.dev.Close()
	w.refused(group, "a revoked key gets nothing", made.Bytes(), mine, 3*time.Second, thief, outside)

	w.check(w.Client.Merge(w.ctx, w.node(ghost), "", map[string]any{"metadata": map[string]any{"annotations": map[string]any{"kube-router.io/node.wireguard.revoked": nil}}}))
	s = w.stranger(thief, made.Bytes(), nodes[0])
	w.check(w.serves(s, nodes[0].Name))
	took, err = w.silences(s, nodes[0].Name, func() { w.check(w.Client.Delete(w.ctx, w.node(ghost), nil)) })
	w.judge(group, "deleting the Node revokes at once", err, "the last answer came %s after that, at most", took.Round(time.Millisecond))
	s.dev.Close()

	err = w.within(time.Minute, func() error {
		n := w.node(last.Name)
		if n.Annotations["kube-router.io/wireguard-also"] != "" || n.Annotations["kube-router.io/wireguard-key"] == publicOf(stolen) {
			return errors.New("the key is not changed")
		}
		return nil
	})
	w.check(err)
	w.refused(group, "the key of a Node that is gone gets nothing", made.Bytes(), mine, 3*time.Second, thief, outside)
	w.refused(group, "a key that its node has changed gets nothing", stolen, recorded, 7*time.Second, last.Host, thief, outside)

	total, err := l.ends()
	w.judge(group, "meanwhile no connection of the nodes' own fails", err, "of %d", total)
	w.judge(group, "meanwhile nothing is in clear", w.inClear(), "")
}

func publicOf(private []byte) string {
	k, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(k.PublicKey().Bytes())
}

// recorded are handshakes with a key from while it counts. Nobody sees them yet: they would take the session from the node itself.
func (w *world) recorded(private []byte, nodes ...*lab.Node) map[netip.AddrPort][]byte {
	w.t.Helper()
	s := w.caller(w.Outside(), private, true, nodes...)
	defer s.dev.Close()
	w.check(w.within(10*time.Second, func() error {
		if n := len(s.bind.calls()); n != len(nodes) {
			return fmt.Errorf("%d handshakes are begun", n)
		}
		return nil
	}))
	return s.bind.calls()
}

// refused has strangers on some hosts call the nodes with a key, and send what was recorded.
func (w *world) refused(group, name string, private []byte, recorded map[netip.AddrPort][]byte, patience time.Duration, hosts ...*lab.Host) {
	w.t.Helper()
	var list []*stranger
	var err error
	var from []string
	for _, h := range hosts {
		var nodes []*lab.Node
		for _, n := range w.Nodes() {
			if n.Host != h {
				nodes = append(nodes, n)
			}
		}
		list, from = append(list, w.stranger(h, private, nodes...)), append(from, h.Name)
		err = errors.Join(err, again(h, recorded))
	}
	time.Sleep(patience)
	for _, s := range list {
		err = errors.Join(err, s.heard())
		s.dev.Close()
	}
	w.judge(group, name, err, "from %s: no handshake, and none for %d recorded ones", strings.Join(from, ", "), len(recorded))
}
