package agent

import (
	"context"
	"fmt"

	"github.com/vishvananda/netns"

	"kube-router/internal/driver/takeover"
)

// takeOver deals with what kube-router v2 or kube-proxy left, once all of our own is in the kernel: until then
// theirs carries the traffic. They are removed only where the operator said so; else he is told.
func (a *agent) takeOver(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-a.tables.settled:
	}
	d, err := takeover.New(netns.None(), nil)
	if err != nil {
		return fmt.Errorf("open leftovers: %w", err)
	}
	defer d.Close()
	found, err := d.Dump(ctx)
	if err != nil {
		a.log.Warn("it is not known whether another program left something", "error", err)
	}
	of := map[string]int{}
	for _, l := range found {
		of[l.Of]++
	}
	for program, n := range of {
		if a.o.Settings.TakeOver {
			a.log.Info("taking over", "from", program, "leftovers", n)
		} else {
			a.log.Warn("another program's rules are in the way of ours; --take-over removes them", "of", program, "leftovers", n)
		}
	}
	if !a.o.Settings.TakeOver || err == nil && len(found) == 0 {
		return nil
	}
	return a.leftovers(d).lane.Run(ctx)
}

// leftovers is the table of what others left; nobody ever wants any of it. It is looked at once: whoever still
// runs and makes its rules again is not fought.
func (a *agent) leftovers(d *takeover.Driver) table {
	open(a.tables, leftoverTable, d, &a.o.Settings)
	t, _ := a.tables.of(leftoverTable)
	return t
}
