package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"kube-router/internal/driver/nft"
	"kube-router/internal/model"
	render "kube-router/internal/render/nft"
	"kube-router/internal/show"
	"kube-router/internal/view"
)

// wireStates are the peers as the device has them.
func (a *agent) wireStates() ([]view.WireState, error) {
	if a.wire == nil {
		return nil, nil
	}
	list, err := a.wire.driver.States()
	all := make([]view.WireState, 0, len(list))
	for _, s := range list {
		all = append(all, view.WireState{Key: model.WireKey(s.Public), Endpoint: s.Endpoint, Handshake: s.Handshake, Received: s.Received, Sent: s.Sent, Silent: s.Silent})
	}
	return all, err
}

// inClear is what rules counted, by direction.
func (a *agent) inClear(ctx context.Context) ([]view.ClearCount, error) {
	d, ok := a.targets.Nft.(*nft.Driver)
	if !ok || !a.o.Settings.Encryption.On {
		return nil, nil
	}
	chains := render.WireChains()
	of := map[string]view.ClearCount{}
	for name, direction := range chains {
		of[name] = view.ClearCount{Direction: direction}
		counters, err := d.ChainCounters(ctx, false, name)
		if err != nil {
			return nil, err
		}
		sum := of[name]
		for _, c := range counters {
			sum.Packets, sum.Bytes = sum.Packets+c.Packets, sum.Bytes+c.Bytes
		}
		of[name] = sum
	}
	var list []view.ClearCount
	for _, c := range of {
		list = append(list, c)
	}
	slices.SortFunc(list, func(x, y view.ClearCount) int { return strings.Compare(x.Direction, y.Direction) })
	return list, nil
}

// rotateView lets the key change. It is asked by `kube-router encryption rotate` alone.
func (a *agent) rotateView() show.View {
	return show.View{Name: "encryption-rotate", Doc: "change the key of WireGuard", Make: func(context.Context, []string) (show.Page, error) {
		if a.wire == nil || !a.o.Settings.Encryption.On {
			return show.Page{}, errors.New("encryption is off (--encryption)")
		}
		select {
		case a.wire.rotate <- struct{}{}:
			return show.Page{Data: "changing", Note: "the key changes within some ten seconds; see kube-router show encryption"}, nil
		default:
			return show.Page{}, errors.New("the key is to change already")
		}
	}}
}

// wireSamples are metrics of encryption: peers by what they are, and what was in clear.
func (a *agent) wireSamples() []show.Sample {
	if !a.o.Settings.Encryption.On {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var list []show.Sample
	if states, err := a.wireStates(); err == nil {
		for state, n := range hearings(states) {
			list = append(list, show.Sample{Name: "encryption_peers", Help: "Keys of other nodes that this one speaks with through WireGuard: answered; waiting for a first answer; silent for minutes though they are sent something",
				Labels: []string{"state", state}, Value: float64(n)})
		}
	}
	if counts, err := a.inClear(ctx); err == nil {
		action := "counted"
		if a.o.Settings.Encryption.Strict {
			action = "dropped"
		}
		for _, c := range counts {
			list = append(list, show.Sample{Name: "encryption_clear_packets_total", Help: "Packets between pods of different nodes that were not encrypted",
				Labels: []string{"direction", c.Direction, "action", action}, Value: float64(c.Packets), Counter: true})
		}
	}
	return list
}

// hearings counts peers by what is heard of them.
func hearings(states []view.WireState) map[string]int {
	n := map[string]int{"answered": 0, "waiting": 0, "silent": 0}
	for _, s := range states {
		switch {
		case !s.Silent.IsZero():
			n["silent"]++
		case s.Handshake.IsZero():
			n["waiting"]++
		default:
			n["answered"]++
		}
	}
	return n
}
