package gobgp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"

	"kube-router/internal/row"
)

// errNoSpeaker is the error of rows that have no speaker to be in.
var errNoSpeaker = errors.New("the BGP speaker is not configured")

// change is one change of the table.
type change = row.Change[row.BgpKey, row.Bgp]

// turn is one Apply.
type turn struct {
	*client
	ctx    context.Context
	failed row.Failed[row.BgpKey]

	sets     map[string]bool // of which it is known that they are there
	fresh    bool            // this turn began the speaker's life
	resetOut bool            // what peers have of ours must be judged again
	resetIn  bool            // what we have of theirs too
	// and, of routers outside, what we have of theirs: it is about them alone
	resetOutside bool
	// and what single peers have of ours and we of theirs
	resetOf map[netip.Addr]api.ResetPeerRequest_Direction
}

// run applies the changes. An error means that nothing is known about any of them.
func (t *turn) run(running bool, changes []change) error {
	made, gone := sorted(changes)
	if i := slices.IndexFunc(made, func(c change) bool { return c.Key.Kind == row.BgpKindSpeaker }); i >= 0 && !running {
		all := (*made[i].New).(row.BgpSpeaker)
		some, missing := here(all)
		if some != all {
			t.failed[made[i].Key] = row.Foreign{Err: fmt.Errorf("BGP listens at %v alone: %w", some.Addrs(), missing)}
		}
		if err := t.begin(some); err != nil {
			if lost(err) {
				return err
			}
			t.failed[made[i].Key] = err
		} else {
			running, t.fresh = true, true
		}
	}
	if !running {
		for _, c := range made {
			if t.failed[c.Key] == nil {
				t.failed[c.Key] = errNoSpeaker
			}
		}
		return nil
	}
	if len(kind(gone, row.BgpKindSpeaker)) > 0 {
		return t.stopped(t.ctx, false) // nothing that it holds survives it
	}
	for _, step := range []func(made, gone []change) error{t.addMembers, t.setPolicies, t.addPaths, t.addPeers,
		t.removePeers, t.removePaths, t.removeMembers, t.removePolicies, t.reset} {
		if err := step(made, gone); err != nil {
			return err
		}
	}
	return nil
}

// sorted splits changes into rows to be made and rows to be removed, in a stable order.
func sorted(changes []change) (made, gone []change) {
	for _, c := range changes {
		if c.New != nil {
			made = append(made, c)
		} else {
			gone = append(gone, c)
		}
	}
	for _, list := range [][]change{made, gone} {
		slices.SortFunc(list, func(a, b change) int {
			return cmp.Or(cmp.Compare(a.Key.Kind, b.Key.Kind), cmp.Compare(a.Key.Set, b.Key.Set), cmp.Compare(a.Key.Rule, b.Key.Rule),
				a.Key.Net.Addr().Compare(b.Key.Net.Addr()), cmp.Compare(a.Key.Net.Bits(), b.Key.Net.Bits()))
		})
	}
	return made, gone
}

// kind are the changes of one kind.
func kind(list []change, k row.BgpKind) []change {
	from := slices.IndexFunc(list, func(c change) bool { return c.Key.Kind == k })
	if from < 0 {
		return nil
	}
	to := from
	for to < len(list) && list[to].Key.Kind == k {
		to++
	}
	return list[from:to]
}

// one does what one row needs and notes how that went.
func (t *turn) one(k row.BgpKey, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	err := do(ctx)
	if err == nil {
		return nil
	}
	if lost(err) {
		return fmt.Errorf("the BGP speaker does not answer: %w", err)
	}
	t.failed[k] = plain(err)
	return nil
}

// begin starts BGP in a fresh speaker, with every set that policies can name.
func (t *turn) begin(r row.BgpSpeaker) error {
	g := &api.Global{Asn: r.ASN, RouterId: r.RouterID.String(), ListenPort: int32(r.Port), UseMultiplePaths: r.MultiPath}
	for _, a := range r.Addrs() {
		g.ListenAddresses = append(g.ListenAddresses, a.String())
	}
	if _, err := t.StartBgp(t.ctx, &api.StartBgpRequest{Global: g}); err != nil {
		return fmt.Errorf("start BGP: %w", plain(err))
	}
	for _, s := range row.BgpSets() {
		if _, err := t.AddDefinedSet(t.ctx, &api.AddDefinedSetRequest{DefinedSet: emptySet(s)}); err != nil {
			return fmt.Errorf("make set %s: %w", s, plain(err))
		}
	}
	// The engine's own default is to announce everything.
	for _, imports := range []bool{false, true} {
		if err := t.assign(t.ctx, imports, nil, assigned{}); err != nil {
			return err
		}
	}
	return nil
}

// stopped stops the speaker and waits until this life of it is over.
func (c *client) stopped(ctx context.Context, graceful bool) error {
	_, err := c.StopBgp(ctx, &api.StopBgpRequest{AllowGracefulRestart: graceful})
	if err != nil && !lost(err) {
		return fmt.Errorf("stop BGP: %w", plain(err))
	}
	for c.there() {
		if g, err := c.global(ctx); err == nil && g == nil {
			break // the next life
		}
		if !pause(ctx, 10*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}

// readSpeaker makes a row of what the speaker was started with.
func readSpeaker(g *api.Global) (row.BgpSpeaker, error) {
	r := row.BgpSpeaker{ASN: g.Asn, Port: uint16(g.ListenPort), MultiPath: g.UseMultiplePaths}
	var err error
	if r.RouterID, err = netip.ParseAddr(g.RouterId); err != nil {
		return r, fmt.Errorf("read the speaker's router id: %w", err)
	}
	// The engine fills an empty list with the two addresses that mean any.
	if slices.Equal(g.ListenAddresses, []string{"0.0.0.0", "::"}) {
		return r, nil
	}
	for i, s := range g.ListenAddresses {
		if i >= row.MaxListen {
			break
		}
		if r.Listen[i], err = netip.ParseAddr(s); err != nil {
			return r, fmt.Errorf("read where the speaker listens: %w", err)
		}
	}
	return r, nil
}
