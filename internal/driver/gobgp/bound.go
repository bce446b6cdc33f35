package gobgp

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// A wire keeps a peer within the number of prefixes that it may teach. What is beyond never reaches the engine, so it
// costs no memory, and the session stays. Once a fifth of the room is free again the peer is asked for everything anew.

// forget makes room for what an UPDATE withdraws, or for all that it names.
func (w *wire) forget(u *update, all bool) {
	gone := func(p netip.Prefix, _ []byte) { delete(w.known, p) }
	prefixes(u.withdrawn, true, gone)
	if a := u.find(attrUnreach); a != nil && len(a.value) >= 3 {
		if v4, ok := unicast(binary.BigEndian.Uint16(a.value), a.value[2]); ok {
			prefixes(a.value[3:], v4, gone)
		}
	}
	if a := u.find(attrReach); all && a != nil {
		if afi, safi, list, ok := reach(a); ok {
			if v4, ours := unicast(afi, safi); ours {
				prefixes(list, v4, gone)
			}
		}
	}
	if all {
		prefixes(u.nlri, true, gone)
	}
	if w.refused && w.refresh.Load() && len(w.known) <= w.limit/5*4 {
		w.refused = false
		w.over(0)
		w.again()
	}
}

// admit is an UPDATE without the prefixes that are beyond the limit.
func (w *wire) admit(u *update, m []byte) []byte {
	dropped := 0
	nlri := w.within(u.nlri, true, &dropped)
	var attrs []byte
	announces := len(nlri) > 0
	for _, a := range u.attrs {
		afi, safi, list, ok := reach(&a)
		if a.code != attrReach || !ok {
			attrs = append(attrs, a.whole...)
			continue
		}
		v4, ours := unicast(afi, safi)
		if !ours {
			return m
		}
		kept := w.within(list, v4, &dropped)
		if len(kept) == 0 && len(list) > 0 {
			continue
		}
		announces = true
		head := a.value[:len(a.value)-len(list)]
		attrs = append(attrs, attributeOf(a.flags, a.code, slices.Concat(head, kept))...)
	}
	if dropped == 0 {
		return m
	}
	w.over(dropped)
	w.refused = true
	if announces {
		return u.built(u.withdrawn, attrs, nlri)
	}
	rest := update{withdrawn: u.withdrawn}
	if a := u.find(attrUnreach); a != nil {
		rest.attrs = []attribute{*a}
	}
	return rest.withdrawal()
}

// within are the prefixes of a list for which there is room; others are counted.
func (w *wire) within(list []byte, v4 bool, dropped *int) []byte {
	if w.known == nil {
		w.known = map[netip.Prefix]struct{}{}
	}
	kept := make([]byte, 0, len(list))
	ok := prefixes(list, v4, func(p netip.Prefix, raw []byte) {
		if _, known := w.known[p]; !known && len(w.known) >= w.limit {
			*dropped++
			return
		}
		w.known[p] = struct{}{}
		kept = append(kept, raw...)
	})
	if !ok {
		return list // the engine tells what is wrong with it
	}
	return kept
}

// unicast tells whether a family is one of those that we speak, and whether it is IPv4.
func unicast(afi uint16, safi byte) (v4, ok bool) {
	return afi == 1, safi == 1 && (afi == 1 || afi == 2)
}

// again asks for all routes of both families (RFC 2918).
func (w *wire) again() {
	w.writing.Lock()
	defer w.writing.Unlock()
	for _, afi := range []byte{1, 2} {
		if _, err := w.TCPConn.Write(message(typeFresh, []byte{0, afi, 0, 1})); err != nil {
			return // the engine reads of it
		}
	}
}
