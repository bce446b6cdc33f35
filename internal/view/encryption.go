package view

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"kube-router/internal/holder"
	"kube-router/internal/model"
	"kube-router/internal/show"
)

// WireState is what the device of WireGuard says of a peer.
type WireState struct {
	Key       model.WireKey
	Endpoint  string    // where it is now; empty: unknown
	Handshake time.Time // zero: none yet
	Received  int64     // bytes
	Sent      int64
	Silent    time.Time // it has answered nothing that it was sent since then; zero: it has
}

// ClearCount is what was in clear between pods of two nodes, by a rule of ours.
type ClearCount struct {
	Direction string // in, out
	Packets   uint64
	Bytes     uint64
}

// wirePeer is a line of `show encryption`.
type wirePeer struct {
	Node, State, Key, Endpoint string
	Handshake                  time.Time
	Received, Sent             int64
	Encrypted, Silent          bool
}

func (d *Daemon) encryption(ctx context.Context, _ []string) (show.Page, error) {
	e := &d.Options.Settings.Encryption
	if !e.On {
		return show.Page{Data: []wirePeer{}, Note: "encryption is off (--encryption)"}, nil
	}
	states, err := d.Wires()
	if err != nil {
		return show.Page{}, fmt.Errorf("ask WireGuard: %w", err)
	}
	of := map[model.WireKey]WireState{}
	for _, s := range states {
		of[s.Key] = s
	}
	list := []wirePeer{}
	own := ""
	err = d.Think(ctx, func(w World) {
		own = w.Model.Identity().Key.Short()
		for _, n := range w.Model.Nodes {
			if n.Name != w.Model.Settings.Node {
				list = append(list, wireOf(w.Model, n, of))
			}
		}
	})
	if err != nil {
		return show.Page{}, err
	}
	slices.SortFunc(list, func(a, b wirePeer) int { return cmp.Compare(a.Node, b.Node) })
	p := show.Page{Columns: []string{"node", "state", "key", "endpoint", "handshake", "received", "sent"}, Data: list}
	good := 0
	for _, l := range list {
		since := "never"
		if !l.Handshake.IsZero() {
			since = time.Since(l.Handshake).Round(time.Second).String() + " ago"
		}
		if l.Encrypted {
			good++
		}
		p.Rows = append(p.Rows, []string{l.Node, l.State, l.Key, l.Endpoint, since, strconv.FormatInt(l.Received, 10), strconv.FormatInt(l.Sent, 10)})
	}
	p.Note = fmt.Sprintf("encrypted to %d of %d nodes by WireGuard in %s; own key %s…", good, len(list), wireEngine(e), own)
	counts, err := d.InClear(ctx)
	for _, c := range counts {
		what := "counted"
		if e.Strict {
			what = "dropped"
		}
		p.Note += fmt.Sprintf("\nin clear, %s: %d packets %s, %d bytes", what, c.Packets, c.Direction, c.Bytes)
	}
	return p, err
}

const wireEncrypted = "encrypted"

func wireEngine(e *model.EncryptionSettings) string {
	if e.Where == model.WireUser {
		return "user space (1 to 2 Gbit/s)"
	}
	return "the kernel"
}

// wireOf describes a node.
func wireOf(m *model.Model, n *model.Node, of map[model.WireKey]WireState) wirePeer {
	l := wirePeer{Node: n.Name, State: "in clear: "}
	if m.Settings.Encryption.Strict {
		l.State = "blocked (strict): "
	}
	if why := holder.Wired(m, n); why != "" {
		l.State += why
		return l
	}
	s := of[n.Options.Wire.Key]
	l.Key, l.Endpoint, l.Handshake, l.Received, l.Sent = n.Options.Wire.Key.Short(), s.Endpoint, s.Handshake, s.Received, s.Sent
	switch {
	case !s.Silent.IsZero() && holder.Wire(m, n):
		l.State = "silent: it has answered nothing for " + time.Since(s.Silent).Round(time.Second).String()
	case !s.Silent.IsZero():
		l.State += "it has answered nothing for " + time.Since(s.Silent).Round(time.Second).String()
	case s.Handshake.IsZero() && !holder.Wire(m, n):
		l.State += "it has not answered yet"
	case s.Handshake.IsZero():
		l.State = "waiting: it has not answered yet"
	default:
		l.State, l.Encrypted = wireEncrypted, true
	}
	l.Silent = !s.Silent.IsZero()
	return l
}

// wireFact is how many nodes are reached through WireGuard.
func (d *Daemon) wireFact(ctx context.Context) string {
	p, err := d.encryption(ctx, nil)
	if err != nil {
		return "unknown: " + err.Error()
	}
	good := 0
	list, _ := p.Data.([]wirePeer)
	for _, l := range list {
		if l.Encrypted {
			good++
		}
	}
	return fmt.Sprintf("to %d of %d nodes, by WireGuard in %s", good, len(list), wireEngine(&d.Options.Settings.Encryption))
}

// wireWhy tells whether what goes to an address of another node's pod is encrypted; empty: it is nobody's pod elsewhere, or
// encryption is off.
func wireWhy(m *model.Model, a netip.Addr) string {
	_, n := m.PodRange(netip.PrefixFrom(a, a.BitLen()))
	if n == nil || n.Name == m.Settings.Node || !m.Settings.Encryption.On {
		return ""
	}
	switch why := holder.Wired(m, n); {
	case why != "" && m.Settings.Encryption.Strict:
		return "not sent to node " + n.Name + " (--encryption-strict): " + why
	case why != "":
		return "in clear to node " + n.Name + ": " + why
	case !holder.Wire(m, n):
		return "in clear to node " + n.Name + ": it has not answered through WireGuard yet"
	}
	return "encrypted to node " + n.Name + ", through kube-wg to its key " + n.Options.Wire.Key.Short() + "…"
}
