package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/mdlayher/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Kernel is what the driver needs of IPVS and of the dummy link.
type Kernel interface {
	// Do carries out operations in their order and returns the error of each.
	Do([]Op) ([]error, error)
	Servers() ([]Server, error)
	Dests(row.IpvsFront) ([]Dest, error)
	Timeouts() (row.IpvsTimeouts, error)
	SetTimeouts(row.IpvsTimeouts) error
	// HasScheduler tells whether the kernel has a scheduler, and has it load the module if there is one.
	HasScheduler(name string) (bool, error)
	// Dummy are the addresses of our dummy link.
	Dummy() (map[netip.Addr]bool, error)
}

// Op is one operation on a virtual server or, where Dest is not nil, on a destination of it.
type Op struct {
	Do     Verb
	Server row.IpvsServer
	Dest   *row.IpvsDest
}

// Verb is what is done.
type Verb uint8

// The verbs.
const (
	Add Verb = iota
	Set
	Del
)

// Server is a virtual server as the kernel has it.
type Server struct {
	row.IpvsServer
	Marked bool // it carries our mark
}

// Dest is a destination as the kernel has it, with its connections.
type Dest struct {
	row.IpvsDest
	Connections int // active or not
}

// Socket is IPVS in the kernel of one network namespace.
type Socket struct {
	ns     netns.NsHandle
	conn   *netlink.Conn
	raw    syscall.RawConn
	family uint16
	seq    uint32
	in     []byte
}

// Open opens a socket in a network namespace; 0 or netns.None() is the current one.
func Open(ns netns.NsHandle) (*Socket, error) {
	conn, err := netlink.Dial(unix.NETLINK_GENERIC, &netlink.Config{NetNS: max(int(ns), 0)})
	if err != nil {
		return nil, fmt.Errorf("open generic netlink: %w", err)
	}
	s := &Socket{ns: max(ns, 0), conn: conn, in: make([]byte, 64<<10)}
	if err := s.setUp(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

// Available tells whether the kernel has IPVS. A module that is there but not loaded does not count.
func Available(ns netns.NsHandle) bool {
	s, err := Open(ns)
	if err != nil {
		return false
	}
	_ = s.Close()
	return true
}

// Close closes the socket.
func (s *Socket) Close() error { return s.conn.Close() }

func (s *Socket) setUp() (err error) {
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		return err
	}
	_ = s.conn.SetOption(netlink.CapAcknowledge, true) // errors need not repeat what caused them (Linux 4.3)
	if err = s.conn.SetReadBuffer(8 << 20); err != nil {
		return err
	}
	if err = s.conn.SetWriteBuffer(4 << 20); err != nil {
		return err
	}
	s.family, err = s.find("IPVS")
	return err
}

// find asks for the number of a generic netlink family.
func (s *Socket) find(name string) (uint16, error) {
	e := netlink.NewAttributeEncoder()
	e.String(unix.CTRL_ATTR_FAMILY_NAME, name)
	replies, err := s.ask(unix.GENL_ID_CTRL, unix.CTRL_CMD_GETFAMILY, 0, e)
	if err != nil {
		return 0, fmt.Errorf("this kernel has no %s: %w", name, err)
	}
	for _, r := range replies {
		d, err := netlink.NewAttributeDecoder(r)
		for err == nil && d.Next() {
			if d.Type() == unix.CTRL_ATTR_FAMILY_ID {
				return d.Uint16(), nil
			}
		}
	}
	return 0, fmt.Errorf("this kernel has no %s", name)
}

// message appends a generic netlink message to b. Its sequence number is the next one.
func (s *Socket) message(b []byte, family uint16, cmd uint8, flags netlink.HeaderFlags, e *netlink.AttributeEncoder) ([]byte, error) {
	attrs, err := e.Encode()
	if err != nil {
		return b, fmt.Errorf("encode an IPVS message: %w", err)
	}
	s.seq++
	n := binary.NativeEndian
	b = n.AppendUint32(b, uint32(unix.NLMSG_HDRLEN+unix.GENL_HDRLEN+len(attrs)))
	b = n.AppendUint16(b, family)
	b = n.AppendUint16(b, uint16(netlink.Request|flags))
	b = n.AppendUint32(b, s.seq)
	b = n.AppendUint32(b, 0)
	b = append(b, cmd, 1, 0, 0)
	return append(b, attrs...), nil
}

// ask sends one request and returns the attributes of each reply.
func (s *Socket) ask(family uint16, cmd uint8, flags netlink.HeaderFlags, e *netlink.AttributeEncoder) ([][]byte, error) {
	b, err := s.message(nil, family, cmd, flags, e)
	if err != nil {
		return nil, err
	}
	seq := s.seq
	if err = s.send(b); err != nil {
		return nil, err
	}
	var list [][]byte
	err = s.receive(func(m received) error {
		switch {
		case m.seq != seq:
		case m.typ == unix.NLMSG_ERROR || m.typ == unix.NLMSG_DONE:
			return m.err()
		case m.flags&unix.NLM_F_DUMP_INTR != 0:
			return unix.EINTR
		case len(m.data) >= unix.GENL_HDRLEN:
			list = append(list, append([]byte(nil), m.data[unix.GENL_HDRLEN:]...))
		}
		return nil
	})
	return list, err
}

func (s *Socket) send(b []byte) error {
	var err error
	if outer := s.raw.Write(func(fd uintptr) bool {
		_, err = unix.Write(int(fd), b)
		return err != unix.EAGAIN
	}); outer != nil {
		return outer
	}
	return err
}

// received is one message from the kernel.
type received struct {
	typ, flags uint16
	seq        uint32
	data       []byte // valid until the next read
}

// err is the code of an error, an acknowledgement or the end of a dump.
func (m received) err() error {
	if len(m.data) < 4 {
		return nil
	}
	if code := int32(binary.NativeEndian.Uint32(m.data)); code < 0 {
		return unix.Errno(-code)
	}
	return nil
}

// receive hands out all messages that are there. Netlink answers before the sending call returns, and goes on
// with a dump while the reading call runs, so what is not there then will not come.
func (s *Socket) receive(each func(received) error) error {
	var first error
	for {
		n, err := s.read()
		if err != nil || n == 0 {
			return errors.Join(first, err)
		}
		for b := s.in[:n]; len(b) >= unix.NLMSG_HDRLEN; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.NLMSG_HDRLEN || size > len(b) {
				return errors.New("netlink: a message of impossible length")
			}
			m := received{
				typ: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
				seq: binary.NativeEndian.Uint32(b[8:]), data: b[unix.NLMSG_HDRLEN:size],
			}
			if err := each(m); err != nil && first == nil {
				first = err
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// read reads once; nothing there is no error.
func (s *Socket) read() (n int, err error) {
	outer := s.raw.Read(func(fd uintptr) bool {
		n, err = unix.Read(int(fd), s.in)
		return true
	})
	if outer != nil {
		return 0, outer
	}
	if errors.Is(err, unix.EAGAIN) {
		return 0, nil
	}
	return max(n, 0), err
}
