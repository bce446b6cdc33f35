package ipvs

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Commands and attributes of the generic netlink family IPVS (linux/ip_vs.h).
const (
	cmdNewService, cmdSetService, cmdDelService, cmdGetService = 1, 2, 3, 4
	cmdNewDest, cmdSetDest, cmdDelDest, cmdGetDest             = 5, 6, 7, 8
	cmdSetConfig, cmdGetConfig                                 = 12, 13

	cmdAttrService, cmdAttrDest                    = 1, 2
	cmdAttrTCP, cmdAttrTCPFin, cmdAttrUDP          = 4, 5, 6
	svcFamily, svcProtocol, svcAddr, svcPort       = 1, 2, 3, 4
	svcMark, svcScheduler, svcFlags                = 5, 6, 7
	svcTimeout, svcNetmask                         = 8, 9
	destAddr, destPort, destMethod, destWeight     = 1, 2, 3, 4
	destUpper, destLower, destActive, destInactive = 5, 6, 7, 8
	destFamily                                     = 11
)

// flagPersistent is IP_VS_SVC_F_PERSISTENT; flagSched is where IP_VS_SVC_F_SCHED1 stands.
const flagPersistent, flagSched = 1, 3

// flagOurs marks our virtual servers: bits of IP_VS_SVC_F_* that mean nothing to the kernel, which keeps them.
const flagOurs, flagOursMask = 0x4b520000, 0xffff0000

// methodMask is IP_VS_CONN_F_FWD_MASK.
const methodMask = 7

// maxBatch bounds the bytes sent at once.
const maxBatch = 256 << 10

// Do sends operations in batches. Without NLM_F_ACK the kernel answers those that fail alone.
func (s *Socket) Do(ops []Op) ([]error, error) {
	errs := make([]error, len(ops))
	for begin := 0; begin < len(ops); {
		var b []byte
		var err error
		first, end := s.seq+1, begin
		for ; end < len(ops) && len(b) < maxBatch; end++ {
			cmd, attrs := ops[end].message()
			if b, err = s.message(b, s.family, cmd, 0, attrs); err != nil {
				return nil, err
			}
		}
		if err = s.send(b); err != nil {
			return nil, fmt.Errorf("change IPVS: %w", err)
		}
		err = s.receive(func(m received) error {
			if i := m.seq - first; m.typ == unix.NLMSG_ERROR && int(i) < end-begin {
				errs[begin+int(i)] = m.err()
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("change IPVS: %w", err)
		}
		begin = end
	}
	return errs, nil
}

func (o Op) message() (cmd uint8, e *netlink.AttributeEncoder) {
	e = netlink.NewAttributeEncoder()
	whole := o.Dest == nil && o.Do != Del
	e.Nested(cmdAttrService, func(n *netlink.AttributeEncoder) error {
		encodeFront(n, o.Server.Front)
		if whole {
			encodeServer(n, o.Server)
		}
		return nil
	})
	if o.Dest == nil {
		return [...]uint8{Add: cmdNewService, Set: cmdSetService, Del: cmdDelService}[o.Do], e
	}
	e.Nested(cmdAttrDest, func(n *netlink.AttributeEncoder) error {
		encodeDest(n, *o.Dest)
		return nil
	})
	return [...]uint8{Add: cmdNewDest, Set: cmdSetDest, Del: cmdDelDest}[o.Do], e
}

func encodeFront(e *netlink.AttributeEncoder, f row.IpvsFront) {
	family := uint16(unix.AF_INET)
	if f.IsV6() {
		family = unix.AF_INET6
	}
	e.Uint16(svcFamily, family)
	if f.Mark != 0 {
		e.Uint32(svcMark, f.Mark)
		return
	}
	e.Uint16(svcProtocol, uint16(f.Protocol))
	e.Bytes(svcAddr, f.Addr.AsSlice())
	e.Bytes(svcPort, binary.BigEndian.AppendUint16(nil, f.Port))
}

func encodeServer(e *netlink.AttributeEncoder, s row.IpvsServer) {
	flags := flagOurs | uint32(s.Flags)<<flagSched
	if s.Persist > 0 {
		flags |= flagPersistent
	}
	e.String(svcScheduler, s.Scheduler)
	e.Bytes(svcFlags, binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, flags), math.MaxUint32))
	e.Uint32(svcTimeout, uint32(s.Persist/time.Second))
	netmask := uint32(math.MaxUint32)
	if s.Front.IsV6() {
		netmask = 128 // of IPv6 it is the prefix length
	}
	e.Uint32(svcNetmask, netmask)
}

func encodeDest(e *netlink.AttributeEncoder, d row.IpvsDest) {
	family := uint16(unix.AF_INET)
	if d.To.Addr().Is6() {
		family = unix.AF_INET6
	}
	e.Uint16(destFamily, family)
	e.Bytes(destAddr, d.To.Addr().AsSlice())
	e.Bytes(destPort, binary.BigEndian.AppendUint16(nil, d.To.Port()))
	e.Uint32(destMethod, uint32(d.Method))
	e.Uint32(destWeight, d.Weight)
	e.Uint32(destUpper, 0)
	e.Uint32(destLower, 0)
}

// HasScheduler asks for a virtual server of IPv6 with a prefix length of 0, which the kernel refuses after it has looked
// for the scheduler and before it has made anything (Linux ip_vs_add_service).
func (s *Socket) HasScheduler(name string) (bool, error) {
	e := netlink.NewAttributeEncoder()
	e.Nested(cmdAttrService, func(n *netlink.AttributeEncoder) error {
		encodeFront(n, row.IpvsFront{Mark: math.MaxUint32, V6: true})
		n.String(svcScheduler, name)
		n.Bytes(svcFlags, make([]byte, 8))
		n.Uint32(svcTimeout, 0)
		n.Uint32(svcNetmask, 0)
		return nil
	})
	_, err := s.ask(s.family, cmdNewService, netlink.Acknowledge, e)
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case errors.Is(err, unix.EINVAL):
		return true, nil
	}
	return false, fmt.Errorf("look for scheduler %s: %w", name, cmp.Or(err, errors.New("the kernel made a virtual server")))
}

// Servers lists all virtual servers of the namespace.
func (s *Socket) Servers() ([]Server, error) {
	replies, err := s.ask(s.family, cmdGetService, netlink.Dump, netlink.NewAttributeEncoder())
	if err != nil {
		return nil, fmt.Errorf("list virtual servers: %w", err)
	}
	list := make([]Server, 0, len(replies))
	for _, r := range replies {
		d, err := inner(r, cmdAttrService)
		if err != nil {
			return nil, fmt.Errorf("list virtual servers: %w", err)
		}
		list = append(list, decodeServer(d))
	}
	return list, nil
}

// Dests lists the destinations of a virtual server; one that is gone has none.
func (s *Socket) Dests(f row.IpvsFront) ([]Dest, error) {
	e := netlink.NewAttributeEncoder()
	e.Nested(cmdAttrService, func(n *netlink.AttributeEncoder) error {
		encodeFront(n, f)
		return nil
	})
	replies, err := s.ask(s.family, cmdGetDest, netlink.Dump, e)
	if err != nil {
		return nil, fmt.Errorf("list destinations of %s: %w", f, err)
	}
	list := make([]Dest, 0, len(replies))
	for _, r := range replies {
		d, err := inner(r, cmdAttrDest)
		if err != nil {
			return nil, fmt.Errorf("list destinations of %s: %w", f, err)
		}
		list = append(list, decodeDest(d, f))
	}
	return list, nil
}

// inner opens the one attribute of a message.
func inner(b []byte, typ uint16) (*netlink.AttributeDecoder, error) {
	d, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return nil, err
	}
	for d.Next() {
		if d.Type() == typ {
			return netlink.NewAttributeDecoder(d.Bytes())
		}
	}
	return nil, fmt.Errorf("a message without attribute %d", typ)
}

func decodeServer(d *netlink.AttributeDecoder) (s Server) {
	var addr []byte
	var flags uint32
	for d.Next() {
		switch d.Type() {
		case svcFamily:
			s.Front.V6 = d.Uint16() == unix.AF_INET6
		case svcProtocol:
			s.Front.Protocol = uint8(d.Uint16())
		case svcAddr:
			addr = d.Bytes()
		case svcPort:
			s.Front.Port = binary.BigEndian.Uint16(d.Bytes())
		case svcMark:
			s.Front.Mark = d.Uint32()
		case svcScheduler:
			s.Scheduler = d.String()
		case svcFlags:
			flags = binary.NativeEndian.Uint32(d.Bytes())
		case svcTimeout:
			s.Persist = time.Duration(d.Uint32()) * time.Second
		}
	}
	if flags&flagPersistent == 0 {
		s.Persist = 0
	}
	s.Flags = row.IpvsFlags(flags >> flagSched & 7)
	s.Marked = flags&flagOursMask == flagOurs
	s.Front = frontOf(s.Front, addr)
	return s
}

// frontOf completes a front with the kernel's address, which has 16 bytes in either family.
func frontOf(f row.IpvsFront, addr []byte) row.IpvsFront {
	if f.Mark != 0 {
		return row.IpvsFront{Mark: f.Mark, V6: f.V6}
	}
	f.Addr = addrOf(addr, f.V6)
	f.V6 = false
	return f
}

func addrOf(b []byte, v6 bool) netip.Addr {
	if !v6 && len(b) > 4 {
		b = b[:4]
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func decodeDest(d *netlink.AttributeDecoder, f row.IpvsFront) (out Dest) {
	var addr []byte
	var port uint16
	v6 := f.IsV6()
	for d.Next() {
		switch d.Type() {
		case destAddr:
			addr = d.Bytes()
		case destPort:
			port = binary.BigEndian.Uint16(d.Bytes())
		case destMethod:
			out.Method = row.IpvsMethod(d.Uint32() & methodMask)
		case destWeight:
			out.Weight = d.Uint32()
		case destActive, destInactive:
			out.Connections += int(d.Uint32())
		case destFamily:
			v6 = d.Uint16() == unix.AF_INET6
		}
	}
	out.Front, out.To = f, netip.AddrPortFrom(addrOf(addr, v6), port)
	return out
}

// Timeouts are those in force.
func (s *Socket) Timeouts() (t row.IpvsTimeouts, err error) {
	replies, err := s.ask(s.family, cmdGetConfig, 0, netlink.NewAttributeEncoder())
	if err != nil {
		return t, fmt.Errorf("read IPVS timeouts: %w", err)
	}
	for _, r := range replies {
		d, err := netlink.NewAttributeDecoder(r)
		if err != nil {
			return t, fmt.Errorf("read IPVS timeouts: %w", err)
		}
		for d.Next() {
			switch d.Type() {
			case cmdAttrTCP:
				t.TCP = time.Duration(d.Uint32()) * time.Second
			case cmdAttrTCPFin:
				t.TCPFin = time.Duration(d.Uint32()) * time.Second
			case cmdAttrUDP:
				t.UDP = time.Duration(d.Uint32()) * time.Second
			}
		}
	}
	return t, nil
}

// SetTimeouts sets those that are not zero.
func (s *Socket) SetTimeouts(t row.IpvsTimeouts) error {
	e := netlink.NewAttributeEncoder()
	e.Uint32(cmdAttrTCP, uint32(t.TCP/time.Second))
	e.Uint32(cmdAttrTCPFin, uint32(t.TCPFin/time.Second))
	e.Uint32(cmdAttrUDP, uint32(t.UDP/time.Second))
	if _, err := s.ask(s.family, cmdSetConfig, netlink.Acknowledge, e); err != nil {
		return fmt.Errorf("set IPVS timeouts: %w", err)
	}
	return nil
}
