package rtnl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"

	"kube-router/internal/row"
)

// Fake is a kernel's network configuration in memory, with the kernel's checks: a row needs the links that it
// names, a route's next hop needs a subnet, and what is somebody else's is in the way.
type Fake struct {
	mu      sync.Mutex
	rows    map[row.LinuxKey]row.Linux
	foreign map[row.LinuxKey]bool
	links   map[string][]netip.Prefix // of others: name and subnets
}

// NewFake makes a fake with links of others, each with its addresses.
func NewFake(links map[string][]netip.Prefix) *Fake {
	return &Fake{rows: map[row.LinuxKey]row.Linux{}, foreign: map[row.LinuxKey]bool{}, links: maps.Clone(links)}
}

// Foreign puts somebody else's thing in the place of a row.
func (f *Fake) Foreign(k row.LinuxKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.foreign[k] = true
}

// Lose removes a row as somebody else would.
func (f *Fake) Lose(k row.LinuxKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop(k)
}

// Dump returns the rows.
func (f *Fake) Dump(context.Context) (map[row.LinuxKey]row.Linux, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.rows), nil
}

// Apply makes and removes rows in the driver's order.
func (f *Fake) Apply(_ context.Context, changes []change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	failed := row.Failed[row.LinuxKey]{}
	for kind := row.LinuxFouPort; kind <= row.LinuxRule; kind++ {
		for _, c := range changes {
			if c.Key.Kind == kind && c.New != nil {
				note(failed, c, f.set(*c.New))
			}
		}
	}
	for kind := row.LinuxRule; kind >= row.LinuxFouPort; kind-- {
		for _, c := range changes {
			if c.Key.Kind == kind && c.New == nil {
				f.drop(c.Key)
			}
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func (f *Fake) set(r row.Linux) error {
	if f.foreign[r.Key()] {
		return errors.New("somebody else's is there; it stays")
	}
	var err error
	switch r := r.(type) {
	case row.Link:
		if !row.LinkIsOurs(r.Name, r.Kind) {
			err = fmt.Errorf("link %s of kind %s would not be recognised as ours", r.Name, r.Kind)
		}
	case row.Addr:
		_, err = f.link(r.Dev)
	case row.Neigh:
		_, err = f.link(r.Dev)
	case row.WireDevice, row.WirePeer, row.WireAllowed:
		_, err = f.link(row.WireName)
	case row.Route:
		err = f.route(r)
	}
	if err == nil {
		f.rows[r.Key()] = r
	}
	return err
}

func (f *Fake) link(name string) ([]netip.Prefix, error) {
	nets, ok := f.links[name]
	if _, ours := f.rows[row.LinuxKey{Kind: row.LinuxLink, Name: name}]; !ok && !ours {
		return nil, fmt.Errorf("link %s is not there (yet)", name)
	}
	for _, r := range f.rows {
		if a, ok := r.(row.Addr); ok && a.Dev == name {
			nets = append(nets[:len(nets):len(nets)], a.Net)
		}
	}
	return nets, nil
}

func (f *Fake) route(r row.Route) error {
	if r.Dst != r.Dst.Masked() {
		return fmt.Errorf("%s has bits behind its length", r.Dst)
	}
	for _, h := range r.Hops.List() {
		nets, err := f.link(h.Dev)
		if err != nil {
			return err
		}
		near := h.Onlink || !h.Via.IsValid() || h.Via.IsLinkLocalUnicast() // every link has fe80::/64
		for _, n := range nets {
			near = near || n.Contains(h.Via)
		}
		if !near {
			return fmt.Errorf("next hop %s is in no subnet of %s", h.Via, h.Dev)
		}
	}
	return nil
}

// drop removes a row; a link takes along what needs it.
func (f *Fake) drop(k row.LinuxKey) {
	delete(f.rows, k)
	if k.Kind != row.LinuxLink {
		return
	}
	for key, r := range f.rows {
		if uses(r, k.Name) {
			delete(f.rows, key)
		}
	}
}
