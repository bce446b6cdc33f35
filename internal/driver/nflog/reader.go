package nflog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Messages, attributes and values of the configuration (linux/netfilter/nfnetlink_log.h).
const (
	msgPacket = unix.NFNL_SUBSYS_ULOG << 8
	msgConfig = unix.NFNL_SUBSYS_ULOG<<8 | 1

	cfgCommand, cfgMode, cfgTimeout, cfgThreshold = 1, 2, 4, 5
	commandBind                                   = 1
	copyPacket                                    = 2
)

const (
	snap   = 128 // bytes of a packet that are wanted
	keep   = 500 // drops that are kept for who asks next
	unasks = 15 * time.Second
)

// Reader listens to one group while somebody asks, and for a little longer.
type Reader struct {
	netns int
	group uint16

	mu    sync.Mutex
	asked time.Time
	drops []Drop
	since time.Time
	err   error
	wake  chan struct{}
}

// NewReader makes a reader for a group in the network namespace of the descriptor; zero or less is the
// caller's own.
func NewReader(netns int, group uint16) *Reader {
	return &Reader{netns: netns, group: group, wake: make(chan struct{}, 1)}
}

// Recent gives the latest drops, oldest first, and since when the reader has listened without a pause. The
// first question starts the listening. The error tells why nothing can be heard.
func (r *Reader) Recent() (list []Drop, since time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = time.Now()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return append(list, r.drops...), r.since, r.err
}

// Run listens whenever somebody asks, until ctx ends.
func (r *Reader) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		err := r.listen(ctx)
		r.mu.Lock()
		r.err, r.since, r.drops = err, time.Time{}, nil
		r.mu.Unlock()
	}
}

func (r *Reader) wanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.asked) < unasks
}

// listen reads until nobody has asked for a while.
func (r *Reader) listen(ctx context.Context) error {
	conn, err := r.bind()
	if err != nil {
		return err
	}
	defer conn.Close()
	r.mu.Lock()
	r.err, r.since = nil, time.Now()
	r.mu.Unlock()
	for ctx.Err() == nil && r.wanted() {
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		messages, err := conn.Receive()
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, unix.ENOBUFS) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read group %d: %w", r.group, err)
		}
		for _, m := range messages {
			if m.Header.Type == msgPacket && len(m.Data) >= 4 {
				r.take(m.Data[4:])
			}
		}
	}
	return nil
}

func (r *Reader) take(data []byte) {
	d, ok := parse(data)
	if !ok {
		return
	}
	d.Time = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.drops = append(r.drops, d); len(r.drops) > keep {
		r.drops = append([]Drop(nil), r.drops[1:]...)
	}
}

// bind becomes the listener of the group.
func (r *Reader) bind() (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: max(r.netns, 0)})
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	mode := make([]byte, 6)
	binary.BigEndian.PutUint32(mode, snap)
	mode[4] = copyPacket
	for _, attr := range []netlink.Attribute{
		{Type: cfgCommand, Data: []byte{commandBind}}, {Type: cfgMode, Data: mode},
		{Type: cfgTimeout, Data: []byte{0, 0, 0, 10}}, {Type: cfgThreshold, Data: []byte{0, 0, 0, 1}},
	} {
		if err := r.configure(conn, attr); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
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
