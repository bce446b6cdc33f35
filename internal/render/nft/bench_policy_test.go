package nft

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"kube-router/internal/driver/nft"
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// herd is a node of 110 pods that 10,000 policies guard, which speak of n different selectors; forty pods elsewhere
// are in each.
type herd struct{ n int }

func (h herd) set(i int) intent.SetID {
	return intent.SetID{Hash: intent.Digest(fmt.Sprint("selector ", i%h.n)), Named: i%h.n%20 == 0}
}

// list is what the policies of a pod allow, and what more.
func (h herd) list(pod int, allows ...intent.Match) *intent.Tier {
	port := func(n int) []intent.PortRange {
		return []intent.PortRange{{Protocol: 6, First: uint16(n), Last: uint16(n)}}
	}
	allows = append(allows, intent.Match{Ports: port(20_000 + pod)})
	for i := pod; i < 10_000; i += 110 {
		allows = append(allows, intent.Match{Set: h.set(i), Ports: port(1000 + i%h.n)})
	}
	return intent.NewNetworkTier(intent.ToPod, allows)
}

// member is a pod elsewhere, in eight sets.
func (h herd) member(i int) *intent.Membership {
	m := &intent.Membership{Pod: fmt.Sprint("elsewhere/pod-", i), Addrs: addrs(64, i)}
	for k := range 8 {
		if s := h.set(i + k*h.n/8); s.Named {
			m.Named = append(m.Named, intent.NamedMember{Set: s, Protocol: 6, Port: 8080})
		} else {
			m.Sets = append(m.Sets, s)
		}
	}
	return m
}

func addrs(net byte, i int) []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{10, net, byte(i >> 8), byte(i)}), netip.MustParseAddr(fmt.Sprintf("fd00:%x::%x", net, i+1))}
}

func (h herd) rows() []row.Nft {
	rows := FirewallBase(&intent.FirewallBase{V4: true, V6: true, OwnFronts: true, Ranges: []netip.Prefix{netip.MustParsePrefix("10.10.0.0/24")}})
	for pod := range 110 {
		l := h.list(pod)
		rows = append(rows, Tier(l)...)
		rows = append(rows, Firewall(&intent.Firewall{Pod: fmt.Sprint("here/pod-", pod), Addrs: addrs(10, pod), Ingress: []*intent.Tier{l}})...)
	}
	for i := range h.n {
		rows = append(rows, PeerSet(&intent.PeerSet{ID: h.set(i)})...)
	}
	for i := range h.n * 40 / 8 {
		rows = append(rows, Membership(h.member(i))...)
	}
	return rows
}

// worked is the time of a processor that this process and the kernel for it have taken: others use the machine.
func worked() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// guard is what guards a pod, but for the sets, which are others' too.
func (h herd) guard(wall *intent.Firewall) []row.Nft {
	return slices.DeleteFunc(append(Tier(wall.Ingress[0]), Firewall(wall)...), func(r row.Nft) bool { return r.Key().Kind == row.NftKindSet })
}

func (h herd) load(b *testing.B) *nft.Driver {
	b.Helper()
	w := &world{TB: b}
	table, err := nft.New(int(w.namespace()))
	w.must(err)
	b.Cleanup(func() { table.Close() })
	apply(b, table, nil, h.rows())
	return table
}

// BenchmarkSelectors brings what many different selectors of one node need into an empty kernel ("cold"), reads it
// again, and changes one pod that is in some of them, and one policy. The time must not grow with the square of
// their number.
func BenchmarkSelectors(b *testing.B) {
	for _, n := range []int{500, 1000, 2000} {
		h := herd{n}
		b.Run(fmt.Sprintf("cold/%d", n), func(b *testing.B) {
			begin := worked()
			for b.Loop() {
				h.load(b)
			}
			b.ReportMetric(float64((worked()-begin).Milliseconds())/float64(b.N), "cpu-ms/op")
		})
		var table *nft.Driver
		b.Run(fmt.Sprintf("dump/%d", n), func(b *testing.B) {
			table = h.load(b)
			for b.Loop() {
				if _, err := table.Dump(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("member/%d", n), func(b *testing.B) {
			table = h.load(b)
			out, in := Membership(h.member(3)), Membership(&intent.Membership{Addrs: h.member(3).Addrs, Sets: h.member(3).Sets[:6], Named: h.member(3).Named})
			for b.Loop() {
				apply(b, table, out, in)
				apply(b, table, in, out)
			}
		})
		b.Run(fmt.Sprintf("policy/%d", n), func(b *testing.B) {
			table = h.load(b)
			wall := intent.Firewall{Pod: "here/pod-3", Addrs: addrs(10, 3), Ingress: []*intent.Tier{h.list(3)}}
			other := wall
			other.Ingress = []*intent.Tier{h.list(3, intent.Match{Set: h.set(1)})}
			was, now := h.guard(&wall), h.guard(&other)
			for b.Loop() {
				apply(b, table, was, now)
				apply(b, table, now, was)
			}
		})
	}
}
