package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/osrg/gobgp/v4/api"

	"kube-router/internal/row"
)

// described begins the description of every peer of ours; the name of the Node that it is follows.
const described = "kube-router"

// redial is how often a session that is down is tried, and rest how long one is left alone that BFD or a
// person ended, in seconds: the engine's least. Its own defaults are two minutes and half a minute.
const (
	redial = 2
	rest   = 1
)

// peerMessage puts a peer into the speaker's words.
func peerMessage(r row.BgpPeer, restarting bool) *api.Peer {
	p := &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: r.Addr.String(), PeerAsn: r.ASN, LocalAsn: r.LocalASN, AuthPassword: string(r.Password),
			Description: strings.TrimSpace(described + " " + r.Node),
		},
		// It is called beside the engine (dial.go).
		Transport: &api.Transport{RemotePort: uint32(r.Port), LocalAddress: r.Local.String(), PassiveMode: true},
		Timers:    &api.Timers{Config: &api.TimersConfig{HoldTime: uint64(r.Hold), KeepaliveInterval: uint64(r.Keepalive), ConnectRetry: redial, IdleHoldTimeAfterReset: rest}},
	}
	if r.TTL > 0 {
		p.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: uint32(r.TTL)}
	}
	if r.Node != "" || r.MinTTL > 0 { // a node is sent the full TTL, whatever is expected of it
		p.TtlSecurity = &api.TtlSecurity{Enabled: true, TtlMin: uint32(r.MinTTL)}
	}
	if r.Cluster.IsValid() {
		p.RouteReflector = &api.RouteReflector{RouteReflectorClient: true, RouteReflectorClusterId: r.Cluster.String()}
	}
	if r.Restart > 0 {
		p.GracefulRestart = &api.GracefulRestart{
			Enabled: true, RestartTime: uint32(r.Restart), DeferralTime: uint32(r.Deferral), LocalRestarting: restarting,
		}
	}
	for i, on := range []bool{r.V4, r.V6} {
		if on {
			p.AfiSafis = append(p.AfiSafis, &api.AfiSafi{
				Config:            &api.AfiSafiConfig{Family: families()[i], Enabled: true},
				MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: r.Restart > 0}},
			})
		}
	}
	limit(p, r.Limit)
	if b := r.BFD; b != (row.BgpBFD{}) {
		p.Bfd = &api.BfdPeerConfig{
			Enabled: true, Port: uint32(b.Port), DetectionMultiplier: uint32(b.Multiplier),
			DesiredMinimumTxInterval: b.Tx, RequiredMinimumReceive: b.Rx,
		}
	}
	return p
}

// readPeer makes a row of a peer of ours. The engine fills in what it was not told: its own AS, which is in the row as LocalASN, and a third of
// the hold time.
func readPeer(p *api.Peer) (row.BgpPeer, bool) {
	word, name, _ := strings.Cut(p.GetConf().GetDescription(), " ")
	ours := word == described
	addr, err := netip.ParseAddr(p.GetConf().GetNeighborAddress())
	if !ours || err != nil {
		return row.BgpPeer{}, false
	}
	r := row.BgpPeer{
		Addr: addr, ASN: p.Conf.PeerAsn, Node: strings.TrimSpace(name), Port: uint16(p.GetTransport().GetRemotePort()),
		Hold: uint32(p.GetTimers().GetConfig().GetHoldTime()), Password: row.BgpSecret(p.Conf.AuthPassword),
	}
	r.LocalASN = p.Conf.LocalAsn
	if k := uint32(p.GetTimers().GetConfig().GetKeepaliveInterval()); k != r.Hold/3 {
		r.Keepalive = k
	}
	if a, err := netip.ParseAddr(p.GetTransport().GetLocalAddress()); err == nil {
		r.Local = a.Unmap()
	}
	if p.GetEbgpMultihop().GetEnabled() {
		r.TTL = uint8(p.EbgpMultihop.MultihopTtl)
	}
	if p.GetRouteReflector().GetRouteReflectorClient() {
		r.Cluster, _ = netip.ParseAddr(p.RouteReflector.RouteReflectorClusterId)
	}
	if g := p.GetGracefulRestart(); g.GetEnabled() {
		r.Restart, r.Deferral = uint16(g.RestartTime), uint16(g.DeferralTime)
	}
	if s := p.GetTtlSecurity(); s.GetEnabled() {
		r.MinTTL = uint8(s.TtlMin)
	}
	for _, a := range p.AfiSafis {
		r.Limit = max(r.Limit, a.GetPrefixLimits().GetMaxPrefixes())
		r.V4 = r.V4 || a.GetConfig().GetFamily().GetAfi() == api.Family_AFI_IP
		r.V6 = r.V6 || a.GetConfig().GetFamily().GetAfi() == api.Family_AFI_IP6
	}
	if b := p.GetBfd(); b.GetEnabled() {
		r.BFD = row.BgpBFD{
			Port: uint16(b.Port), Multiplier: uint8(b.DetectionMultiplier),
			Tx: b.DesiredMinimumTxInterval, Rx: b.RequiredMinimumReceive,
		}
	}
	return r, true
}

// peers reads our peers.
func (c *client) peers(ctx context.Context, add func(row.BgpPeer)) error {
	global, err := c.global(ctx)
	if err != nil {
		return err
	}
	stream, err := c.ListPeer(ctx, &api.ListPeerRequest{})
	err = each[api.ListPeerResponse](stream, err, func(m *api.ListPeerResponse) {
		if r, ok := readPeer(m.GetPeer()); ok {
			if r.LocalASN == global.GetAsn() {
				r.LocalASN = 0
			}
			add(r)
		}
	})
	if err != nil {
		return fmt.Errorf("read the speaker's peers: %w", err)
	}
	return nil
}

// known are our peers in the speaker now.
func (t *turn) known() (map[netip.Addr]row.BgpPeer, error) {
	have := map[netip.Addr]row.BgpPeer{}
	err := t.client.peers(t.ctx, func(r row.BgpPeer) { have[r.Addr] = r })
	return have, err
}

func (t *turn) addPeers(made, _ []change) error {
	list := kind(made, row.BgpKindPeer)
	if len(list) == 0 {
		return nil
	}
	have, err := t.known()
	if err != nil {
		return err
	}
	for _, c := range list {
		want := (*c.New).(row.BgpPeer)
		is, there := have[want.Addr]
		err := t.one(c.Key, func(ctx context.Context) error { return t.addPeer(ctx, is, there, want) })
		if err != nil {
			return err
		}
	}
	return nil
}

// addPeer makes a peer or turns it into what is wanted. The engine ends the session for that only where
// what was said at its opening changes.
func (t *turn) addPeer(ctx context.Context, is row.BgpPeer, there bool, want row.BgpPeer) error {
	unsigned := signs(want)
	switch {
	case unsigned != nil:
		if there { // better none than one that anybody can forge
			return errors.Join(unsigned, t.removePeer(ctx, is))
		}
		return unsigned
	case want.Local.Is4() != want.Addr.Is4():
		return fmt.Errorf("local address %s is of another family than %s", want.Local, want.Addr)
	case there && is == want:
		return nil
	case there && (is.Cluster != want.Cluster || is.Limit != want.Limit || want.Node == "" && is.MinTTL != want.MinTTL):
		// The engine takes no change of reflection in a peer that is there, and what it taught must be counted anew.
		if err := t.removePeer(ctx, is); err != nil {
			return err
		}
	case there:
		_, err := t.UpdatePeer(ctx, &api.UpdatePeerRequest{Peer: peerMessage(want, false)})
		return err
	}
	_, err := t.AddPeer(ctx, &api.AddPeerRequest{Peer: peerMessage(want, t.fresh)})
	return err
}

// removePeer removes a peer. A password is removed first: the engine leaves the key on its listening socket
// otherwise, and the same address could not come back without it.
func (t *turn) removePeer(ctx context.Context, is row.BgpPeer) error {
	if is.Password != "" {
		is.Password = ""
		if _, err := t.UpdatePeer(ctx, &api.UpdatePeerRequest{Peer: peerMessage(is, false)}); err != nil {
			return err
		}
	}
	_, err := t.DeletePeer(ctx, &api.DeletePeerRequest{Address: is.Addr.String()})
	return err
}

func (t *turn) removePeers(_, gone []change) error {
	list := kind(gone, row.BgpKindPeer)
	if len(list) == 0 {
		return nil
	}
	have, err := t.known()
	if err != nil {
		return err
	}
	for _, c := range list {
		is, there := have[c.Key.Net.Addr()]
		if !there {
			continue
		}
		if err := t.one(c.Key, func(ctx context.Context) error { return t.removePeer(ctx, is) }); err != nil {
			return err
		}
	}
	return nil
}
