package podns

import (
	"context"
	"errors"
	"net/netip"

	"kube-router/internal/row"
)

// Options say where pods' namespaces are looked for.
type Options struct {
	Runtime string   // socket of the container runtime (CRI), the last resort; empty: it isn't asked
	Roots   []string // directories below which the runtime's records are; nil: here, and where process 1 sees them
}

// Driver is the table of Service addresses inside pods of this node.
type Driver struct {
	runtime string
	roots   []string
	// names are the pods that addresses belong to, where no record tells. Losing them costs one repair.
	names map[netip.Addr]row.KubeName
}

// New makes the driver. In a container that shares the host's processes, process 1 sees the host's files.
func New(o Options) *Driver {
	d := &Driver{runtime: o.Runtime, roots: o.Roots, names: map[netip.Addr]row.KubeName{}}
	if d.roots == nil {
		d.roots = []string{"/", "/proc/1/root"}
	}
	return d
}

// Dump lists the addresses on our links in all pods that are found without asking the runtime.
func (d *Driver) Dump(context.Context) (map[row.PodVIPKey]row.PodVIP, error) {
	rows := map[row.PodVIPKey]row.PodVIP{}
	for _, p := range append(d.recorded(), d.named()...) {
		in, err := open(p.path)
		if err != nil {
			continue // the pod is going, or the record is stale
		}
		d.dump(p, in, rows)
		in.close()
	}
	return rows, nil
}

func (d *Driver) dump(p place, in *inside, rows map[row.PodVIPKey]row.PodVIP) {
	vips, others, err := in.addrs()
	if err != nil {
		return
	}
	for _, v := range vips {
		for _, a := range others {
			if a.Is6() != v.Is6() {
				continue
			}
			r := row.PodVIP{Pod: p.pod, Addr: a, VIP: v}
			if r.Pod == (row.KubeName{}) {
				r.Pod = d.names[a]
			}
			if _, known := rows[r.Key()]; !known {
				rows[r.Key()] = r
			}
			break
		}
	}
}

// Apply puts addresses into pods and takes them out.
func (d *Driver) Apply(ctx context.Context, changes []row.Change[row.PodVIPKey, row.PodVIP]) error {
	failed := row.Failed[row.PodVIPKey]{}
	for _, c := range changes {
		var err error
		switch {
		case c.New != nil:
			err = d.add(ctx, *c.New)
		case c.Old != nil:
			err = d.remove(ctx, *c.Old)
		}
		if err != nil {
			failed[c.Key] = err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func (d *Driver) add(ctx context.Context, r row.PodVIP) error {
	in, err := d.find(ctx, r)
	if err != nil {
		return err
	}
	defer in.close()
	d.names[r.Addr] = r.Pod
	return in.add(r)
}

// remove takes an address out of a pod; a pod that is gone has taken it along.
func (d *Driver) remove(ctx context.Context, r row.PodVIP) error {
	in, err := d.find(ctx, r)
	if errors.Is(err, errNotFound) {
		delete(d.names, r.Addr)
		return nil
	}
	if err != nil {
		return err
	}
	defer in.close()
	return in.remove(r)
}
