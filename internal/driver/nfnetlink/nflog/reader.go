package nflog

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/driver/nfnetlink"
)

// Message, attributes and values of the configuration (linux/netfilter/nfnetlink_log.h).
const (
	msgConfig = 1

	cfgCommand, cfgMode, cfgSize, cfgTimeout, cfgThreshold, cfgFlags = 1, 2, 3, 4, 5, 6

	commandBind = 1
	copyPacket  = 2
	numbered    = 1 // NFULNL_CFG_F_SEQ
	withCT      = 4 // NFULNL_CFG_F_CONNTRACK
)

const (
	snap      = 128      // bytes of a packet that are wanted
	datagram  = 64 << 10 // bytes that come together
	threshold = 64       // packets that come together
	timeout   = 10       // hundredths of a second that the first of them waits
)

// Reader listens to one group. Its functions are called from one goroutine.
type Reader struct {
	source nfnetlink.Source

	Heard  func([]Drop) // what came together; it may be kept
	Lost   func(uint64) // how many did not come: the kernel numbers them
	Failed func(error)  // why nothing is heard now; nil: it is again
}

// NewReader makes a reader for a group in the network namespace of the descriptor; zero or less is the
// caller's own.
func NewReader(netns int, group uint16) *Reader {
	return &Reader{source: nfnetlink.Source{Netns: netns, Subsystem: unix.NFNL_SUBSYS_ULOG, Number: group, Config: msgConfig, Name: "group"}}
}

// Run listens until ctx ends, and tries again where it can't.
func (r *Reader) Run(ctx context.Context) error { return nfnetlink.Again(ctx, r.listen, r.Failed) }

// listen reads until ctx ends or it can't.
func (r *Reader) listen(ctx context.Context) error {
	next, begun := uint32(0), false
	return r.source.Listen(ctx, configure, func() { r.Failed(nil) }, func(_ *nfnetlink.Conn, packets [][]byte) {
		list, now := make([]Drop, 0, len(packets)), time.Now()
		for _, p := range packets {
			d, ok := parse(p)
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
	})
}

// configure becomes the listener of the group.
func configure(c *nfnetlink.Conn) error {
	mode := make([]byte, 6)
	binary.BigEndian.PutUint32(mode, snap)
	mode[4] = copyPacket
	for _, attr := range []netlink.Attribute{
		{Type: cfgCommand, Data: []byte{commandBind}}, {Type: cfgMode, Data: mode}, {Type: cfgSize, Data: nfnetlink.Number(datagram)},
		{Type: cfgTimeout, Data: nfnetlink.Number(timeout)}, {Type: cfgThreshold, Data: nfnetlink.Number(threshold)}, {Type: cfgFlags, Data: []byte{0, numbered}},
	} {
		if err := c.Configure(attr); err != nil {
			return err
		}
	}
	// A kernel without this tells what a packet was sent to after translation alone.
	_ = c.Configure(netlink.Attribute{Type: cfgFlags, Data: []byte{0, numbered | withCT}})
	return nil
}
