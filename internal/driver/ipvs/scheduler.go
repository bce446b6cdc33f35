package ipvs

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// standIn is the scheduler of a virtual server whose own this kernel doesn't have. ip_vs itself has none, but no cluster does
// without this one.
const standIn = "rr"

// lacks tells that the kernel refused a virtual server because it has not its scheduler. It has tried to load the module.
func lacks(o Op, err error) bool {
	return o.Dest == nil && o.Do != Del && errors.Is(err, unix.ENOENT) && o.Server.Scheduler != standIn
}

// standsIn turns what came of an operation into row.Later where the virtual server stands with another scheduler than is
// wanted: it serves, and the next plan wants it as it is.
func standsIn(want row.Ipvs, o Op, err error) error {
	s, ok := want.(row.IpvsServer)
	if ok && err == nil && o.Server.Scheduler != s.Scheduler || lacks(o, err) {
		return row.Later{Reason: fmt.Sprintf("the kernel has no scheduler %s (module ip_vs_%s)", s.Scheduler, s.Scheduler)}
	}
	return err
}

// notice tells of the schedulers that the kernel turned out not to have. Whoever plans does without them then, so
// that the virtual servers are wanted as the kernel can have them.
func (d *Driver) notice(ops []Op, errs []error) {
	more := false
	for i, o := range ops {
		if lacks(o, errs[i]) && !d.lacks[o.Server.Scheduler] {
			d.lacks[o.Server.Scheduler], more = true, true
		}
	}
	if more {
		d.tell()
	}
}

// lookForSchedulers finds out whether schedulers that the kernel didn't have are there now.
func (d *Driver) lookForSchedulers() error {
	less := false
	for name := range d.lacks {
		has, err := d.kernel.HasScheduler(name)
		if err != nil {
			return err
		}
		if has {
			delete(d.lacks, name)
			less = true
		}
	}
	if less {
		d.tell()
	}
	return nil
}

// OnLack sets who hears which schedulers were asked for that this kernel doesn't have, whenever that has changed. Set it
// before use.
func (d *Driver) OnLack(f func(schedulers []string)) { d.onLack = f }

func (d *Driver) tell() {
	if d.onLack != nil {
		d.onLack(slices.Sorted(maps.Keys(d.lacks)))
	}
}
