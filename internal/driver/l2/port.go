package l2

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// gaps are the times between announcements of an address, the first of which is at once; after the last one it is announced each minute. A router in front of the clients may
// keep what it knows for hours, and one announcement may be lost.
var gaps = []time.Duration{300 * time.Millisecond, 800 * time.Millisecond, 1100 * time.Millisecond, 2200 * time.Millisecond, 5600 * time.Millisecond}

const (
	minute = time.Minute
	burst  = 50                    // announcements in a row
	rest   = 20 * time.Millisecond // between bursts: switches police ARP
	calm   = time.Second           // between two answers to claims of others
)

// owned is an address that is answered for.
type owned struct {
	next  time.Time
	step  int
	claim time.Time // when another's claim was last answered
}

// port is one link with the addresses that are answered for there.
type port struct {
	name   string
	own    mac
	src    netip.Addr // link-local address of the link, if there is one
	file   *os.File
	groups int // socket that has joined the solicited-node groups; -1: none
	index  int
	told   func(link string, a netip.Addr, by mac)

	mu    sync.Mutex
	addrs map[netip.Addr]*owned
	wake  chan struct{}
	done  chan struct{}
	gone  bool
}

// openPort begins to listen on a link.
func openPort(name string, told func(string, netip.Addr, mac), ended func(*port)) (*port, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", name, err)
	}
	if len(link.HardwareAddr) != 6 {
		return nil, fmt.Errorf("link %s is no Ethernet: nobody asks for neighbours there", name)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	if err := prepare(fd, link.Index); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("packet socket on %s: %w", name, err)
	}
	p := &port{name: name, own: mac(link.HardwareAddr), index: link.Index, file: os.NewFile(uintptr(fd), "packet:"+name), groups: -1, told: told,
		addrs: map[netip.Addr]*owned{}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if list, err := link.Addrs(); err == nil {
		for _, a := range list {
			if p6, ok := a.(*net.IPNet); ok && p6.IP.To4() == nil && p6.IP.IsLinkLocalUnicast() {
				p.src, _ = netip.AddrFromSlice(p6.IP)
			}
		}
	}
	if s, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
		p.groups = s
	}
	go p.read(ended)
	go p.announce()
	return p, nil
}

// filter lets ARP, neighbour solicitations and advertisements through.
func filter() ([]bpf.RawInstruction, error) {
	return bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherARP, SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherIPv6, SkipTrue: 6},
		bpf.LoadAbsolute{Off: 20, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 4},
		bpf.LoadAbsolute{Off: 54, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: solicit, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: advertise, SkipTrue: 1},
		bpf.RetConstant{Val: 128},
		bpf.RetConstant{Val: 0},
	})
}

// prepare sets the filter before the socket is bound, so that nothing else is ever in it.
func prepare(fd, index int) error {
	raw, err := filter()
	if err != nil {
		return err
	}
	prog := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		prog[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1) // Linux 4.20; without it our own frames are told from others' by their address
	all := [2]byte{}
	binary.BigEndian.PutUint16(all[:], unix.ETH_P_ALL)
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(all[:]), Ifindex: index})
}

// read answers until the link is gone or the port is closed.
func (p *port) read(ended func(*port)) {
	buf := make([]byte, 256)
	for {
		n, err := p.file.Read(buf)
		if err != nil {
			p.close()
			ended(p)
			return
		}
		if h, ok := parse(buf[:n]); ok && h.from != p.own {
			p.hear(h)
		}
	}
}

// hear answers a question for an address of ours, and a claim to one by the truth as we know it, once a second at most.
func (p *port) hear(h heard) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.addrs[h.addr]
	if o == nil {
		return
	}
	if h.asks {
		_, _ = p.file.Write(reply(h, p.own, p.src)) // who isn't answered asks again
		return
	}
	if now := time.Now(); now.Sub(o.claim) >= calm {
		o.claim = now
		_, _ = p.file.Write(announcement(h.addr, p.own, p.src))
		p.told(p.name, h.addr, h.from)
	}
}

// add begins to answer for an address.
func (p *port) add(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.addrs[a] == nil {
		p.addrs[a] = &owned{next: time.Now()}
		p.join(a, true)
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// remove ends answering for an address, and tells how many are left.
func (p *port) remove(a netip.Addr) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.addrs[a] != nil {
		delete(p.addrs, a)
		p.join(a, false)
	}
	return len(p.addrs)
}

// join enters or leaves the group at which an IPv6 address is asked for (RFC 4291, section 2.7.1), in the link's hardware and, so that switches that snoop hear of it, in the kernel.
func (p *port) join(a netip.Addr, in bool) {
	if a.Is4() {
		return
	}
	b := a.As16()
	group := [16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]}
	hard, soft := unix.PACKET_ADD_MEMBERSHIP, unix.IPV6_JOIN_GROUP
	if !in {
		hard, soft = unix.PACKET_DROP_MEMBERSHIP, unix.IPV6_LEAVE_GROUP
	}
	m := unix.PacketMreq{Ifindex: int32(p.index), Type: unix.PACKET_MR_MULTICAST, Alen: 6, Address: [8]byte{0x33, 0x33, 0xff, b[13], b[14], b[15]}}
	if raw, err := p.file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptPacketMreq(int(fd), unix.SOL_PACKET, hard, &m) })
	}
	if p.groups >= 0 {
		_ = unix.SetsockoptIPv6Mreq(p.groups, unix.IPPROTO_IPV6, soft, &unix.IPv6Mreq{Multiaddr: group, Interface: uint32(p.index)})
	}
}

// announce tells of addresses when they are due.
func (p *port) announce() {
	for {
		wait := p.due(time.Now())
		timer := time.NewTimer(wait)
		select {
		case <-p.done:
			timer.Stop()
			return
		case <-p.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// due sends announcements whose time has come, and tells how long the next ones have.
func (p *port) due(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait, sent := minute, 0
	for a, o := range p.addrs {
		if left := o.next.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		if sent == burst {
			return rest
		}
		sent++
		_, _ = p.file.Write(announcement(a, p.own, p.src)) // another follows
		gap := minute
		if o.step < len(gaps) {
			gap = gaps[o.step]
			o.step++
		}
		o.next = now.Add(gap)
		wait = min(wait, gap)
	}
	return wait
}

// close ends the port. It may be closed twice.
func (p *port) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return
	}
	p.gone = true
	close(p.done)
	_ = p.file.Close()
	if p.groups >= 0 {
		_ = unix.Close(p.groups)
		p.groups = -1
	}
}
