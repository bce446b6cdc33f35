package conntrack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"github.com/mdlayher/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	groupNew     = 1 // NFNLGRP_CONNTRACK_NEW
	msgNew       = unix.NFNL_SUBSYS_CTNETLINK<<8 | 0
	flowBuffer   = 8 << 20 // bytes of events that may wait; the default lost some at 10,000 connections a second
	batch        = 128     // events of one system call
	most         = 2048    // bytes of an event
	memInfoDrops = 8       // SK_MEMINFO_DROPS
)

// gather is how long events may gather after a look that found few. A busy reader batches by itself; one that is woken for each event pays
// for it six times over.
const gather = 10 * time.Millisecond

// Way is what a flow sent one way.
type Way struct{ Packets, Bytes uint64 }

// Event is the beginning or the end of a flow.
type Event struct {
	Flow       Flow
	Ended      bool
	Orig, Back Way // from the client, and back; of an end, and only where the kernel counts (nf_conntrack_acct)
}

// Events is a socket on which the kernel reports flows that begin and end.
type Events struct {
	conn  *netlink.Conn
	raw   syscall.RawConn
	drops uint32 // that the kernel has counted
}

// NewEvents opens the socket in a network namespace. With sysctl nf_conntrack_events at 2, its default, only flows that begin after that
// report their end.
func NewEvents(ns netns.NsHandle) (*Events, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: max(int(ns), 0), Groups: 1<<(groupNew-1) | 1<<(groupDestroy-1)})
	if err != nil {
		return nil, fmt.Errorf("listening to conntrack: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listening to conntrack: %w", err), conn.Close())
	}
	// A small buffer only loses events sooner in a storm, and losses are counted.
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, flowBuffer) })
	return &Events{conn: conn, raw: raw}, nil
}

// mmsghdr is what recvmmsg(2) fills in.
type mmsghdr struct {
	head unix.Msghdr
	size uint32
	_    [4]byte
}

// Run calls heard for what comes, and lost with how many events the kernel could not hand over, until ctx ends. Both are called from one
// goroutine, and must not keep what they are given.
func (e *Events) Run(ctx context.Context, heard func([]Event), lost func(uint64)) error {
	stop := context.AfterFunc(ctx, func() { e.conn.Close() })
	defer stop()
	buffer := make([]byte, batch*most)
	heads, vectors := make([]mmsghdr, batch), make([]unix.Iovec, batch)
	for i := range heads {
		vectors[i].Base = &buffer[i*most]
		vectors[i].SetLen(most)
		heads[i].head.Iov = &vectors[i]
		heads[i].head.SetIovlen(1)
	}
	list := make([]Event, 0, batch)
	for {
		n, err := e.receive(heads)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			lost(e.lost())
			continue
		case err != nil:
			return fmt.Errorf("listening to conntrack: %w", err)
		}
		list = list[:0]
		for i := range n {
			list = eventsOf(list, buffer[i*most:i*most+int(min(heads[i].size, most))])
		}
		heard(list)
		if n < batch {
			time.Sleep(gather)
		}
	}
}

// receive waits for messages and takes as many as there are.
func (e *Events) receive(heads []mmsghdr) (n int, err error) {
	failed := e.raw.Read(func(fd uintptr) bool {
		got, _, no := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&heads[0])), uintptr(len(heads)), unix.MSG_DONTWAIT, 0, 0)
		n, err = int(got), nil
		if no != 0 {
			n, err = 0, no
		}
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	return n, errors.Join(err, failed)
}

// lost is how many messages the kernel has dropped since the last time; at least one, for it said so.
func (e *Events) lost() uint64 {
	var info [memInfoDrops + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	now := e.drops + 1
	_ = e.raw.Control(func(fd uintptr) {
		_, _, no := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if no == 0 {
			now = info[memInfoDrops]
		}
	})
	n := now - e.drops
	e.drops = now
	return uint64(n)
}

// eventsOf reads the messages of a datagram.
func eventsOf(list []Event, b []byte) []Event {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return list
		}
		typ, data := binary.NativeEndian.Uint16(b[4:]), b[unix.SizeofNlMsghdr:size]
		if f, ok := parse(data); ok && (typ == msgNew || typ == msgDelete) {
			v := Event{Flow: f, Ended: typ == msgDelete}
			if v.Ended {
				c := counters(data)
				v.Orig, v.Back = Way{c.PacketsIn, c.BytesIn}, Way{c.PacketsOut, c.BytesOut}
			}
			list = append(list, v)
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return list
}
