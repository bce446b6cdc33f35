package wireguard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kube-router/internal/row"
)

// Rotation changes this node's key so that nobody loses a packet for longer than a handshake takes: others learn the next key before it
// counts, and keep the one before until what was sent with it has come.
type Rotation struct {
	Keys  *Keys
	Tell  func(key, also row.WireKey)                              // what this node is known by from now on
	Known func(context.Context) (key, also row.WireKey, err error) // what others read of it
}

// Others read of a change within moments of its being written; and a session that is new to them is tried before it counts.
const (
	spread   = 3 * time.Second
	writing  = time.Minute
	glance   = 100 * time.Millisecond
	lingered = 5 * time.Second
)

// Run changes the key once.
func (r *Rotation) Run(ctx context.Context) error {
	if err := r.Keys.Prepare(); err != nil {
		return err
	}
	if err := r.tell(ctx, spread); err != nil {
		return err
	}
	if err := r.Keys.Swap(); err != nil {
		return err
	}
	return r.End(ctx)
}

// End ends a change that was begun, be it by an earlier life: the key that counts stays, the other goes.
func (r *Rotation) End(ctx context.Context) error {
	if err := r.tell(ctx, lingered); err != nil {
		return err
	}
	if err := r.Keys.Forget(); err != nil {
		return err
	}
	key, also, err := r.Keys.Public()
	if err == nil {
		r.Tell(key, also)
	}
	return err
}

// tell says what the file has, and waits until others read it, and for some time more.
func (r *Rotation) tell(ctx context.Context, more time.Duration) error {
	key, also, err := r.Keys.Public()
	if err != nil {
		return err
	}
	r.Tell(key, also)
	limit, cancel := context.WithTimeout(ctx, writing)
	defer cancel()
	for {
		k, o, err := r.Known(limit)
		if err == nil && k == key && o == also {
			break
		}
		if !pause(limit, glance) {
			return errors.Join(ctx.Err(), fmt.Errorf("the Node doesn't show the key %s after %s: is the API server away?", key, writing))
		}
	}
	if !pause(ctx, more) {
		return ctx.Err()
	}
	return nil
}
