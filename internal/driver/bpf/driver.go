package bpf

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kube-router/internal/row"
)

type change = row.Change[row.BpfKey, row.Bpf]

// Driver is the table of eBPF rows.
type Driver struct{ k kernel }

// kernel is what the driver needs of a kernel.
type kernel interface {
	// entries are the entries of a map; none if there is no such map.
	entries(m row.BpfMap) (map[string]string, error)
	// put writes entries of one map, and makes the map if it isn't there. It tells what failed.
	put(m row.BpfMap, entries []row.BpfEntry) map[string]error
	// drop removes entries of one map by their keys. It tells what failed; what is gone already didn't.
	drop(m row.BpfMap, keys []string) map[string]error
	// programs are those of ours that are pinned, with another tag than any that is wanted if they don't do what they should.
	programs() ([]row.BpfProgram, error)
	// attach puts a program in the place of the one before it, if there was one.
	attach(p row.BpfProgram) error
	detach(h row.BpfHook) error
	// renew lets the programs serve for another while.
	renew() error
	// clear removes what is left of ours once no row is.
	clear() error
	// counts are the counters of every frontend that somebody connected to.
	counts() (map[string]Count, error)
	// forget removes the counters of frontends, by the keys of their heads.
	forget(m row.BpfMap, fronts []string)
}

// Count is how often somebody connected to a frontend.
type Count struct {
	Served uint64 // connect() became one to an endpoint
	Fell   uint64 // it was left to packets: the socket's network namespace is not served, or an endpoint had just gone
}

// Dump returns the entries of every map and the programs. It renews the lease: the table is read every few minutes.
func (d *Driver) Dump(context.Context) (map[row.BpfKey]row.Bpf, error) {
	rows := map[row.BpfKey]row.Bpf{}
	programs, err := d.k.programs()
	if err != nil {
		return nil, err
	}
	for _, p := range programs {
		rows[p.Key()] = p
	}
	for m := row.BpfNoMap + 1; m <= row.BpfMapMost; m++ {
		entries, err := d.k.entries(m)
		if err != nil {
			return nil, fmt.Errorf("read map %s: %w", m, err)
		}
		for k, v := range entries {
			e := row.BpfEntry{Map: m, Elem: k, Value: v}
			rows[e.Key()] = e
		}
	}
	if len(rows) == 0 {
		return rows, d.k.clear()
	}
	return rows, d.k.renew()
}

// Apply writes slots before the heads that say how many there are, and programs last; it removes in reverse.
func (d *Driver) Apply(_ context.Context, changes []change) error {
	failed := row.Failed[row.BpfKey]{}
	puts, drops, programs := sorted(changes, failed)
	for m := row.BpfNoMap + 1; m <= row.BpfMapMost; m++ {
		d.put(m, puts[m], failed)
	}
	gone := false
	for _, c := range programs {
		if c.New == nil {
			gone = true
			note(failed, c.Key, d.k.detach(c.Key.Hook))
			continue
		}
		note(failed, c.Key, d.k.attach((*c.New).(row.BpfProgram)))
	}
	for m := row.BpfMapMost; m > row.BpfNoMap; m-- {
		gone = gone || len(drops[m]) > 0
		d.drop(m, drops[m], failed)
	}
	if gone {
		if err := d.tidy(); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// put writes entries. One that can't be written is removed, so that no older one stays in its place: what isn't there falls through.
func (d *Driver) put(m row.BpfMap, entries []row.BpfEntry, failed row.Failed[row.BpfKey]) {
	if len(entries) == 0 {
		return
	}
	var bad []string
	for k, err := range d.k.put(m, entries) {
		failed[row.BpfKey{Map: m, Elem: k}] = fmt.Errorf("write map %s: %w", m, err)
		bad = append(bad, k)
	}
	if len(bad) > 0 {
		d.k.drop(m, bad)
	}
}

func (d *Driver) drop(m row.BpfMap, keys []string, failed row.Failed[row.BpfKey]) {
	if len(keys) == 0 {
		return
	}
	for k, err := range d.k.drop(m, keys) {
		failed[row.BpfKey{Map: m, Elem: k}] = fmt.Errorf("remove from map %s: %w", m, err)
	}
	if m == row.BpfHeads4 || m == row.BpfHeads6 {
		d.k.forget(m, keys)
	}
}

// tidy lets everything go when no row is left.
func (d *Driver) tidy() error {
	left, err := d.k.programs()
	if err != nil || len(left) > 0 {
		return err
	}
	for m := row.BpfNoMap + 1; m <= row.BpfMapMost; m++ {
		if entries, err := d.k.entries(m); err != nil || len(entries) > 0 {
			return err
		}
	}
	return d.k.clear()
}

// Counts are the counters of the frontends that somebody connected to since they became ours.
func (d *Driver) Counts() (map[row.FlowsKey]Count, error) {
	raw, err := d.k.counts()
	counts := make(map[row.FlowsKey]Count, len(raw))
	for k, n := range raw {
		if front, proto, ok := row.BpfFront(k); ok {
			counts[row.FlowsKey{Addr: front.Addr(), Port: front.Port(), Protocol: proto}] = n
		}
	}
	return counts, err
}

// The programs serve as long as the daemon says so: one that has gone for good, or can't reach what it pinned any more, must not
// leave endpoints of long ago at work. What goes on then is the service engine's, as if there were no programs.
const (
	lease = 15 * time.Minute
	every = time.Minute
)

// Watch renews the lease until ctx ends, and tells when a program is not what it was.
func (d *Driver) Watch(ctx context.Context, changed func()) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	was := map[row.BpfProgram]bool{}
	for {
		now := map[row.BpfProgram]bool{}
		list, err := d.k.programs()
		for _, p := range list {
			now[p] = true
		}
		for p := range was {
			if err == nil && !now[p] {
				changed()
				break
			}
		}
		was = now
		if err = errors.Join(err, d.k.renew()); err != nil {
			changed() // reading everything tells what is wrong
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sorted sorts changes by what they are. A row that no kernel would take has failed.
func sorted(changes []change, failed row.Failed[row.BpfKey]) (puts map[row.BpfMap][]row.BpfEntry, drops map[row.BpfMap][]string, programs []change) {
	puts, drops = map[row.BpfMap][]row.BpfEntry{}, map[row.BpfMap][]string{}
	for _, c := range changes {
		if c.Key.Map == row.BpfNoMap {
			programs = append(programs, c)
			continue
		}
		if c.New == nil {
			drops[c.Key.Map] = append(drops[c.Key.Map], c.Key.Elem)
			continue
		}
		e := (*c.New).(row.BpfEntry)
		if len(e.Elem) != e.Map.KeySize() || len(e.Value) != e.Map.ValueSize() {
			failed[c.Key] = fmt.Errorf("map %s has keys of %d bytes and values of %d", e.Map, e.Map.KeySize(), e.Map.ValueSize())
			continue
		}
		puts[e.Map] = append(puts[e.Map], e)
	}
	return puts, drops, programs
}

func note(failed row.Failed[row.BpfKey], k row.BpfKey, err error) {
	if err != nil {
		failed[k] = err
	}
}
