package nflog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Messages, attributes and values of the configuration (linux/netfilter/nfnetlink_log.h).
const (
	msgPacket = unix.NFNL_SUBSYS_ULOG << 8
	msgConfig = unix.NFNL_SUBSYS_ULOG<<8 | 1

	cfgCommand, cfgMode, cfgSize, cfgTimeout, cfgThreshold, cfgFlags = 1, 2, 3, 4, 5, 6

	commandBind = 1
	copyPacket  = 2
	numbered    = 1 // NFULNL_CFG_F_SEQ
	withCT      = 4 // NFULNL_CFG_F_CONNTRACK
)

const (
	snap       = 128              // bytes of a packet that are wanted
	buffer     = 8 << 20          // bytes of packets that may wait for the reader
	datagram   = 64 << 10         // bytes that come together
	threshold  = 64               // packets that come together
	timeout    = 10               // hundredths of a second that the first of them waits
	afterFault = 10 * time.Second // before the next try
)

// Reader listens to one group. Its functions are called from one goroutine.
type Reader struct {
	netns int
	group uint16

	Heard  func([]Drop) // what came together; it may be kept
	Lost   func(uint64) // how many did not come: the kernel numbers them
	Failed func(error)  // why nothing is heard now; nil: it is again
}

// NewReader makes a reader for a group in the network namespace of the descriptor; zero or less is the
// caller's own.
func NewReader(netns int, group uint16) *Reader { return &Reader{netns: netns, group: group} }

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
	next, begun := uint32(0), false
	for {
		messages, err := conn.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			continue // the next one's number tells how many
		case err != nil:
			return fmt.Errorf("read group %d: %w", r.group, err)
		}
		list, now := make([]Drop, 0, len(messages)), time.Now()
		for _, m := range messages {
			if m.Header.Type != msgPacket || len(m.Data) < 4 {
				continue
			}
			d, ok := parse(m.Data[4:])
			if begun && d.seq != next {
				r.Lost(uint64(d.seq - next))
			}
			if next, begun = d.seq+1, true; ok {
				d.Time = now
				list = append(list, d)
			}
		}
		if len(list) > 0 {
			r.Heard(list)
		}
	}
}

// bind becomes the listener of the group.
func (r *Reader) bind() (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: max(r.netns, 0)})
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	if raw, failed := conn.SyscallConn(); failed == nil {
		// A small buffer only loses packets sooner in a storm, and losses are counted.
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) })
	}
	mode := make([]byte, 6)
	binary.BigEndian.PutUint32(mode, snap)
	mode[4] = copyPacket
	number := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	for _, attr := range []netlink.Attribute{
		{Type: cfgCommand, Data: []byte{commandBind}}, {Type: cfgMode, Data: mode}, {Type: cfgSize, Data: number(datagram)},
		{Type: cfgTimeout, Data: number(timeout)}, {Type: cfgThreshold, Data: number(threshold)}, {Type: cfgFlags, Data: []byte{0, numbered}},
	} {
		if err := r.configure(conn, attr); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	// A kernel without this tells what a packet was sent to after translation alone.
	_ = r.configure(conn, netlink.Attribute{Type: cfgFlags, Data: []byte{0, numbered | withCT}})
	return conn, nil
}

func (r *Reader) configure(conn *netlink.Conn, attr netlink.Attribute) error {
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{attr})
	if err != nil {
		return err
	}
	_, err = conn.Execute(netlink.Message{
		Header: netlink.Header{Type: msgConfig, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, byte(r.group >> 8), byte(r.group)}, attrs...),
	})
	// The kernel answers so to whoever wants a group that is another's (nfulnl_recv_config), and to whoever has
	// no right to listen at all.
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf("another program listens to group %d already: %w", r.group, err)
	}
	if err != nil {
		return fmt.Errorf("listen to group %d: %w", r.group, err)
	}
	return nil
}
