package conntrack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/mdlayher/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The kernel's counters of a flow (linux/netfilter/nfnetlink_conntrack.h); they are there for flows that began after
// net.netfilter.nf_conntrack_acct was set.
const (
	ctaCountersOrig, ctaCountersReply = 9, 10
	ctaPackets, ctaBytes              = 1, 2
	groupDestroy                      = 3 // NFNLGRP_CONNTRACK_DESTROY
	eventBuffer                       = 4 << 20
)

// Sent is what clients send to.
type Sent struct {
	To       netip.AddrPort
	Protocol uint8 // IANA number
}

// Count is the traffic of flows.
type Count struct{ Flows, PacketsIn, BytesIn, PacketsOut, BytesOut uint64 }

func (c *Count) add(o Count) {
	c.Flows += o.Flows
	c.PacketsIn += o.PacketsIn
	c.BytesIn += o.BytesIn
	c.PacketsOut += o.PacketsOut
	c.BytesOut += o.BytesOut
}

// Meter sums the traffic of flows by what their clients send to: those that stand, and those that ended while it ran.
// Nothing is added to the way of a packet; what costs is one message for each flow that ends.
type Meter struct {
	events *netlink.Conn
	table  *Socket
	wanted func(Sent) bool

	mu    sync.Mutex
	ended map[Sent]Count
	told  map[Sent]Count // counters never go back
}

// NewMeter opens a meter in a network namespace. What is not wanted is not summed.
func NewMeter(ns netns.NsHandle, wanted func(Sent) bool) (*Meter, error) {
	table, err := Open(ns)
	if err != nil {
		return nil, err
	}
	events, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: max(int(ns), 0), Groups: 1 << (groupDestroy - 1)})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listening to conntrack: %w", err), table.Close())
	}
	// A small buffer only loses counts sooner in a storm.
	_ = events.SetReadBuffer(eventBuffer)
	return &Meter{events: events, table: table, wanted: wanted, ended: map[Sent]Count{}, told: map[Sent]Count{}}, nil
}

// Run counts flows that end until ctx does.
func (m *Meter) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { m.events.Close() })
	defer stop()
	defer m.table.Close()
	for {
		list, err := m.events.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			continue // some are lost; the others count
		case err != nil:
			return fmt.Errorf("listening to conntrack: %w", err)
		}
		m.mu.Lock()
		for _, msg := range list {
			m.put(m.ended, msg.Data)
		}
		m.mu.Unlock()
	}
}

// put adds the flow of a message.
func (m *Meter) put(to map[Sent]Count, data []byte) {
	f, ok := parse(data)
	if !ok {
		return
	}
	s := Sent{f.Orig.Dst, f.Protocol}
	if !m.wanted(s) {
		return
	}
	c := to[s]
	c.add(counters(data))
	to[s] = c
}

func counters(data []byte) Count {
	c := Count{Flows: 1}
	for typ, b := range attributes(data[4:]) {
		switch typ {
		case ctaCountersOrig:
			c.PacketsIn, c.BytesIn = pair(b)
		case ctaCountersReply:
			c.PacketsOut, c.BytesOut = pair(b)
		}
	}
	return c
}

func pair(data []byte) (packets, bytes uint64) {
	for typ, b := range attributes(data) {
		switch {
		case len(b) != 8:
		case typ == ctaPackets:
			packets = binary.BigEndian.Uint64(b)
		case typ == ctaBytes:
			bytes = binary.BigEndian.Uint64(b)
		}
	}
	return packets, bytes
}

// Read sums what ended and what stands. A flow that ends just now may be seen twice or not at all, so that a number
// never falls below what was told before.
func (m *Meter) Read() (map[Sent]Count, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[Sent]Count, len(m.told))
	for s, c := range m.ended {
		if m.wanted(s) {
			all[s] = c
		} else {
			delete(m.ended, s)
		}
	}
	for _, v6 := range []bool{false, true} {
		if err := m.dump(v6, all); err != nil {
			return nil, err
		}
	}
	for s, c := range all {
		old := m.told[s]
		all[s] = Count{max(c.Flows, old.Flows), max(c.PacketsIn, old.PacketsIn), max(c.BytesIn, old.BytesIn),
			max(c.PacketsOut, old.PacketsOut), max(c.BytesOut, old.BytesOut)}
	}
	m.told = all
	return all, nil
}

func (m *Meter) dump(v6 bool, all map[Sent]Count) error {
	e := netlink.NewAttributeEncoder()
	msg, err := message(msgGet, netlink.Request|netlink.Dump, v6, e)
	if err != nil {
		return err
	}
	if _, err = m.table.conn.Send(msg); err != nil {
		return fmt.Errorf("listing flows: %w", err)
	}
	for reply, err := range m.table.conn.ReceiveIter() {
		if err != nil {
			return fmt.Errorf("listing flows: %w", err)
		}
		m.put(all, reply.Data)
	}
	return nil
}
