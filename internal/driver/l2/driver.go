package l2

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"kube-router/internal/row"
)

// Driver is the table of addresses that are answered for.
type Driver struct {
	log       *slog.Logger
	conflicts atomic.Uint64

	mu      sync.Mutex
	ports   map[string]*port
	changed func() // hears that a link has gone; may be nil
}

// New makes the table, with nothing in it.
func New(log *slog.Logger) *Driver { return &Driver{log: log, ports: map[string]*port{}} }

// Conflicts counts claims of others to addresses that are answered for here, one a second for each.
func (d *Driver) Conflicts() uint64 { return d.conflicts.Load() }

// Dump is what is answered for.
func (d *Driver) Dump(context.Context) (map[row.L2Answer]row.L2Answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rows := map[row.L2Answer]row.L2Answer{}
	for name, p := range d.ports {
		p.mu.Lock()
		for a := range p.addrs {
			r := row.L2Answer{Addr: a, Link: name}
			rows[r] = r
		}
		p.mu.Unlock()
	}
	return rows, nil
}

// Apply begins and ends answering.
func (d *Driver) Apply(_ context.Context, changes []row.Change[row.L2Answer, row.L2Answer]) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	failed := row.Failed[row.L2Answer]{}
	for _, c := range changes {
		p := d.ports[c.Key.Link]
		if c.New == nil {
			if p != nil && p.remove(c.Key.Addr) == 0 {
				p.close()
				delete(d.ports, c.Key.Link)
			}
			continue
		}
		if !c.Key.Addr.IsValid() {
			failed[c.Key] = fmt.Errorf("no address")
			continue
		}
		if p == nil {
			var err error
			if p, err = openPort(c.Key.Link, d.claimed, d.ended); err != nil {
				failed[c.Key] = err
				continue
			}
			d.ports[c.Key.Link] = p
		}
		p.add(c.Key.Addr)
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// Watch tells when a link has gone, until ctx ends; nothing is answered for after that.
func (d *Driver) Watch(ctx context.Context, changed func()) error {
	d.mu.Lock()
	d.changed = changed
	d.mu.Unlock()
	<-ctx.Done()
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, p := range d.ports {
		p.close()
		delete(d.ports, name)
	}
	return nil
}

// ended forgets a port whose link has gone.
func (d *Driver) ended(p *port) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ports[p.name] == p {
		delete(d.ports, p.name)
		if d.changed != nil {
			d.changed()
		}
	}
}

// claimed tells of another who claims an address of ours.
func (d *Driver) claimed(link string, a netip.Addr, by mac) {
	d.conflicts.Add(1)
	d.log.Warn("another host claims an address that this node answers for", "address", a, "link", link, "mac", fmt.Sprintf("%x", by[:]))
}
