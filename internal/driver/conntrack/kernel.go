package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Messages, attributes and filter flags of ctnetlink (linux/netfilter/nfnetlink_conntrack.h and, for the
// flags, net/netfilter/nf_internals.h). CTA_FILTER needs Linux 5.8.
const (
	msgGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1
	msgDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2

	ctaOrig, ctaReply, ctaID, ctaZone, ctaFilter = 1, 2, 12, 18, 25
	ctaTupleIP, ctaTupleProto                    = 1, 2
	ctaProtoNum, ctaProtoSrc, ctaProtoDst        = 1, 2, 3
	ctaICMPType, ctaICMPCode                     = 5, 6
	ctaICMP6Type, ctaICMP6Code                   = 8, 9
	ctaFilterOrig                                = 1

	filterIPDst, filterProto, filterPortDst = 1 << 1, 1 << 3, 1 << 5
)

// ctaIP are the attribute types of source and destination address: IPv4, then IPv6.
var ctaIP = [2][2]uint16{{1, 2}, {3, 4}}

// Socket talks to the kernel of one network namespace.
type Socket struct{ conn *netlink.Conn }

// Open opens a socket in a network namespace; 0 or netns.None() is the current one.
func Open(ns netns.NsHandle) (*Socket, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: max(int(ns), 0)})
	if err != nil {
		return nil, fmt.Errorf("opening conntrack: %w", err)
	}
	return &Socket{conn}, nil
}

// Close closes the socket.
func (s *Socket) Close() error { return s.conn.Close() }

// Flows calls each for every flow that the filter selects.
func (s *Socket) Flows(f Filter, each func(Flow)) error {
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	if flags := f.flags(); flags != 0 {
		tuple(e, ctaOrig, f.Protocol, netip.AddrPort{}, f.Dst)
		e.Nested(ctaFilter, func(n *netlink.AttributeEncoder) error {
			n.ByteOrder = binary.NativeEndian
			n.Uint32(ctaFilterOrig, flags)
			return nil
		})
	}
	m, err := message(msgGet, netlink.Request|netlink.Dump, f.V6, e)
	if err != nil {
		return err
	}
	if _, err = s.conn.Send(m); err != nil {
		return fmt.Errorf("listing flows: %w", err)
	}
	for reply, err := range s.conn.ReceiveIter() {
		if err != nil {
			return fmt.Errorf("listing flows: %w", err)
		}
		// The kernel compares ports of TCP and UDP alone, and see flags: so what it lists is looked at again.
		if w, ok := parse(reply.Data); ok && f.matches(w) {
			each(w)
		}
	}
	return nil
}

// flags are the parts of the filter that the kernel is asked to apply. It gets IPv6 addresses wrong and
// lists all flows but those wanted (ctnetlink_filter_match_tuple negates ipv6_addr_cmp; seen on 6.18), so
// there the port alone narrows the list.
func (f Filter) flags() uint32 {
	var flags uint32
	if f.Dst.IsValid() && !f.V6 {
		flags |= filterIPDst
	}
	if f.Protocol != 0 {
		flags |= filterProto
		if f.Dst.IsValid() {
			flags |= filterPortDst
		}
	}
	return flags
}

// Delete ends flows, each exactly: a new flow of the same addresses and ports lives on.
func (s *Socket) Delete(flows ...Flow) error {
	var errs []error
	for _, f := range flows {
		err := s.delete(f)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("deleting flow %s: %w", f, err))
		}
	}
	return errors.Join(errs...)
}

// delete names the flow by its reply tuple, which says who answers. Its original tuple and its ID would not do: a client that uses a port again
// makes a flow with the same original tuple, and often with the same ID, for the kernel makes that of the flow's place in memory.
func (s *Socket) delete(f Flow) error {
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	tuple(e, ctaReply, f.Protocol, f.Reply.Src, f.Reply.Dst)
	if f.ID != 0 {
		e.Uint32(ctaID, f.ID)
	}
	m, err := message(msgDelete, netlink.Request|netlink.Acknowledge, f.Orig.Dst.Addr().Is6(), e)
	if err != nil {
		return err
	}
	_, err = s.conn.Execute(m)
	return err
}

// tuple encodes the parts of a direction that are valid. A port goes with its protocol alone.
func tuple(e *netlink.AttributeEncoder, typ uint16, protocol uint8, src, dst netip.AddrPort) {
	e.Nested(typ, func(t *netlink.AttributeEncoder) error {
		if src.IsValid() || dst.IsValid() {
			t.Nested(ctaTupleIP, func(n *netlink.AttributeEncoder) error {
				for i, a := range []netip.Addr{src.Addr(), dst.Addr()} {
					if a.IsValid() {
						n.Bytes(ctaIP[index(a)][i], a.AsSlice())
					}
				}
				return nil
			})
		}
		if protocol == 0 {
			return nil
		}
		t.Nested(ctaTupleProto, func(n *netlink.AttributeEncoder) error {
			n.ByteOrder = binary.BigEndian
			n.Uint8(ctaProtoNum, protocol)
			for i, a := range []netip.AddrPort{src, dst} {
				if a.IsValid() {
					n.Uint16(ctaProtoSrc+uint16(i), a.Port())
				}
			}
			return nil
		})
		return nil
	})
}

func index(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// message puts nfgenmsg (family, version 0, resource 0) before the attributes.
func message(typ uint16, flags netlink.HeaderFlags, v6 bool, e *netlink.AttributeEncoder) (netlink.Message, error) {
	attrs, err := e.Encode()
	if err != nil {
		return netlink.Message{}, fmt.Errorf("encoding a conntrack message: %w", err)
	}
	family := byte(unix.AF_INET)
	if v6 {
		family = unix.AF_INET6
	}
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(typ), Flags: flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, attrs...),
	}, nil
}
