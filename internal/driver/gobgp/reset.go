package gobgp

import (
	"fmt"

	"github.com/osrg/gobgp/v4/api"
)

// reset makes a change of policy reach routes that were sent or learned before it (soft reset, RFC 2918 in
// effect): peers get what differs, and no session ends.
func (t *turn) reset(_, _ []change) error {
	for _, dir := range []struct {
		dir     api.ResetPeerRequest_Direction
		all     bool
		outside bool
	}{{api.ResetPeerRequest_DIRECTION_IN, t.resetIn, t.resetOutside}, {api.ResetPeerRequest_DIRECTION_OUT, t.resetOut, false}} {
		if dir.all {
			if err := t.soft("all", dir.dir); err != nil {
				return err
			}
			continue
		}
		if !dir.outside && len(t.resetOf) == 0 {
			continue
		}
		have, err := t.known()
		if err != nil {
			return err
		}
		for a, p := range have {
			if dir.outside && p.Node == "" || t.resetOf[a]&dir.dir != 0 {
				if err := t.soft(a.String(), dir.dir); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (t *turn) soft(peers string, dir api.ResetPeerRequest_Direction) error {
	if _, err := t.ResetPeer(t.ctx, &api.ResetPeerRequest{Address: peers, Soft: true, Direction: dir}); err != nil {
		return fmt.Errorf("judge routes again: %w", plain(err))
	}
	return nil
}
