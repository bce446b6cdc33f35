package gobgp

import (
	"fmt"

	"github.com/osrg/gobgp/v4/api"
)

// reset makes a change of policy reach routes that were sent or learned before it (soft reset, RFC 2918 in
// effect): peers get what differs, and no session ends.
func (t *turn) reset(_, _ []change) error {
	if t.resetIn {
		if err := t.soft("all", api.ResetPeerRequest_DIRECTION_IN); err != nil {
			return err
		}
	} else if t.resetOutside {
		have, err := t.known()
		if err != nil {
			return err
		}
		for _, p := range have {
			if p.Node != "" {
				continue
			}
			if err := t.soft(p.Addr.String(), api.ResetPeerRequest_DIRECTION_IN); err != nil {
				return err
			}
		}
	}
	if t.resetOut {
		return t.soft("all", api.ResetPeerRequest_DIRECTION_OUT)
	}
	return nil
}

func (t *turn) soft(peers string, dir api.ResetPeerRequest_Direction) error {
	if _, err := t.ResetPeer(t.ctx, &api.ResetPeerRequest{Address: peers, Soft: true, Direction: dir}); err != nil {
		return fmt.Errorf("judge routes again: %w", plain(err))
	}
	return nil
}
