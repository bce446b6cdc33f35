package ipvs

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

type target = row.Target[row.IpvsKey, row.Ipvs]

// config is the conformance suite over one kernel for each test.
func config(world func(testing.TB) Kernel, foreign func(Kernel) func(testing.TB) func() error, many int) conform.Config[row.IpvsKey, row.Ipvs] {
	var k Kernel
	return conform.Config[row.IpvsKey, row.Ipvs]{
		World:   func(t testing.TB) { k = world(t) },
		Open:    func(testing.TB) target { return New(k, Options{}) },
		Rows:    rows,
		Change:  other,
		Bad:     bad,
		Foreign: func(t testing.TB) func() error { return foreign(k)(t) },
		Many:    many,
	}
}

// rows are virtual servers of both families, all protocols and marks, each with up to four destinations.
func rows(n int) []row.Ipvs {
	var list []row.Ipvs
	for i := 0; len(list) < n; i++ {
		front := row.IpvsFront{Port: 80, Protocol: []uint8{6, 17, 132}[i%3]}
		v6 := i%4 == 1
		switch {
		case i%5 == 4:
			front = row.IpvsFront{Mark: uint32(i + 1), V6: v6}
		case v6:
			front.Addr = netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(i >> 8), 15: byte(i)})
		default:
			front.Addr = netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})
		}
		s := row.IpvsServer{Front: front, Scheduler: []string{"rr", "mh", "sh", "wlc"}[i%4], Persist: time.Duration(i%2) * time.Hour}
		if s.Scheduler == "mh" {
			s.Flags = row.IpvsPort | row.IpvsFallback
		}
		list = append(list, s)
		for e := range i % 5 {
			to := netip.AddrFrom4([4]byte{10, 244, byte(i), byte(e)})
			if v6 {
				to = netip.AddrFrom16([16]byte{0: 0xfd, 1: 1, 14: byte(i), 15: byte(e)})
			}
			d := row.IpvsDest{Front: front, To: netip.AddrPortFrom(to, 8080), Weight: uint32(e % 2)}
			if front.Mark != 0 {
				d.Method = row.IpvsTunnel
			}
			list = append(list, d)
		}
	}
	return list[:n]
}

func other(r row.Ipvs) (row.Ipvs, bool) {
	switch r := r.(type) {
	case row.IpvsServer:
		r.Scheduler, r.Flags, r.Persist = "lc", 0, 2*time.Hour-r.Persist
		return r, true
	case row.IpvsDest:
		r.Weight = 1 - r.Weight
		return r, true
	}
	return nil, false
}

func bad() []row.Ipvs {
	none := row.IpvsFront{Addr: netip.MustParseAddr("192.0.2.1"), Port: 1, Protocol: 6}
	return []row.Ipvs{
		row.IpvsDest{Front: none, To: netip.MustParseAddrPort("10.244.0.1:1"), Weight: 1},
		row.IpvsDest{Front: rows(1)[0].Key().Front, To: netip.MustParseAddrPort("[fd00::1]:1"), Weight: 1},
	}
}

// foreignServer is what somebody else made, not on our dummy link.
var foreignServer = row.IpvsServer{Front: row.IpvsFront{Addr: netip.MustParseAddr("192.0.2.200"), Port: 443, Protocol: 6}, Scheduler: "rr"}

func still(k Kernel, want row.IpvsServer) error {
	list, err := k.Servers()
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.IpvsServer == want && !s.Marked {
			return nil
		}
	}
	return fmt.Errorf("%s is gone or changed: %v", want, list)
}

func TestConformance(t *testing.T) {
	conform.Target(t, config(func(testing.TB) Kernel { return NewFake() }, func(k Kernel) func(testing.TB) func() error {
		return func(testing.TB) func() error {
			k.(*Fake).Foreign(foreignServer)
			return func() error { return still(k, foreignServer) }
		}
	}, 0))
}
