package gobgp

import (
	"context"
	"errors"
	"maps"
	"sync"

	"kube-router/internal/row"
)

// Fake is a speaker in memory, with the real one's refusals: nothing without the speaker itself, next hops
// and local addresses of the right family.
type Fake struct {
	mu   sync.Mutex
	rows map[row.BgpKey]row.Bgp
}

// NewFake makes a speaker that holds nothing.
func NewFake() *Fake { return &Fake{rows: map[row.BgpKey]row.Bgp{}} }

// Dump returns what it holds.
func (f *Fake) Dump(context.Context) (map[row.BgpKey]row.Bgp, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.rows), nil
}

// Apply changes what it holds.
func (f *Fake) Apply(_ context.Context, changes []row.Change[row.BgpKey, row.Bgp]) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	failed := row.Failed[row.BgpKey]{}
	made, gone := sorted(changes)
	for _, c := range made {
		_, running := f.rows[row.BgpKey{Kind: row.BgpKindSpeaker}]
		if err := refuse(*c.New, running); err != nil {
			failed[c.Key] = err
			continue
		}
		f.rows[c.Key] = *c.New
	}
	for _, c := range gone {
		if c.Key.Kind == row.BgpKindSpeaker {
			clear(f.rows)
		}
		delete(f.rows, c.Key)
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func refuse(r row.Bgp, running bool) error {
	switch r := r.(type) {
	case row.BgpSpeaker:
		return nil
	case row.BgpPath:
		if r.NextHop.Is4() != r.Prefix.Addr().Is4() {
			return errors.New("the next hop is of another family")
		}
	case row.BgpPeer:
		if r.Local.Is4() != r.Addr.Is4() {
			return errors.New("the local address is of another family")
		}
	}
	if !running {
		return errNoSpeaker
	}
	return nil
}
