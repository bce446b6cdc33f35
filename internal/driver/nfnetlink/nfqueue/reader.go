package nfqueue

import (
	"context"
	"encoding/binary"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/driver/nfnetlink"
)

// Messages, attributes and values (linux/netfilter/nfnetlink_queue.h).
const (
	msgVerdict = 1
	msgConfig  = 2

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

// most is how many packets may wait.
const most = 4096

// Reader listens to one queue.
type Reader struct {
	source nfnetlink.Source

	// Heard gets each packet, from its network header on, in one goroutine. Whoever gets it calls pass once, which may be later and elsewhere.
	Heard  func(packet []byte, pass func())
	Failed func(error) // why nothing is heard now; nil: it is again
}

// NewReader makes a reader of a queue in the network namespace of the descriptor; zero or less is the caller's own.
func NewReader(netns int, queue uint16) *Reader {
	return &Reader{source: nfnetlink.Source{Netns: netns, Subsystem: unix.NFNL_SUBSYS_QUEUE, Number: queue, Config: msgConfig, Name: "queue"}}
}

// Run listens until ctx ends, and tries again where it can't.
func (r *Reader) Run(ctx context.Context) error {
	listen := func(ctx context.Context) error {
		return r.source.Listen(ctx, configure, func() { r.Failed(nil) }, func(c *nfnetlink.Conn, packets [][]byte) {
			for _, p := range packets {
				if id, packet, ok := parse(p); ok {
					r.Heard(packet, func() { pass(c, id) })
				}
			}
		})
	}
	return nfnetlink.Again(ctx, listen, r.Failed)
}

// parse reads one message: the packet's number, and the packet.
func parse(data []byte) (id uint32, packet []byte, ok bool) {
	cut := false // a packet that is cut short is let go on like any other
	for typ, b := range nfnetlink.Attributes(data, &cut) {
		switch {
		case typ == attrHeader && len(b) >= 4:
			id, ok = binary.BigEndian.Uint32(b), true
		case typ == attrPayload:
			packet = b
		}
	}
	return id, packet, ok
}

// pass lets a packet go on. One that can't be told of any more has gone with its queue.
func pass(c *nfnetlink.Conn, id uint32) {
	_ = c.Tell(msgVerdict, netlink.Attribute{Type: attrVerdict, Data: append(nfnetlink.Number(accept), nfnetlink.Number(id)...)})
}

// configure becomes the listener of the queue.
func configure(c *nfnetlink.Conn) error {
	for _, attrs := range [][]netlink.Attribute{
		{{Type: cfgCommand, Data: []byte{commandBind, 0, 0, 0}}},
		{{Type: cfgParams, Data: append(nfnetlink.Number(65535), copyPacket)}},
		{{Type: cfgMost, Data: nfnetlink.Number(most)}},
		{{Type: cfgMask, Data: nfnetlink.Number(failOpen | whole)}, {Type: cfgFlags, Data: nfnetlink.Number(failOpen | whole)}},
	} {
		if err := c.Configure(attrs...); err != nil {
			return err
		}
	}
	return nil
}
