package nfqueue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Messages, attributes and values (linux/netfilter/nfnetlink_queue.h).
const (
	msgPacket  = unix.NFNL_SUBSYS_QUEUE << 8
	msgVerdict = unix.NFNL_SUBSYS_QUEUE<<8 | 1
	msgConfig  = unix.NFNL_SUBSYS_QUEUE<<8 | 2

	cfgCommand, cfgParams, cfgMost, cfgMask, cfgFlags = 1, 2, 3, 4, 5

	commandBind = 1
	copyPacket  = 2
	failOpen    = 1 // NFQA_CFG_F_FAIL_OPEN: what doesn't fit passes
	whole       = 4 // NFQA_CFG_F_GSO: segments that the kernel has put together are told so

	attrHeader  = 1
	attrVerdict = 2
	attrPayload = 10
	accept      = 1 // NF_ACCEPT
)

const (
	most       = 4096             // packets that wait
	buffer     = 8 << 20          // bytes of packets that may wait for the reader
	afterFault = 10 * time.Second // before the next try
)

// Reader listens to one queue.
type Reader struct {
	netns int
	queue uint16

	// Heard gets each packet, from its network header on, in one goroutine. Whoever gets it calls pass once, which may be later and elsewhere.
	Heard  func(packet []byte, pass func())
	Failed func(error) // why nothing is heard now; nil: it is again
}

// NewReader makes a reader of a queue in the network namespace of the descriptor; zero or less is the caller's own.
func NewReader(netns int, queue uint16) *Reader { return &Reader{netns: netns, queue: queue} }

// Run listens until ctx ends, and tries again where it can't.
func (r *Reader) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := r.listen(ctx); err != nil && ctx.Err() == nil {
			r.Failed(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(afterFault):
		}
	}
	return nil
}

// listen reads until ctx ends or it can't.
func (r *Reader) listen(ctx context.Context) error {
	conn, err := r.bind()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer conn.Close()
	defer stop()
	r.Failed(nil)
	for {
		messages, err := conn.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			continue // those passed
		case err != nil:
			return fmt.Errorf("read queue %d: %w", r.queue, err)
		}
		for _, m := range messages {
			if m.Header.Type != msgPacket || len(m.Data) < 4 {
				continue
			}
			if id, packet, ok := parse(m.Data[4:]); ok {
				r.Heard(packet, func() { r.pass(conn, id) })
			}
		}
	}
}

// parse reads one message: the packet's number, and the packet.
func parse(data []byte) (id uint32, packet []byte, ok bool) {
	for len(data) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(data))
		typ := binary.NativeEndian.Uint16(data[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if size < unix.SizeofNlAttr || size > len(data) {
			break
		}
		switch b := data[unix.SizeofNlAttr:size]; {
		case typ == attrHeader && len(b) >= 4:
			id, ok = binary.BigEndian.Uint32(b), true
		case typ == attrPayload:
			packet = b
		}
		data = data[min((size+3)&^3, len(data)):]
	}
	return id, packet, ok
}

// pass lets a packet go on. One that can't be told of any more has gone with its queue.
func (r *Reader) pass(conn *netlink.Conn, id uint32) {
	verdict := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, accept), id)
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: attrVerdict, Data: verdict}})
	if err == nil {
		_, _ = conn.Send(netlink.Message{
			Header: netlink.Header{Type: msgVerdict, Flags: netlink.Request},
			Data:   append([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, byte(r.queue >> 8), byte(r.queue)}, attrs...),
		})
	}
}

// bind becomes the listener of the queue.
func (r *Reader) bind() (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: max(r.netns, 0)})
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	if raw, failed := conn.SyscallConn(); failed == nil {
		// With a small buffer more packets pass unread in a storm.
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) })
	}
	number := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	for _, attrs := range [][]netlink.Attribute{
		{{Type: cfgCommand, Data: []byte{commandBind, 0, 0, 0}}},
		{{Type: cfgParams, Data: append(number(65535), copyPacket)}},
		{{Type: cfgMost, Data: number(most)}},
		{{Type: cfgMask, Data: number(failOpen | whole)}, {Type: cfgFlags, Data: number(failOpen | whole)}},
	} {
		if err := r.configure(conn, attrs); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

func (r *Reader) configure(conn *netlink.Conn, attrs []netlink.Attribute) error {
	data, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		return err
	}
	_, err = conn.Execute(netlink.Message{
		Header: netlink.Header{Type: msgConfig, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, byte(r.queue >> 8), byte(r.queue)}, data...),
	})
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf("another program listens to queue %d already: %w", r.queue, err)
	}
	if err != nil {
		return fmt.Errorf("listen to queue %d: %w", r.queue, err)
	}
	return nil
}
