package ipvs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

type (
	change = row.Change[row.IpvsKey, row.Ipvs]
	failed = row.Failed[row.IpvsKey]
)

// Options say how the driver treats what it removes and what it must not touch.
type Options struct {
	// Grace is how long a removed destination may keep its connections when its row doesn't say. 0: none may
	// stay, whatever the row says. Forever: until the last one ends.
	Grace time.Duration
	// Excluded are ranges in which virtual servers without our mark are never ours, and never changed.
	Excluded []netip.Prefix
	// Originals is the file that keeps what the timeouts were before the driver set them; empty: they are not put back.
	Originals string
}

// Forever is a Grace without an end.
const Forever time.Duration = -1

// Driver is the IPVS table of one network namespace.
type Driver struct {
	kernel Kernel
	Options
	now    func() time.Time
	onLack func(schedulers []string)
	// What follows is no memory of what is ours. It is lost in a restart: then a drain begins anew, graces
	// are learned again.
	draining map[row.IpvsKey]time.Time // destinations on their way out, and since when
	graces   map[row.IpvsKey]time.Duration
	timeouts *row.IpvsTimeouts // as last set
	lacks    map[string]bool   // schedulers
}

// New makes the driver.
func New(k Kernel, o Options) *Driver {
	return &Driver{kernel: k, Options: o, now: time.Now,
		draining: map[row.IpvsKey]time.Time{}, graces: map[row.IpvsKey]time.Duration{}, lacks: map[string]bool{}}
}

// Dump returns our virtual servers with all their destinations, and the timeouts if we set them.
func (d *Driver) Dump(context.Context) (map[row.IpvsKey]row.Ipvs, error) {
	if err := d.lookForSchedulers(); err != nil {
		return nil, err
	}
	servers, err := d.kernel.Servers()
	if err != nil {
		return nil, err
	}
	ours, err := d.ours(servers)
	if err != nil {
		return nil, err
	}
	rows := map[row.IpvsKey]row.Ipvs{}
	for _, s := range ours {
		rows[s.Key()] = s.IpvsServer
		dests, err := d.kernel.Dests(s.Front)
		if err != nil {
			return nil, err
		}
		for _, t := range dests {
			if t.Weight == 0 {
				t.Grace = d.graces[t.Key()]
			}
			rows[t.Key()] = t.IpvsDest
		}
	}
	return rows, d.dumpTimeouts(rows)
}

// ours are the virtual servers that we made, and those on our dummy link.
func (d *Driver) ours(all []Server) ([]Server, error) {
	var list []Server
	var dummy map[netip.Addr]bool
	for _, s := range all {
		if !s.Marked {
			if dummy == nil {
				var err error
				if dummy, err = d.kernel.Dummy(); err != nil {
					return nil, err
				}
			}
			if !dummy[s.Front.Addr] || d.excluded(s.Front) {
				continue
			}
			s.Unmarked = true
		}
		list = append(list, s)
	}
	return list, nil
}

func (d *Driver) excluded(f row.IpvsFront) bool {
	return slices.ContainsFunc(d.Excluded, func(p netip.Prefix) bool { return p.Contains(f.Addr) })
}

// Apply makes virtual servers before their destinations and removes them after those.
func (d *Driver) Apply(_ context.Context, changes []change) error {
	bad := failed{}
	changes, err := d.allowed(changes, bad)
	if err != nil {
		return err
	}
	var servers, dests, lessDests, lessServers []change
	for _, c := range changes {
		switch {
		case c.Key == row.IpvsKey{}:
			note(bad, c, d.applyTimeouts(c))
		case c.Key.To.IsValid() && c.New != nil:
			dests = append(dests, c)
		case c.Key.To.IsValid():
			lessDests = append(lessDests, c)
		case c.New != nil:
			servers = append(servers, c)
		default:
			lessServers = append(lessServers, c)
		}
	}
	for _, f := range []func() error{
		func() error { return d.put(servers, bad) },
		func() error { return d.put(dests, bad) },
		func() error { return d.removeDests(lessDests, lessServers, bad) },
		func() error { return d.removeServers(lessServers, bad) },
	} {
		if err := f(); err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		return bad
	}
	return nil
}

// allowed drops the changes of virtual servers in excluded ranges that are not ours.
func (d *Driver) allowed(changes []change, bad failed) ([]change, error) {
	if !slices.ContainsFunc(changes, func(c change) bool { return d.excluded(c.Key.Front) }) {
		return changes, nil
	}
	servers, err := d.kernel.Servers()
	if err != nil {
		return nil, err
	}
	foreign := map[row.IpvsFront]bool{}
	for _, s := range servers {
		foreign[s.Front] = !s.Marked && d.excluded(s.Front)
	}
	var list []change
	for _, c := range changes {
		if !foreign[c.Key.Front] {
			list = append(list, c)
		} else if c.New != nil {
			bad[c.Key] = row.Foreign{Err: fmt.Errorf("the virtual server %s is somebody else's, in an excluded range: it stays", c.Key.Front)}
		}
	}
	return list, nil
}

func note(bad failed, c change, err error) {
	if err != nil {
		bad[c.Key] = err
	}
}

// put makes rows or changes them to what they should be. What is there though it shouldn't be is changed, and
// what should be there and isn't is made.
func (d *Driver) put(changes []change, bad failed) error {
	ops := make([]Op, len(changes))
	for i, c := range changes {
		ops[i] = opOf(*c.New)
		if c.Old != nil {
			ops[i].Do = Set
		}
		delete(d.draining, c.Key)
		delete(d.graces, c.Key)
		if t, ok := (*c.New).(row.IpvsDest); ok && t.Weight == 0 && t.Grace > 0 {
			d.graces[c.Key] = t.Grace
		}
	}
	errs, err := d.kernel.Do(ops)
	if err != nil {
		return err
	}
	d.notice(ops, errs)
	var again []Op
	var at []int
	for i, err := range errs {
		switch {
		case lacks(ops[i], err) && ops[i].Do == Set:
			continue // it stands with the scheduler that it has
		case lacks(ops[i], err):
			ops[i].Server.Scheduler = standIn
		case errors.Is(err, unix.EEXIST):
			ops[i].Do = Set
		case ops[i].Do == Set && missing(err):
			ops[i].Do = Add
		default:
			continue
		}
		again, at = append(again, ops[i]), append(at, i)
	}
	if len(again) > 0 {
		second, err := d.kernel.Do(again)
		if err != nil {
			return err
		}
		d.notice(again, second)
		for i, err := range second {
			errs[at[i]] = err
		}
	}
	for i, c := range changes {
		note(bad, c, explain(standsIn(*c.New, ops[i], errs[i]), ops[i]))
	}
	return nil
}

func opOf(r row.Ipvs) Op {
	switch r := r.(type) {
	case row.IpvsServer:
		return Op{Server: r}
	case row.IpvsDest:
		return Op{Server: row.IpvsServer{Front: r.Front}, Dest: &r}
	}
	return Op{}
}

// missing tells that what should be there is not: the virtual server (ESRCH) or the destination (ENOENT).
func missing(err error) bool { return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) }

// explain says in words what the kernel means.
func explain(err error, o Op) error {
	switch {
	case err == nil:
		return nil
	case o.Dest != nil && errors.Is(err, unix.ESRCH):
		return fmt.Errorf("its virtual server is not there: %w", err)
	case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EPROTONOSUPPORT):
		return fmt.Errorf("IPVS of this kernel lacks the family or protocol: %w", err)
	}
	return err
}

// removeServers removes virtual servers. The kernel removes destinations with them, so those that may keep their
// connections come first.
func (d *Driver) removeServers(changes []change, bad failed) error {
	var ops []Op
	var done []change
	for _, c := range changes {
		waits, err := d.drains(c.Key.Front)
		if err != nil {
			return err
		}
		if waits {
			bad[c.Key] = row.Later{Reason: "connections of its destinations"}
			continue
		}
		ops = append(ops, Op{Do: Del, Server: row.IpvsServer{Front: c.Key.Front}})
		done = append(done, c)
	}
	errs, err := d.kernel.Do(ops)
	if err != nil {
		return err
	}
	for i, c := range done {
		if errs[i] != nil && !missing(errs[i]) {
			bad[c.Key] = errs[i]
		}
	}
	return nil
}

func sortByFront(list []change) {
	slices.SortFunc(list, func(a, b change) int {
		x, y := a.Key.Front, b.Key.Front
		return cmp.Or(x.Addr.Compare(y.Addr), cmp.Compare(x.Port, y.Port), cmp.Compare(x.Protocol, y.Protocol), cmp.Compare(x.Mark, y.Mark))
	})
}
