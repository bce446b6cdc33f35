package names

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Answer is what a DNS response says that a name stands for.
type Answer struct {
	Name  string // that was asked, in lower case, without a dot at the end
	Addrs []Told // each once
}

// Told is one address, and how long it may be kept (RFC 1035, section 3.2.1): as long as every record that leads to it.
type Told struct {
	Addr netip.Addr
	TTL  time.Duration
}

// Why a response tells nothing.
var (
	errNoAnswer = errors.New("no answer to one question about an address")
	errName     = errors.New("no name of a host")
)

// What one response may hold: links of its chain of aliases, more than any resolver follows, and records that are looked at.
const (
	maxLinks   = 32
	maxRecords = 4096
)

// link is an alias (CNAME).
type link struct {
	to  string
	ttl uint32
}

// ParseAnswer reads a DNS response. The name that was asked counts, and addresses to which a chain of aliases leads from it within the
// answer section; hints of HTTPS and SVCB records (RFC 9460) are addresses too. Records beside the chain, and other sections, are
// not looked at.
func ParseAnswer(msg []byte) (Answer, error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil {
		return Answer{}, fmt.Errorf("DNS header: %w", err)
	}
	if !h.Response || h.OpCode != 0 || h.RCode != dnsmessage.RCodeSuccess {
		return Answer{}, errNoAnswer
	}
	q, err := p.Question()
	if err != nil {
		return Answer{}, fmt.Errorf("DNS question: %w", err)
	}
	if _, err = p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) || q.Class != dnsmessage.ClassINET {
		return Answer{}, errNoAnswer
	}
	asked := canonical(q.Name)
	if !isHost(asked) {
		return Answer{}, errName
	}
	r := records{links: map[string]link{}, addrs: map[string][]record{}}
	if err := r.read(&p); err != nil {
		return Answer{}, fmt.Errorf("DNS answer: %w", err)
	}
	return Answer{Name: asked, Addrs: r.from(asked)}, nil
}

// records are those of an answer section, by their owner.
type records struct {
	links map[string]link
	addrs map[string][]record
}

type record struct {
	addr netip.Addr
	ttl  uint32
}

func (r records) read(p *dnsmessage.Parser) error {
	for range maxRecords {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Class != dnsmessage.ClassINET {
			if err := p.SkipAnswer(); err != nil {
				return err
			}
			continue
		}
		if err := r.take(p, h); err != nil {
			return err
		}
	}
	return nil
}

// take takes one record over.
func (r records) take(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) error {
	owner := canonical(h.Name)
	add := func(a netip.Addr) { r.addrs[owner] = append(r.addrs[owner], record{a, h.TTL}) }
	switch h.Type {
	case dnsmessage.TypeA:
		a, err := p.AResource()
		if err == nil {
			add(netip.AddrFrom4(a.A))
		}
		return err
	case dnsmessage.TypeAAAA:
		a, err := p.AAAAResource()
		if err == nil {
			add(netip.AddrFrom16(a.AAAA))
		}
		return err
	case dnsmessage.TypeCNAME:
		c, err := p.CNAMEResource()
		if _, twice := r.links[owner]; err == nil && !twice {
			r.links[owner] = link{canonical(c.CNAME), h.TTL}
		}
		return err
	case dnsmessage.TypeHTTPS:
		s, err := p.HTTPSResource()
		if err == nil {
			hints(s.SVCBResource, add)
		}
		return err
	case dnsmessage.TypeSVCB:
		s, err := p.SVCBResource()
		if err == nil {
			hints(s, add)
		}
		return err
	}
	return p.SkipAnswer()
}

// hints are the addresses that a record of a service tells (RFC 9460, section 7.3).
func hints(s dnsmessage.SVCBResource, add func(netip.Addr)) {
	for key, size := range map[dnsmessage.SVCParamKey]int{dnsmessage.SVCParamIPv4Hint: 4, dnsmessage.SVCParamIPv6Hint: 16} {
		for b, _ := s.GetParam(key); len(b) >= size; b = b[size:] {
			if a, ok := netip.AddrFromSlice(b[:size]); ok {
				add(a)
			}
		}
	}
}

// from follows the chain from a name and gives the addresses on it.
func (r records) from(name string) (list []Told) {
	seen := map[netip.Addr]bool{}
	least := ^uint32(0)
	for range maxLinks {
		for _, one := range r.addrs[name] {
			if !seen[one.addr] {
				seen[one.addr] = true
				list = append(list, Told{one.addr, lifetime(min(least, seconds(one.ttl)))})
			}
		}
		next, ok := r.links[name]
		if !ok {
			break
		}
		delete(r.links, name) // a chain that comes back ends
		least = min(least, seconds(next.ttl))
		name = next.to
	}
	return list
}

// seconds reads a TTL: one with the highest bit set is none (RFC 2181, section 8).
func seconds(ttl uint32) uint32 {
	if ttl > 1<<31-1 {
		return 0
	}
	return ttl
}

// longest is how long any address is believed, as resolvers do (RFC 8767, section 4).
const longest = 7 * 24 * time.Hour

func lifetime(ttl uint32) time.Duration { return min(time.Duration(ttl)*time.Second, longest) }

// canonical is a name as it is compared: case means nothing (RFC 4343), which some resolvers use to make answers harder to forge.
func canonical(n dnsmessage.Name) string {
	return strings.ToLower(strings.TrimSuffix(n.String(), "."))
}

// isHost tells whether a name is one that policies can have; others are about no host.
func isHost(name string) bool {
	if name == "" || len(name) > 253 || !strings.Contains(name, ".") {
		return false
	}
	for i := range len(name) {
		switch b := name[i]; {
		case b >= 'a' && b <= 'z', b >= '0' && b <= '9', b == '-', b == '_', b == '.':
		default:
			return false
		}
	}
	return true
}

// opens tells whether an address that a name stands for can be anybody's outside of this machine. One who owns a name and tells such an
// address means the one who asks.
func opens(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.Is4In6() && !a.IsLinkLocalUnicast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
