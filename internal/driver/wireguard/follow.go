package wireguard

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"kube-router/internal/row"
)

// InKernel tells whether the kernel has WireGuard, built in or as a module that it loads when it is asked.
func InKernel() bool {
	_, err := netlink.GenlFamilyGet("wireguard")
	return err == nil
}

// State is what the device says of a peer.
type State struct {
	Public    row.WireKey
	Endpoint  string    // where it is now; empty: unknown
	Handshake time.Time // of the present session, or of the last one; zero: none yet
	Received  int64     // bytes
	Sent      int64
	Silent    time.Time // what it was sent since then it has not answered, for minutes; zero: it is not silent
}

// States are all peers as the device has them; none where there is no device.
func (d *Driver) States() ([]State, error) {
	dev, err := d.engine.device()
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []State
	for _, p := range dev.Peers {
		s := State{Silent: d.silence(row.WireKey(p.PublicKey)), Public: row.WireKey(p.PublicKey), Handshake: p.LastHandshakeTime, Received: p.ReceiveBytes, Sent: p.TransmitBytes}
		if p.Endpoint != nil {
			s.Endpoint = p.Endpoint.String()
		}
		list = append(list, s)
	}
	return list, nil
}

// A handshake makes no notification, so it is asked for: again and again for a while after a peer was made, then slowly while
// somebody is silent, else seldom.
const (
	often  = 100 * time.Millisecond
	slowly = time.Second
	seldom = 10 * time.Second
	awhile = 10 * time.Second
)

// Follow tells which peers have shaken hands since they were made, whenever that changes, and of each that falls silent or is heard again,
// until ctx ends.
func (d *Driver) Follow(ctx context.Context, tell func([]row.WireKey), turned func(Turn)) {
	var before []row.WireKey
	made := time.Now()
	for gap := time.Duration(0); d.waits(ctx, gap, &made); {
		list, err := d.States()
		if err != nil {
			gap = slowly
			continue
		}
		for _, t := range d.listen(time.Now(), list) {
			turned(t)
		}
		var answered []row.WireKey
		for _, s := range list {
			if !s.Handshake.IsZero() {
				answered = append(answered, s.Public)
			}
		}
		slices.SortFunc(answered, func(a, b row.WireKey) int { return slices.Compare(a[:], b[:]) })
		if !slices.Equal(answered, before) {
			before = answered
			tell(answered)
		}
		switch {
		case len(answered) == len(list):
			gap = seldom
		case time.Since(made) < awhile:
			gap = often
		default:
			gap = slowly
		}
	}
}

// waits waits for a while, or until peers are made; false: ctx ended.
func (d *Driver) waits(ctx context.Context, gap time.Duration, made *time.Time) bool {
	timer := time.NewTimer(gap)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-d.made:
		*made = time.Now()
		return pause(ctx, often)
	case <-timer.C:
	}
	return ctx.Err() == nil
}
