package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"

	"kube-router/internal/row"
)

// Driver is the table of everything that the speaker holds.
type Driver struct{ client *client }

// New makes the table of the speaker in dir. A speaker that isn't there holds nothing; who makes something
// waits until a supervisor has started it.
func New(dir string) (*Driver, error) {
	c, err := dial(filepath.Join(dir, socketName))
	if err != nil {
		return nil, err
	}
	return &Driver{client: c}, nil
}

// Close ends the connection to the speaker, not the speaker.
func (d *Driver) Close() error { return d.client.conn.Close() }

// Dump reads what the speaker holds of ours: paths by their identifier, peers by their description, sets and
// policies by their names.
func (d *Driver) Dump(ctx context.Context) (map[row.BgpKey]row.Bgp, error) {
	rows := map[row.BgpKey]row.Bgp{}
	if !d.client.there() {
		return rows, nil
	}
	global, err := d.client.global(ctx)
	if err != nil || global == nil {
		return rows, err
	}
	speaker, err := readSpeaker(global)
	if err != nil {
		return nil, err
	}
	rows[speaker.Key()] = speaker
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	add := func(r row.Bgp) { rows[r.Key()] = r }
	for _, read := range []func(context.Context, func(row.Bgp)) error{
		d.client.members, d.client.policies, d.client.paths,
	} {
		if err := read(ctx, add); err != nil {
			return nil, err
		}
	}
	return rows, d.client.peers(ctx, func(p row.BgpPeer) { add(p) })
}

// Apply brings changes into the speaker in the order in which nothing is ever announced half: what decides
// about paths before the paths, the paths before the peers, and back.
func (d *Driver) Apply(ctx context.Context, changes []row.Change[row.BgpKey, row.Bgp]) error {
	if len(changes) == 0 || !d.client.there() && !makes(changes) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 6*patience)
	defer cancel()
	t := &turn{client: d.client, ctx: ctx, failed: row.Failed[row.BgpKey]{}, sets: map[string]bool{}, resetOf: map[netip.Addr]api.ResetPeerRequest_Direction{}}
	running, err := t.client.global(ctx)
	if err != nil {
		return err
	}
	if running != nil {
		if changes, err = d.relive(ctx, changes, t.failed); err != nil {
			return err
		}
		running, err = t.client.global(ctx)
	}
	if err == nil {
		err = t.run(running != nil, changes)
	}
	switch {
	case err != nil:
		return err
	case len(t.failed) > 0:
		return t.failed
	}
	return nil
}

// makes tells whether any change makes something.
func makes(changes []row.Change[row.BgpKey, row.Bgp]) bool {
	for _, c := range changes {
		if c.New != nil {
			return true
		}
	}
	return false
}

// relive handles a change of the speaker itself, which means another life: what it holds is read, it is
// stopped, and everything is made again with the other changes. Its peers see a restart. A life that could not
// begin is not worth the one that is.
func (d *Driver) relive(ctx context.Context, changes []row.Change[row.BgpKey, row.Bgp], failed row.Failed[row.BgpKey]) ([]row.Change[row.BgpKey, row.Bgp], error) {
	for i, c := range changes {
		if c.Key.Kind != row.BgpKindSpeaker || c.New == nil {
			continue
		}
		have, err := d.Dump(ctx)
		if err != nil {
			return nil, err
		}
		if have[c.Key] == *c.New {
			return changes, nil
		}
		if _, err := here((*c.New).(row.BgpSpeaker)); err != nil {
			failed[c.Key] = row.Foreign{Err: fmt.Errorf("BGP goes on as before: %w", err)}
			return slices.Delete(slices.Clone(changes), i, i+1), nil
		}
		if err := d.client.stopped(ctx, true); err != nil {
			return nil, err
		}
		return remake(have, changes), nil
	}
	return changes, nil
}

// here is a speaker that listens at those of its addresses that are this node's, with an error about the rest: one
// that isn't there, or not yet, as IPv6 addresses come later than others, is no reason to be without BGP. Where none
// is there it is the speaker as it was, for none would mean every address.
func here(r row.BgpSpeaker) (row.BgpSpeaker, error) {
	some, n := r, 0
	some.Listen = [row.MaxListen]netip.Addr{}
	var missing []error
	for _, a := range r.Addrs() {
		c, err := net.ListenPacket("udp", netip.AddrPortFrom(a, 0).String())
		if err != nil {
			missing = append(missing, fmt.Errorf("%s is no address of this node to listen at: %w", a, err))
			continue
		}
		c.Close()
		some.Listen[n] = a
		n++
	}
	if n == 0 {
		return r, errors.Join(missing...)
	}
	return some, errors.Join(missing...)
}

// remake are the changes that make from nothing what have becomes by changes.
func remake(have map[row.BgpKey]row.Bgp, changes []row.Change[row.BgpKey, row.Bgp]) []row.Change[row.BgpKey, row.Bgp] {
	for _, c := range changes {
		delete(have, c.Key)
	}
	for k, r := range have {
		changes = append(changes, row.Change[row.BgpKey, row.Bgp]{Key: k, New: &r})
	}
	return changes
}

// Watch tells when a life of the speaker begins or ends, for it takes everything along.
func (d *Driver) Watch(ctx context.Context, changed func()) error {
	for {
		stream, err := d.client.WatchEvent(ctx, &api.WatchEventRequest{Peer: &api.WatchEventRequest_Peer{}})
		err = each[api.WatchEventResponse](stream, err, func(e *api.WatchEventResponse) {
			if e.GetPeer().GetType() == api.WatchEventResponse_PeerEvent_TYPE_END_OF_INIT {
				changed()
			}
		})
		if ctx.Err() != nil {
			return nil
		}
		if err == nil || lost(err) {
			changed()
			pause(ctx, 100*time.Millisecond)
			continue
		}
		return fmt.Errorf("watch the BGP speaker: %w", err)
	}
}
