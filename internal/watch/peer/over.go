package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/osrg/gobgp/v4/api"

	"kube-router/internal/model"
)

// warnAt is the part of its limit, in percent, from which on a peer is told of.
const warnAt = 80

// count tells of peers outside that teach more prefixes than they may, or nearly so many. It asks when something was
// heard, or for as long as there is such a peer: what is beyond the limit makes no event.
func (w *Watch) count(ctx context.Context) error {
	if !w.heard && len(w.over) == 0 || w.peers == nil {
		return nil
	}
	w.heard = false
	for a := range w.over {
		if _, there := w.peers[a]; !there {
			w.overflow(a, model.Overflow{})
		}
	}
	for a, is := range w.peers {
		if is.Node != "" || is.Limit == 0 {
			continue
		}
		is, err := w.one(ctx, a)
		if err != nil {
			return err
		}
		o := model.Overflow{}
		if most := uint64(is.Limit); most > 0 && is.Established() && (is.Beyond > 0 || is.Received*100 >= most*warnAt) {
			step := max(most/10, 1)
			o = model.Overflow{Peer: a, Limit: is.Limit, Taught: is.Received / step * step, Refused: is.Beyond > 0}
		}
		w.overflow(a, o)
	}
	return nil
}

// one asks for one peer; it may be gone.
func (w *Watch) one(ctx context.Context, a netip.Addr) (State, error) {
	var is State
	stream, err := w.api.ListPeer(ctx, &api.ListPeerRequest{Address: a.String()})
	for err == nil {
		var m *api.ListPeerResponse
		if m, err = stream.Recv(); err == nil {
			is, _ = state(m.Peer)
		}
	}
	if !errors.Is(err, io.EOF) {
		return is, fmt.Errorf("ask the BGP speaker for peer %s: %w", a, err)
	}
	return is, nil
}

// overflow tells what has become of a peer's number of prefixes; the zero value: it is well.
func (w *Watch) overflow(a netip.Addr, o model.Overflow) {
	was, known := w.over[a]
	switch {
	case o == was:
	case o != (model.Overflow{}):
		w.over[a] = o
		w.Inbox.Put(&o)
	case known:
		delete(w.over, a)
		w.Inbox.Delete(was.Ref())
	}
}
