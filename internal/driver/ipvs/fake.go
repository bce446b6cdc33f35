package ipvs

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// Fake is IPVS in memory, with the kernel's checks and errors. It may be used by many goroutines.
type Fake struct {
	mu       sync.Mutex
	servers  map[row.IpvsFront]*fakeServer
	dummy    map[netip.Addr]bool
	timeouts row.IpvsTimeouts
	err      error
	without  map[string]bool // schedulers
}

type fakeServer struct {
	Server
	dests map[netip.AddrPort]*Dest
}

// NewFake makes an empty table with the kernel's timeouts.
func NewFake() *Fake {
	return &Fake{
		servers:  map[row.IpvsFront]*fakeServer{},
		dummy:    map[netip.Addr]bool{},
		timeouts: row.IpvsTimeouts{TCP: 15 * time.Minute, TCPFin: 2 * time.Minute, UDP: 5 * time.Minute},
	}
}

// Foreign makes a virtual server without our mark.
func (f *Fake) Foreign(s row.IpvsServer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.servers[s.Front] = &fakeServer{Server{s, false}, map[netip.AddrPort]*Dest{}}
}

// Bind puts an address on our dummy link.
func (f *Fake) Bind(a netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dummy[a] = true
}

// Connect sets how many connections a destination has.
func (f *Fake) Connect(k row.IpvsKey, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.servers[k.Front].dests[k.To].Connections = n
}

// Break makes every operation fail with err; nil fixes.
func (f *Fake) Break(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// Do carries out operations.
func (f *Fake) Do(ops []Op) ([]error, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	errs := make([]error, len(ops))
	for i, o := range ops {
		if o.Dest != nil {
			errs[i] = f.doDest(o)
		} else {
			errs[i] = f.doServer(o)
		}
	}
	return errs, nil
}

func (f *Fake) doServer(o Op) error {
	have := f.servers[o.Server.Front]
	if o.Do == Del {
		if have == nil {
			return unix.ESRCH
		}
		delete(f.servers, o.Server.Front)
		return nil
	}
	switch {
	case o.Do == Add && have != nil:
		return unix.EEXIST
	case o.Do == Set && have == nil:
		return unix.ESRCH
	case !f.has(o.Server.Scheduler):
		return unix.ENOENT
	case have == nil:
		f.servers[o.Server.Front] = &fakeServer{Server{o.Server, true}, map[netip.AddrPort]*Dest{}}
	default:
		have.Server = Server{o.Server, true}
	}
	return nil
}

// Without takes schedulers away from the kernel, and gives it all others.
func (f *Fake) Without(schedulers ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.without = map[string]bool{}
	for _, name := range schedulers {
		f.without[name] = true
	}
}

// HasScheduler tells whether the kernel has a scheduler.
func (f *Fake) HasScheduler(name string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.has(name), f.err
}

func (f *Fake) has(scheduler string) bool {
	known := []string{"rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "twos"}
	return slices.Contains(known, scheduler) && !f.without[scheduler]
}

func (f *Fake) doDest(o Op) error {
	s := f.servers[o.Server.Front]
	if s == nil {
		return unix.ESRCH
	}
	have := s.dests[o.Dest.To]
	switch {
	case o.Do == Add && have != nil:
		return unix.EEXIST
	case o.Do != Add && have == nil:
		return unix.ENOENT
	case o.Do == Del:
		delete(s.dests, o.Dest.To)
	case o.Dest.To.Addr().Is6() != s.Front.IsV6():
		return unix.EINVAL
	default:
		d := Dest{IpvsDest: *o.Dest}
		d.Grace = 0
		if have != nil {
			d.Connections = have.Connections
		}
		s.dests[o.Dest.To] = &d
	}
	return nil
}

// Servers lists all virtual servers.
func (f *Fake) Servers() ([]Server, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Server
	for _, s := range f.servers {
		list = append(list, s.Server)
	}
	return list, f.err
}

// Dests lists the destinations of a virtual server.
func (f *Fake) Dests(front row.IpvsFront) ([]Dest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Dest
	if s := f.servers[front]; s != nil {
		for _, d := range s.dests {
			list = append(list, *d)
		}
	}
	return list, f.err
}

// Timeouts are those in force.
func (f *Fake) Timeouts() (row.IpvsTimeouts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.timeouts, f.err
}

// SetTimeouts sets those that are not zero.
func (f *Fake) SetTimeouts(t row.IpvsTimeouts) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range []struct{ to, from *time.Duration }{{&f.timeouts.TCP, &t.TCP}, {&f.timeouts.TCPFin, &t.TCPFin}, {&f.timeouts.UDP, &t.UDP}} {
		if *p.from < 0 {
			return unix.EINVAL
		}
		if *p.from > 0 {
			*p.to = *p.from
		}
	}
	return f.err
}

// Dummy are the addresses that were bound.
func (f *Fake) Dummy() (map[netip.Addr]bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dummy, f.err
}
