package conntrack

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestCutter(t *testing.T) {
	flow := func(from, front, to string) Flow {
		return Flow{Protocol: 6,
			Orig:  Tuple{netip.MustParseAddrPort(from), netip.MustParseAddrPort(front)},
			Reply: Tuple{netip.MustParseAddrPort(to), netip.MustParseAddrPort(from)}}
	}
	fake := NewFake()
	// The server of the second is reached through a front: it is the endpoint that is marked.
	bad := []Flow{fake.Add(flow("10.0.0.1:4000", "10.0.0.9:80", "10.0.0.9:80")), fake.Add(flow("10.0.0.2:4000", "10.96.0.1:80", "10.0.0.9:80")),
		fake.Add(flow("[fd00::1]:4000", "[fd00::9]:80", "[fd00::9]:80"))}
	fine := fake.Add(flow("10.0.0.3:4000", "10.0.0.9:80", "10.0.0.9:80"))
	other := fake.Add(flow("10.0.0.1:4000", "10.0.0.8:80", "10.0.0.8:80"))
	stands := make(chan struct{})
	var asked int
	c := NewCutter(fake, func(_ context.Context, flows []Flow, marked func(netip.Addr) bool) ([]Flow, error) {
		if !marked(netip.MustParseAddr("10.0.0.9")) || marked(netip.MustParseAddr("10.0.0.1")) {
			t.Error("others are marked than were")
		}
		select {
		case <-stands:
		default:
			t.Error("judged before the rules stood")
		}
		asked += len(flows)
		return slices.DeleteFunc(slices.Clone(flows), func(f Flow) bool { return f == fine || f == other }), nil
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	c.Mark(func(context.Context) error { time.Sleep(20 * time.Millisecond); close(stands); return nil },
		netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9"))
	for end := time.Now().Add(5 * time.Second); c.Cut() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d flows ended, want %d", c.Cut(), len(bad))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if left := fake.All(); !slices.Equal(left, []Flow{fine, other}) {
		t.Errorf("left: %v", left)
	}
	if asked < 4 {
		t.Errorf("judged %d flows; the one that stays is among the marked", asked)
	}
}

func TestCutterGoesOn(t *testing.T) {
	fake := NewFake()
	fake.Break(errors.New("no netlink"))
	c := NewCutter(fake, nil, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	c.Mark(func(context.Context) error { return errors.New("a rule fails") }, netip.MustParseAddr("10.0.0.9"))
	if err := c.Run(ctx); err != nil {
		t.Error(err)
	}
}
