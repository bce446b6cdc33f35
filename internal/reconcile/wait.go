package reconcile

import (
	"context"
	"fmt"
)

// Begin keeps what is claimed from now on back from the lane until End, so that it is taken together: a
// rule never without the set that it names. Begin and End don't nest.
func (l *Ledger[K, R]) Begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn = make(chan struct{})
}

// End lets the lane take what was claimed since Begin.
func (l *Ledger[K, R]) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.turn != nil {
		close(l.turn)
		l.turn = nil
	}
	l.signal()
}

// Wait returns when at each of the keys stands what is wanted there, or nothing where nothing is wanted.
// When ctx ends before, the error tells the first key that is missing and why.
func (l *Lane[K, R]) Wait(ctx context.Context, keys ...K) error {
	for {
		l.mu.Lock()
		missing, ok := l.missing(keys)
		stepped := l.stepped
		var fault error // read here: the lane goes on writing it
		if f := l.failing[missing]; f != nil {
			fault = f.err
		}
		l.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-stepped:
		case <-ctx.Done():
			if fault != nil {
				return fmt.Errorf("%v is not written: %w", missing, fault)
			}
			return fmt.Errorf("%v is not written yet: %w", missing, ctx.Err())
		}
	}
}

// missing finds a key where another row stands than is wanted; true: there is none.
func (l *Lane[K, R]) missing(keys []K) (K, bool) {
	for _, k := range keys {
		want, wanted := l.ledger.Want(k)
		if have, has := l.have.get(k); wanted != has || wanted && have != want {
			return k, false
		}
	}
	var none K
	return none, l.have != nil || len(keys) == 0
}

// tell wakes whoever waits for a step.
func (l *Lane[K, R]) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.stepped)
	l.stepped = make(chan struct{})
}
