package policy

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// reader makes values of fuzz bytes.
type reader struct{ b []byte }

func (r *reader) n(below int) int {
	if len(r.b) == 0 {
		return 0
	}
	v := int(r.b[0]) % below
	r.b = r.b[1:]
	return v
}

func (r *reader) word() string { return []string{"", "a", "b", "c"}[r.n(4)] }

func (r *reader) labels() map[string]string {
	m := map[string]string{}
	for range r.n(4) {
		m[r.word()] = r.word()
	}
	return m
}

func (r *reader) selector() *model.Selector {
	s := &model.Selector{Invalid: r.n(16) == 15}
	for range r.n(4) {
		q := model.Requirement{Key: r.word(), Op: model.Operator(r.n(4))}
		for range r.n(3) {
			q.Values = append(q.Values, r.word())
		}
		s.Requirements = append(s.Requirements, q)
	}
	return s
}

// FuzzIndex: whatever a selection has, the index finds under it; and equal names mean equal selections.
func FuzzIndex(f *testing.F) {
	f.Add([]byte{1, 2, 3, 0, 1, 1, 2, 2, 3, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 2, 2, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &reader{b}
		s := selection{scope: r.word()}
		if r.n(2) == 1 {
			s.namespaces = r.selector()
		}
		if r.n(3) > 0 {
			s.pods = r.selector()
		}
		x := newIndex[string]()
		x.add(s, s.String())
		ns := &model.Namespace{Name: r.word(), Labels: r.labels()}
		labels := r.labels()
		found := false
		x.candidates(ns.Name, ns, labels, func(string) { found = true })
		if s.has(ns.Name, ns, labels) && !found {
			t.Errorf("%s has a pod %v of %v that the index doesn't find", s, labels, ns)
		}
		if s.never() && s.has(ns.Name, ns, labels) {
			t.Errorf("%s never selects, and selects", s)
		}
		x.remove(s, s.String())
		if len(x.at) > 0 {
			t.Errorf("%s leaves %v", s, x.at)
		}
	})
}

// FuzzBlock: a block without its exceptions has what is in the block and in no exception.
func FuzzBlock(f *testing.F) {
	f.Add("10.0.0.0/8", "10.1.0.0/16 10.1.2.0/24 10.255.255.255/32", uint32(0x0a010203))
	f.Add("::/0", "fd00::/8 ffff::/16", uint32(7))
	f.Add("0.0.0.0/0", "0.0.0.0/1 128.0.0.0/1", uint32(1))
	f.Fuzz(func(t *testing.T, block, except string, at uint32) {
		b, err := netip.ParsePrefix(block)
		if err != nil || b.Addr().Is4In6() || b.Addr().Zone() != "" {
			return
		}
		var list []netip.Prefix
		probes := []netip.Addr{b.Masked().Addr(), lastOf(b.Masked()), netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, at)))}
		for i, w := range strings.Fields(except) {
			if i == 64 { // every pair is compared
				break
			}
			e, err := netip.ParsePrefix(w)
			if err != nil || e.Addr().Is4() != b.Addr().Is4() || e.Addr().Is4In6() {
				continue
			}
			list = append(list, e)
			probes = append(probes, e.Masked().Addr(), lastOf(e.Masked()), e.Masked().Addr().Prev(), lastOf(e.Masked()).Next())
		}
		spans := subtract(b, list)
		for i, s := range spans {
			if s.First.Compare(s.Last) > 0 || i > 0 && spans[i-1].Last.Compare(s.First) >= 0 {
				t.Fatalf("%s without %v: %v", b, list, spans)
			}
		}
		for _, a := range probes {
			if !a.IsValid() {
				continue
			}
			want := b.Contains(a) && !slices.ContainsFunc(list, func(e netip.Prefix) bool { return e.Contains(a) })
			if got := slices.ContainsFunc(spans, func(s intent.Span) bool { return s.Contains(a) }); got != want {
				t.Errorf("%s in %s without %v: %t, want %t; %v", a, b, list, got, want, spans)
			}
		}
	})
}

// FuzzPorts: merged ranges are disjoint, and have the ports that they are made of.
func FuzzPorts(f *testing.F) {
	f.Add([]byte{0, 80, 0, 81, 0, 82, 1, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		var ports []model.PolicyPort
		for ; len(b) >= 5 && len(ports) < 64; b = b[5:] { // every pair is compared
			ports = append(ports, model.PolicyPort{
				Protocol: []model.Protocol{model.TCP, model.UDP, model.SCTP}[int(b[0])%3],
				Port:     model.Port(binary.BigEndian.Uint16(b[1:])), EndPort: model.Port(binary.BigEndian.Uint16(b[3:])),
			})
		}
		merged := numeric(ports)
		for i, r := range merged {
			if r.First > r.Last || i > 0 && merged[i-1].Protocol == r.Protocol && int(merged[i-1].Last)+1 >= int(r.First) {
				t.Fatalf("%v: %v", ports, merged)
			}
		}
		for _, p := range ports {
			for _, n := range []model.Port{p.Port - 1, p.Port, p.EndPort, p.EndPort + 1} {
				flow := Flow{Protocol: p.Protocol, Port: n}
				want := portMatches(ports, false, flow, nil)
				got := slices.ContainsFunc(merged, func(r intent.PortRange) bool {
					return r.Protocol == uint8(p.Protocol) && r.First <= uint16(n) && uint16(n) <= r.Last
				})
				if got != want {
					t.Errorf("port %d/%s in %v: %t, want %t", n, p.Protocol, ports, got, want)
				}
			}
		}
	})
}

// FuzzCompile: whatever a policy says, it can be compiled, and what it needs is what its rules refer to.
func FuzzCompile(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &reader{b}
		p := &model.Policy{Name: model.Name{Namespace: r.word(), Name: "p"}, Pods: *r.selector()}
		for _, side := range []**model.Rules{&p.Ingress, &p.Egress} {
			if r.n(3) == 0 {
				continue
			}
			*side = &model.Rules{}
			for range r.n(4) {
				(*side).Rules = append((*side).Rules, r.rule())
			}
		}
		c := compile(p)
		used := map[intent.SetID]bool{}
		for d, s := range c.sides {
			if (s == nil) != ([]*model.Rules{p.Ingress, p.Egress}[d] == nil) {
				t.Fatal("a direction is lost")
			}
			if s == nil {
				continue
			}
			for _, a := range s.matches {
				used[a.Set] = true
			}
			for _, n := range s.named {
				used[n.match.Set] = true
			}
			intent.NewNetworkTier(intent.Direction(d), s.matches)
		}
		delete(used, intent.SetID{})
		for _, s := range c.sets {
			if !used[s.id] {
				t.Errorf("set %s is needed by no rule", s.from)
			}
			delete(used, s.id)
		}
		if len(used) > 0 {
			t.Errorf("sets %v are not made", used)
		}
	})
}

func (r *reader) rule() model.Rule {
	rule := model.Rule{AnyPeer: r.n(5) == 0, AnyPort: r.n(3) == 0}
	for range r.n(3) {
		peer := model.PolicyPeer{}
		switch r.n(3) {
		case 0:
			peer.Block = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.n(256)), 0, 0}), r.n(33))
			peer.Except = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.n(256)), byte(r.n(256)), 0}), r.n(33))}
		case 1:
			peer.Pods = r.selector()
		default:
			peer.Namespaces, peer.Pods = r.selector(), r.selector()
		}
		rule.Peers = append(rule.Peers, peer)
	}
	for range r.n(3) {
		rule.Ports = append(rule.Ports, model.PolicyPort{Protocol: model.TCP, Port: model.Port(r.n(100)), PortName: r.word()})
	}
	return rule
}
