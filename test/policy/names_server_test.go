//go:build policy

package policy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"kube-router/internal/lab"
)

// zone answers questions: what it has for a name, or what a function makes of it.
type zone struct {
	mu    sync.Mutex
	of    map[string][]dnsmessage.Resource
	other func(name string) []dnsmessage.Resource
}

func (z *zone) set(name string, list ...dnsmessage.Resource) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.of[name] = list
}

func dnsName(s string) dnsmessage.Name { return dnsmessage.MustNewName(s + ".") }

func header(name string, ttl uint32) dnsmessage.ResourceHeader {
	return dnsmessage.ResourceHeader{Name: dnsName(name), Class: dnsmessage.ClassINET, TTL: ttl}
}

// address is an A or AAAA record.
func address(name string, ttl uint32, a string) dnsmessage.Resource {
	at := netip.MustParseAddr(a)
	if at.Is4() {
		return dnsmessage.Resource{Header: header(name, ttl), Body: &dnsmessage.AResource{A: at.As4()}}
	}
	return dnsmessage.Resource{Header: header(name, ttl), Body: &dnsmessage.AAAAResource{AAAA: at.As16()}}
}

func alias(name string, ttl uint32, to string) dnsmessage.Resource {
	return dnsmessage.Resource{Header: header(name, ttl), Body: &dnsmessage.CNAMEResource{CNAME: dnsName(to)}}
}

// answer makes the response to a question.
func (z *zone) answer(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(m.Questions[0].Name.String(), "."))
	z.mu.Lock()
	list, ok := z.of[name]
	if !ok && z.other != nil {
		list = z.other(name)
	}
	z.mu.Unlock()
	r := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions, Answers: list}
	b, err := r.Pack()
	if err != nil {
		return nil
	}
	return b
}

// serveDNS answers at port 53 of a host in both families, by UDP and TCP; over TCP in pieces.
func serveDNS(t *testing.T, h *lab.Host, z *zone, at ...netip.Addr) {
	t.Helper()
	if len(at) == 0 {
		at = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	for _, a := range at {
		var udp net.PacketConn
		var tcp net.Listener
		if err := h.Do(func() (err error) {
			family := map[bool]string{true: "4", false: "6"}[a.Is4()]
			to := netip.AddrPortFrom(a, 53).String()
			udp, err = net.ListenPacket("udp"+family, to)
			if err == nil {
				tcp, err = net.Listen("tcp"+family, to)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = udp.Close(), tcp.Close() })
		go func() {
			b := make([]byte, 4096)
			for {
				n, from, err := udp.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = udp.WriteTo(z.answer(b[:n]), from)
			}
		}()
		go func() {
			for {
				conn, err := tcp.Accept()
				if err != nil {
					return
				}
				go z.inPieces(conn)
			}
		}()
	}
}

// inPieces answers over TCP, in segments that end anywhere.
func (z *zone) inPieces(conn net.Conn) {
	defer conn.Close()
	for {
		query, err := readFramed(conn)
		if err != nil {
			return
		}
		b := framed(z.answer(query))
		for len(b) > 0 {
			n := min(len(b), 1+len(b)/3)
			if _, err := conn.Write(b[:n]); err != nil {
				return
			}
			b = b[n:]
			time.Sleep(3 * time.Millisecond)
		}
	}
}

func framed(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }

func readFramed(r io.Reader) ([]byte, error) {
	size := make([]byte, 2)
	if _, err := io.ReadFull(r, size); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size))
	_, err := io.ReadFull(r, b)
	return b, err
}

// question is a query about a name.
func question(name string, typ dnsmessage.Type) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: uint16(len(name) * 7), RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsName(name), Type: typ, Class: dnsmessage.ClassINET}}}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// lookUp asks a server as the thread's host, and tells how long the answer took.
func lookUp(network string, server netip.AddrPort, name string, typ dnsmessage.Type) ([]netip.Addr, time.Duration, error) {
	conn, err := net.DialTimeout(network, server.String(), 5*time.Second)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	begun := time.Now()
	query, b := question(name, typ), make([]byte, 65535)
	if network == "tcp" {
		if _, err = conn.Write(framed(query)); err == nil {
			b, err = readFramed(conn)
		}
	} else if _, err = conn.Write(query); err == nil {
		var n int
		n, err = conn.Read(b)
		b = b[:n]
	}
	took := time.Since(begun)
	if err != nil {
		return nil, took, fmt.Errorf("ask %s over %s for %s: %w", server, network, name, err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return nil, took, err
	}
	var list []netip.Addr
	for _, r := range m.Answers {
		switch r := r.Body.(type) {
		case *dnsmessage.AResource:
			list = append(list, netip.AddrFrom4(r.A))
		case *dnsmessage.AAAAResource:
			list = append(list, netip.AddrFrom16(r.AAAA))
		}
	}
	if len(list) == 0 {
		return nil, took, errors.New(name + " has no address")
	}
	return list, took, nil
}
