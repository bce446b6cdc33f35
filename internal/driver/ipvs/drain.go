package ipvs

import "kube-router/internal/row"

// removeDests removes destinations. Those that may keep their connections get weight 0, and the lane is told to
// come again until the connections or the time have run out. Where the whole virtual server goes at once its
// destinations go with it.
func (d *Driver) removeDests(changes, servers []change, bad failed) error {
	if d.Grace == 0 {
		return d.removeNow(without(changes, servers), bad)
	}
	sortByFront(changes)
	var done []change
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && changes[n].Key.Front == changes[0].Key.Front {
			n++
		}
		idle, err := d.drain(changes[:n], bad)
		if err != nil {
			return err
		}
		done = append(done, idle...)
		changes = changes[n:]
	}
	return d.removeNow(done, bad)
}

// without drops the destinations of virtual servers that go.
func without(changes, servers []change) []change {
	gone := map[row.IpvsFront]bool{}
	for _, c := range servers {
		gone[c.Key.Front] = true
	}
	var list []change
	for _, c := range changes {
		if !gone[c.Key.Front] {
			list = append(list, c)
		}
	}
	return list
}

// drain looks at destinations of one virtual server and returns those that can go now.
func (d *Driver) drain(changes []change, bad failed) (idle []change, err error) {
	have, err := d.kernel.Dests(changes[0].Key.Front)
	if err != nil {
		return nil, err
	}
	byKey := make(map[row.IpvsKey]Dest, len(have))
	for _, t := range have {
		byKey[t.Key()] = t
	}
	var quiet []Op
	for _, c := range changes {
		t, there := byKey[c.Key]
		switch {
		case !there || t.Connections == 0 && t.Weight == 0 || d.expired(c):
			idle = append(idle, c)
			continue
		case t.Weight != 0:
			t.Weight = 0
			quiet = append(quiet, Op{Do: Set, Server: row.IpvsServer{Front: t.Front}, Dest: &t.IpvsDest})
		}
		if _, known := d.draining[c.Key]; !known {
			d.draining[c.Key] = d.now()
		}
		bad[c.Key] = row.Later{Reason: "its connections"}
	}
	// An error shows at the next try: then the destination is gone, or still has its weight.
	_, err = d.kernel.Do(quiet)
	return idle, err
}

// expired tells whether a destination has had its time.
func (d *Driver) expired(c change) bool {
	since, known := d.draining[c.Key]
	grace := d.Grace
	if t, ok := (*c.Old).(row.IpvsDest); ok && t.Grace > 0 && grace != Forever {
		grace = t.Grace
	}
	return known && grace != Forever && d.now().Sub(since) >= grace
}

func (d *Driver) removeNow(changes []change, bad failed) error {
	ops := make([]Op, len(changes))
	for i, c := range changes {
		ops[i] = Op{Do: Del, Server: row.IpvsServer{Front: c.Key.Front}, Dest: &row.IpvsDest{Front: c.Key.Front, To: c.Key.To}}
		delete(d.draining, c.Key)
		delete(d.graces, c.Key)
	}
	errs, err := d.kernel.Do(ops)
	if err != nil {
		return err
	}
	for i, c := range changes {
		if errs[i] != nil && !missing(errs[i]) {
			bad[c.Key] = errs[i]
		}
	}
	return nil
}

// drains tells whether a virtual server has destinations that keep their connections.
func (d *Driver) drains(f row.IpvsFront) (bool, error) {
	if d.Grace == 0 {
		return false, nil
	}
	have, err := d.kernel.Dests(f)
	return len(have) > 0, err
}
