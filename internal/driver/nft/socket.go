package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// sendBuffer must take a whole transaction, recvBuffer an error for each of its messages.
	sendBuffer = 8 << 20
	recvBuffer = 8 << 20
	// readSize is more than the kernel puts into one part of a dump (32 KiB).
	readSize = 64 << 10
)

// errInterrupted is a dump during which the rules, or their order in the kernel, changed.
var errInterrupted = errors.New("the tables changed while they were read")

// socket is a netlink socket to nftables. Netlink answers before the sending call returns, so reading never
// waits: what is not there then will not come.
type socket struct {
	conn *netlink.Conn
	raw  syscall.RawConn
	seq  uint32
	out  []byte // reused by transactions
	in   []byte
	most int // bytes of one transaction

	flags uint32 // of the tables that we make

	bridge bool // for as long as the table of family bridge is spoken of
}

func dial(netns int) (*socket, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: max(netns, 0)})
	if err != nil {
		return nil, fmt.Errorf("nftables: open netlink: %w", err)
	}
	s := &socket{conn: conn, in: make([]byte, readSize)}
	if err := s.setUp(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("nftables: set up netlink: %w", err)
	}
	return s, nil
}

func (s *socket) setUp() (err error) {
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		return err
	}
	// Errors need not repeat the message that caused them (Linux 4.3); older kernels need not have it.
	_ = s.conn.SetOption(netlink.CapAcknowledge, true)
	_ = s.conn.SetOption(netlink.ExtendedAcknowledge, true)
	if err = s.conn.SetReadBuffer(recvBuffer); err != nil {
		return err
	}
	if err = s.conn.SetWriteBuffer(sendBuffer); err != nil {
		return err
	}
	n, err := s.conn.WriteBuffer()
	s.most = min(n/2, sendBuffer/4)
	return err
}

func (s *socket) close() error { return s.conn.Close() }

func (s *socket) send(b []byte) error {
	var err error
	if werr := s.raw.Write(func(fd uintptr) bool {
		_, err = unix.Write(int(fd), b)
		return err != unix.EAGAIN
	}); werr != nil {
		return werr
	}
	return err
}

// receive reads what is there; io is finished when it returns nothing.
func (s *socket) receive() ([]byte, error) {
	var n int
	var err error
	if rerr := s.raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), s.in, unix.MSG_DONTWAIT)
		return true
	}); rerr != nil {
		return nil, rerr
	}
	if err == unix.EAGAIN {
		return nil, nil
	}
	return s.in[:max(n, 0)], err
}

// answer is one message from the kernel.
type answer struct {
	typ, flags uint16
	seq, port  uint32
	data       []byte
}

// answers calls f for each message that has come, until f returns an error.
func (s *socket) answers(f func(answer) error) error {
	for {
		b, err := s.receive()
		if err != nil || len(b) == 0 {
			return err
		}
		if err := split(b, f); err != nil {
			return err
		}
	}
}

func split(b []byte, f func(answer) error) error {
	for len(b) >= unix.SizeofNlMsghdr {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return fmt.Errorf("nftables: an answer of %d bytes in %d", n, len(b))
		}
		a := answer{
			typ: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
			seq: binary.NativeEndian.Uint32(b[8:]), port: binary.NativeEndian.Uint32(b[12:]),
			data: b[unix.SizeofNlMsghdr:n],
		}
		if err := f(a); err != nil {
			return err
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// failure gives the error that a NLMSG_ERROR or NLMSG_DONE carries.
func (a answer) failure() error {
	if len(a.data) < 4 {
		return nil
	}
	n := int32(binary.NativeEndian.Uint32(a.data))
	if n == 0 {
		return nil
	}
	err := error(syscall.Errno(-n))
	if a.flags&unix.NLM_F_ACK_TLVS != 0 && a.flags&unix.NLM_F_CAPPED != 0 && len(a.data) > 4+unix.SizeofNlMsghdr {
		attrs(a.data[4+unix.SizeofNlMsghdr:], func(typ uint16, data []byte) {
			if typ == unix.NLMSGERR_ATTR_MSG {
				err = fmt.Errorf("%s: %w", text(data), err)
			}
		})
	}
	return err
}

// verdict is how a transaction went: not at all, or which of its messages the kernel refused.
type verdict struct {
	refused map[int]error // by the number of the message
	err     error         // of the whole
}

func (v verdict) ok() bool { return v.err == nil && len(v.refused) == 0 }

// transact sends a transaction and tells how it went. Either all of it is done or nothing.
func (s *socket) transact(b *batch) verdict {
	last := b.finish()
	s.seq = last + 1
	s.out = b.buf
	if err := s.send(b.buf); err != nil {
		return verdict{err: err}
	}
	v := verdict{refused: map[int]error{}}
	answered := false
	err := s.answers(func(a answer) error {
		if a.typ != unix.NLMSG_ERROR || a.seq-b.base > last-b.base {
			return nil
		}
		answered = answered || a.seq == last
		switch err := a.failure(); {
		case err == nil:
		case a.seq == b.base:
			v.err = err
		default:
			v.refused[int(a.seq-b.base-1)] = err
		}
		return nil
	})
	if err != nil {
		v.err = err
	} else if !answered && v.ok() {
		v.err = errors.New("no answer from the kernel")
	}
	return v
}

// list asks for a dump and calls f for each object. Nothing there is no error.
func (s *socket) list(ctx context.Context, typ int, filter []byte, f func(data []byte)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.ask(typ, unix.NLM_F_DUMP, filter, f)
}

// ask sends one request and calls f for each object in the answer.
func (s *socket) ask(typ int, flags uint16, filter []byte, f func(data []byte)) error {
	s.seq++
	seq := s.seq
	b := appendHeader(nil, unix.NFNL_SUBSYS_NFTABLES<<8|uint16(typ), flags, seq, familyOf(s.bridge), 0)
	b = append(b, filter...)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	if err := s.send(b); err != nil {
		return err
	}
	done, interrupted := false, false
	err := s.answers(func(a answer) error {
		if a.seq != seq {
			return nil
		}
		interrupted = interrupted || a.flags&unix.NLM_F_DUMP_INTR != 0
		switch a.typ {
		case unix.NLMSG_ERROR, unix.NLMSG_DONE:
			done = true
			return a.failure()
		}
		done = done || a.flags&unix.NLM_F_MULTI == 0
		if len(a.data) >= 4 {
			f(a.data[4:])
		}
		return nil
	})
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return err
	case interrupted:
		return errInterrupted
	case !done:
		return errors.New("the kernel's answer ends early")
	}
	return nil
}
