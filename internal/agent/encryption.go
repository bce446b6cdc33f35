package agent

import (
	"context"
	"fmt"
	"strings"

	"kube-router/internal/config"
	"kube-router/internal/driver/kubestatus"
	"kube-router/internal/driver/wireguard"
	"kube-router/internal/model"
	"kube-router/internal/row"
)

// wire is what runs for encryption beside its rows. Where encryption is off it still takes away what is left of it.
type wire struct {
	keys       *wireguard.Keys
	driver     *wireguard.Driver
	supervisor *wireguard.Supervisor // nil: the kernel carries it
	rotate     chan struct{}
}

// newWire prepares encryption, before anything is planned: what carries it is decided, and the key and who has answered are told.
func (a *agent) newWire(to *Targets) error {
	e, driver := &a.o.Settings.Encryption, to.wire
	a.wire = &wire{driver: driver, keys: wireguard.NewKeys(e.KeyFile), rotate: make(chan struct{}, 1)}
	// What others still send through a link that is to go must not fail at its settings.
	to.Sysctl = hold(to.Sysctl, a.tables.placed, func(k string) bool { return strings.Contains(k, "/"+row.WireName+"/") })
	if err := a.annotations(to); err != nil || !e.On {
		return err
	}
	kernel := wireguard.InKernel()
	switch {
	case e.Where == model.WireKernel && !kernel:
		return fmt.Errorf("--wireguard-userspace=never: this kernel has no WireGuard (module wireguard); auto works without")
	case e.Where == model.WireAuto && kernel:
		e.Where = model.WireKernel
	case e.Where == model.WireAuto:
		e.Where = model.WireUser
	}
	if e.Where == model.WireUser {
		dir, token := speakerDir(a.o), speakerToken(a.build.Version)
		a.wire.supervisor = &wireguard.Supervisor{
			Dir: dir, Token: token, Path: "/proc/self/exe", Log: a.log, Changed: a.kickLinks,
			Args: []string{"kube-router", "wireguard", "--dir", dir, "--token", token},
		}
	}
	a.identify()
	states, err := driver.States()
	if err != nil {
		a.log.Warn("it is not known which nodes have answered through WireGuard", "error", err)
	}
	var answered []row.WireKey
	for _, s := range states {
		if !s.Handshake.IsZero() {
			answered = append(answered, s.Public)
		}
	}
	a.answered(answered)
	return nil
}

// kickLinks lets the table of links be read again.
func (a *agent) kickLinks() {
	if t, ok := a.tables.of(linkTable); ok {
		t.lane.Kick()
	}
}

// identify tells the model what this node is known by. A key file that can't be read is an error, never a reason for another key.
func (a *agent) identify() bool {
	key, also, err := a.wire.keys.Public()
	if err != nil {
		a.log.Error("this node can't encrypt", "error", err)
		return false
	}
	a.known(key, also)
	return true
}

func (a *agent) known(key, also row.WireKey) {
	a.inbox.Put(&model.WireIdentity{Key: model.WireKey(key), Also: model.WireKey(also)})
}

// answered tells the model which peers have shaken hands.
func (a *agent) answered(keys []row.WireKey) {
	var list []model.Object
	for _, k := range keys {
		list = append(list, &model.WireAnswer{Key: model.WireKey(k)})
	}
	a.inbox.Replace(model.KindAnswer, list)
}

// turned tells of a node that falls silent or is heard again.
func (a *agent) turned(ctx context.Context) func(wireguard.Turn) {
	return func(t wireguard.Turn) {
		var of string
		var all []string
		err := a.thinker.Query(ctx, func(m *model.Model) {
			for name := range m.NodesWithKey(model.WireKey(t.Public)) {
				of = name
			}
			for name := range m.Nodes {
				all = append(all, name)
			}
		})
		if err != nil || of == "" {
			return
		}
		key := model.WireKey(t.Public).Short()
		if t.Silent {
			a.log.Warn("a node is silent: it answers nothing through WireGuard", "node", of, "key", key, "since", t.Since)
		} else {
			a.log.Info("a node is heard through WireGuard again", "node", of, "key", key)
		}
		if tells(a.o.Settings.Node, of, all) {
			a.reports.wire(of, key, t.Silent, t.Since)
		}
	}
}

// wireParts are what runs for encryption.
func (a *agent) wireParts() []part {
	if a.wire == nil || !a.o.Settings.Encryption.On {
		return nil
	}
	list := []part{
		{"handshakes of WireGuard", func(ctx context.Context) error { a.wire.driver.Follow(ctx, a.answered, a.turned(ctx)); return nil }},
		{"keys of WireGuard", a.rotateKeys},
	}
	if a.wire.supervisor != nil {
		list = append(list, part{"WireGuard", a.wire.supervisor.Run})
	}
	return list
}

// rotateKeys changes the key when it is asked to, one change after the other, and ends what an earlier life began.
func (a *agent) rotateKeys(ctx context.Context) error {
	r := &wireguard.Rotation{Keys: a.wire.keys, Tell: a.known, Known: a.published}
	if err := r.End(ctx); err != nil && ctx.Err() == nil {
		a.log.Warn("the change of the WireGuard key that an earlier life began is not finished", "error", err)
	}
	for failed := false; ; {
		due, stop := a.wire.keys.Old(a.o.Settings.Encryption.Rotate, failed)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-a.wire.rotate:
		case <-due:
		}
		stop()
		a.log.Info("the key of WireGuard changes")
		err := r.Run(ctx)
		if failed = err != nil; failed {
			a.log.Error("the key of WireGuard was not changed", "error", err)
			continue
		}
		a.log.Info("the key of WireGuard has changed")
	}
}

// published is what others read of this node.
func (a *agent) published(ctx context.Context) (key, also row.WireKey, err error) {
	err = a.thinker.Query(ctx, func(m *model.Model) {
		if self := m.Self(); self != nil {
			key, also = row.WireKey(self.Options.Wire.Key), row.WireKey(self.Options.Wire.Also)
		}
	})
	return key, also, err
}

// annotations are the table of what this node says of itself. Without encryption it takes away what was said.
func (a *agent) annotations(to *Targets) error {
	if !a.o.Settings.Encryption.On && !a.o.Settings.OwnsNetwork() && !a.o.Settings.Firewall {
		return nil
	}
	notes, err := kubestatus.NewAnnotations(a.rest, a.o.Settings.Node)
	if err != nil {
		return fmt.Errorf("annotations: %w", err)
	}
	to.Notes = notes
	return nil
}

// wireTarget is the driver of WireGuard's rows. While a daemon runs, what is switched off lets others hear of it first.
func wireTarget(o *config.Options, drain bool) *wireguard.Driver {
	d := wireguard.New(wireguard.NewKeys(o.Settings.Encryption.KeyFile), speakerDir(o))
	d.Drain = drain
	return d
}
