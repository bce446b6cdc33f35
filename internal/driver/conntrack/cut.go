package conntrack

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Cutter ends flows that stand though they are no longer allowed. It looks only when it is told that
// something of certain addresses was tightened; who judges a flow is somebody else's knowledge.
type Cutter struct {
	kernel Kernel
	judge  Judge
	log    *slog.Logger
	Why    string // what the flows are that end, for the log: "that policies forbid now"

	mu    sync.Mutex
	marks map[netip.Addr]struct{}
	ready []func(context.Context) error
	cut   uint64
	wake  chan struct{}
}

// Judge returns those of some flows that are forbidden. Marked tells the addresses of which something changed.
type Judge func(ctx context.Context, flows []Flow, marked func(netip.Addr) bool) ([]Flow, error)

// NewCutter makes a cutter of a kernel's flows.
func NewCutter(k Kernel, judge Judge, log *slog.Logger) *Cutter {
	return &Cutter{kernel: k, judge: judge, log: log, Why: "that policies forbid now, or whose pod has gone", marks: map[netip.Addr]struct{}{}, wake: make(chan struct{}, 1)}
}

// Mark asks for a look at the flows of addresses, once ready has returned: when the rules that forbid new
// ones stand.
func (c *Cutter) Mark(ready func(context.Context) error, addrs ...netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range addrs {
		c.marks[a] = struct{}{}
	}
	c.ready = append(c.ready, ready)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Cut is the number of flows ended since the start.
func (c *Cutter) Cut() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

// patience is how long the rules may take before the flows are looked at anyway, grace how long a packet that
// passed the old rules may take to become a flow.
const (
	patience = 10 * time.Second
	grace    = 500 * time.Millisecond
	// looks bounds how often it looks again while flows come back: what leads to a pod that has gone, a host port, may go later.
	looks = 20
)

// Run cuts until ctx ends.
func (c *Cutter) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
		marks := c.take(ctx)
		found := 0
		for i := 0; i < 2 || found > 0 && i < looks; i++ {
			var err error
			if found, err = c.look(ctx, marks); err != nil && ctx.Err() == nil {
				c.log.Warn("flows "+c.Why+" could not be ended", "error", err)
			}
			timer := time.NewTimer(grace)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
		}
	}
}

// take waits for the rules and returns the addresses.
func (c *Cutter) take(ctx context.Context) map[netip.Addr]struct{} {
	c.mu.Lock()
	marks, ready := c.marks, c.ready
	c.marks, c.ready = map[netip.Addr]struct{}{}, nil
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, f := range ready {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("flows are judged though not every rule is in place", "error", err)
		}
	}
	return marks
}

// look ends the flows that are forbidden, and tells how many.
func (c *Cutter) look(ctx context.Context, marks map[netip.Addr]struct{}) (int, error) {
	var flows []Flow
	families := map[bool]bool{}
	for a := range marks {
		families[a.Is6()] = true
	}
	for v6 := range families {
		err := c.kernel.Flows(Filter{V6: v6}, func(f Flow) {
			_, client := marks[f.Orig.Src.Addr()]
			_, server := marks[f.Reply.Src.Addr()]
			if client || server {
				flows = append(flows, f)
			}
		})
		if err != nil {
			return 0, err
		}
	}
	if len(flows) == 0 {
		return 0, nil
	}
	bad, err := c.judge(ctx, flows, func(a netip.Addr) bool { _, ok := marks[a]; return ok })
	if err != nil || len(bad) == 0 {
		return 0, err
	}
	c.log.Info("ended flows "+c.Why, "flows", len(bad), "first", bad[0].String())
	c.mu.Lock()
	c.cut += uint64(len(bad))
	c.mu.Unlock()
	return len(bad), c.kernel.Delete(bad...)
}
