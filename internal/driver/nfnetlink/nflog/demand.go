package nflog

import (
	"context"
	"sync"
	"time"
)

const (
	keep   = 500 // drops that are kept for who asks next
	unasks = 15 * time.Second
)

// OnDemand listens to one group while somebody asks, and for a little longer.
type OnDemand struct {
	reader *Reader

	mu    sync.Mutex
	asked time.Time
	drops []Drop
	since time.Time
	err   error
	wake  chan struct{}
}

// NewOnDemand makes one for a group in the network namespace of the descriptor; zero or less is the caller's own.
func NewOnDemand(netns int, group uint16) *OnDemand {
	o := &OnDemand{reader: NewReader(netns, group), wake: make(chan struct{}, 1)}
	o.reader.Heard, o.reader.Lost, o.reader.Failed = o.take, func(uint64) {}, o.heard
	return o
}

// Recent gives the latest drops, oldest first, and since when it has listened without a pause. The
// first question starts the listening. The error tells why nothing can be heard.
func (o *OnDemand) Recent() (list []Drop, since time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = time.Now()
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return append(list, o.drops...), o.since, o.err
}

// Run listens whenever somebody asks, until ctx ends.
func (o *OnDemand) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.wake:
		}
		err := o.listen(ctx)
		o.mu.Lock()
		o.err, o.since, o.drops = err, time.Time{}, nil
		o.mu.Unlock()
	}
}

// listen reads until nobody has asked for a while.
func (o *OnDemand) listen(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- o.reader.listen(ctx) }()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-look.C:
		}
		o.mu.Lock()
		wanted := time.Since(o.asked) < unasks
		o.mu.Unlock()
		if !wanted {
			cancel()
		}
	}
}

func (o *OnDemand) take(list []Drop) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.drops = append(o.drops, list...); len(o.drops) > keep {
		o.drops = append([]Drop(nil), o.drops[len(o.drops)-keep:]...)
	}
}

// heard notes since when it listens.
func (o *OnDemand) heard(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err = err; err == nil {
		o.since = time.Now()
	}
}
