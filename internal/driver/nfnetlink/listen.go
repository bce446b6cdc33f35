// Package nfnetlink listens to what netfilter tells a program of packets, by number: groups of NFLOG and queues of NFQUEUE, each a
// chamber of its own (linux/netfilter/nfnetlink.h).
package nfnetlink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	buffer     = 8 << 20          // bytes of packets that may wait for the listener
	afterFault = 10 * time.Second // before the next try
)

// Source is what can be listened to.
type Source struct {
	Netns     int    // descriptor of a network namespace; zero or less is the caller's own
	Subsystem uint16 // NFNL_SUBSYS_ULOG or NFNL_SUBSYS_QUEUE; its message 0 is a packet
	Number    uint16 // of the group or queue
	Config    uint16 // the subsystem's message that configures
	Name      string // "group" or "queue"
}

// Again listens until ctx ends, and tries again where it can't; failed gets why.
func Again(ctx context.Context, listen func(context.Context) error, failed func(error)) error {
	for ctx.Err() == nil {
		if err := listen(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(afterFault):
		}
	}
	return nil
}

// Listen listens until ctx ends, which is no error, or it can't. Open configures the connection; works is called when that is done; heard
// gets the attributes of packets that came together, which it may keep. All are called from one goroutine. What doesn't fit into the buffer
// in a storm does not come.
func (s Source) Listen(ctx context.Context, open func(*Conn) error, works func(), heard func(*Conn, [][]byte)) error {
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: max(s.Netns, 0)})
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer nl.Close()
	if raw, small := nl.SyscallConn(); small == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) })
	}
	c := &Conn{s, nl}
	if err := open(c); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { nl.Close() })()
	works()
	for {
		messages, err := nl.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			continue
		case err != nil:
			return fmt.Errorf("read %s %d: %w", s.Name, s.Number, err)
		}
		packets := make([][]byte, 0, len(messages))
		for _, m := range messages {
			if m.Header.Type == netlink.HeaderType(s.Subsystem<<8) && len(m.Data) >= 4 {
				packets = append(packets, m.Data[4:])
			}
		}
		heard(c, packets)
	}
}

// Conn is a connection to a source.
type Conn struct {
	source Source
	nl     *netlink.Conn
}

// Configure sets attributes of the source. Two programs can't listen to one.
func (c *Conn) Configure(attrs ...netlink.Attribute) error {
	m, err := c.message(c.source.Config, netlink.Request|netlink.Acknowledge, attrs)
	if err == nil {
		_, err = c.nl.Execute(m)
	}
	switch {
	case err == nil:
		return nil
	// The kernel answers so to whoever wants what is another's, and to whoever has no right to listen at all.
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EPERM):
		return fmt.Errorf("another program listens to %s %d already: %w", c.source.Name, c.source.Number, err)
	}
	return fmt.Errorf("listen to %s %d: %w", c.source.Name, c.source.Number, err)
}

// Tell sends a message of the subsystem, and waits for no answer. It may be called from any goroutine.
func (c *Conn) Tell(message uint16, attrs ...netlink.Attribute) error {
	m, err := c.message(message, netlink.Request, attrs)
	if err == nil {
		_, err = c.nl.Send(m)
	}
	return err
}

func (c *Conn) message(number uint16, flags netlink.HeaderFlags, attrs []netlink.Attribute) (netlink.Message, error) {
	data, err := netlink.MarshalAttributes(attrs)
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(c.source.Subsystem<<8 | number), Flags: flags},
		Data:   append(binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0}, c.source.Number), data...),
	}, err
}

// Number is an attribute's value of 32 bits, in network order.
func Number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// Attributes goes through the attributes of a message, by their types without flags, and notes whether the last was cut short.
func Attributes(data []byte, cut *bool) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(data) >= unix.SizeofNlAttr {
			size := int(binary.NativeEndian.Uint16(data))
			typ := binary.NativeEndian.Uint16(data[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if size < unix.SizeofNlAttr || size > len(data) || !yield(typ, data[unix.SizeofNlAttr:size]) {
				return
			}
			data = data[min((size+3)&^3, len(data)):]
		}
		*cut = false
	}
}
