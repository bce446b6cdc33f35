package nft

import (
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/intent"
)

func weighed(weights ...uint16) []intent.Backend {
	list := make([]intent.Backend, len(weights))
	for i, w := range weights {
		list[i] = intent.Backend{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Port: 1, Weight: w}
	}
	return list
}

// TestSpread: each as often as its weight asks for, evenly among the others; fo has one.
func TestSpread(t *testing.T) {
	for _, c := range []struct {
		scheduler intent.Scheduler
		weights   []uint16
		want      string
	}{
		{"wrr", []uint16{0, 0, 0}, "[0 1 2]"},
		{"wrr", []uint16{1, 2, 0}, "[1 0 2 1]"},
		{"wlc", []uint16{10, 30}, "[1 0 1 1]"},
		{"fo", []uint16{0, 2, 2}, "[1]"},
		{"fo", []uint16{0, 0}, "[0]"},
		{"fo", nil, "[]"},
	} {
		got := []byte{}
		for _, b := range spread(c.scheduler, weighed(c.weights...)) {
			got = append(got, b.Addr.As4()[3])
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s of %v: %v; want %s", c.scheduler, c.weights, got, c.want)
		}
	}
	if n := len(spread("wrr", weighed(1, 65535))); n > mostShares {
		t.Errorf("%d slots; want %d at most", n, mostShares)
	}
}

// TestWeighedMaglev: a backend of three times the weight has three times the slots.
func TestWeighedMaglev(t *testing.T) {
	s := &intent.Service{Front: intent.Front{Addr: netip.MustParseAddr("10.96.0.1"), Port: 80, Protocol: 6}, Scheduler: "mh", Backends: weighed(1, 3)}
	count := map[netip.Addr]int{}
	for _, b := range classOf(s).pick.fill(spread(s.Scheduler, s.Backends)) {
		count[b.Addr]++
	}
	if a, b := count[s.Backends[0].Addr], count[s.Backends[1].Addr]; a+b != 1021 || b < 5*a/2 || b > 7*a/2 {
		t.Errorf("%d and %d slots", a, b)
	}
}
