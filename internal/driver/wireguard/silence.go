package wireguard

import (
	"time"

	"kube-router/internal/row"
)

// A peer is silent when it has shaken no hands for patient and answered nothing of what it was sent for as long, though it was sent more
// than one thing: a session lasts so long (WireGuard's REJECT_AFTER_TIME), a handshake is tried every 5 seconds for 90, and a keepalive, which
// nobody answers, is sent once.
const (
	patient = fresh
	trying  = time.Minute
)

// Turn is a peer that fell silent, or is heard again.
type Turn struct {
	Public row.WireKey
	Silent bool
	Since  time.Time // of what was sent first and not answered
}

// hearing is what is known of a peer from one look at the device to the next.
type hearing struct {
	received, sent int64
	since, last    time.Time // of what was sent and not answered, the first and the last of it; zero: all was
	silent         bool
}

// look takes what the device says of a peer now; true: it fell silent or is heard again.
func (h *hearing) look(now time.Time, s State) bool {
	grown, heard := s.Sent > h.sent, s.Received != h.received
	if s.Sent < h.sent { // a device that began anew
		grown, heard = s.Sent > 0, s.Received > 0
	}
	h.received, h.sent = s.Received, s.Sent
	was := h.silent
	switch {
	case heard:
		h.since, h.last, h.silent = time.Time{}, time.Time{}, false
	case grown:
		h.last = now
		if h.since.IsZero() {
			h.since = now
		}
	}
	if !h.since.IsZero() && now.Sub(h.since) >= patient && h.last.Sub(h.since) >= trying && now.Sub(s.Handshake) >= patient {
		h.silent = true
	}
	return h.silent != was
}

// listen takes a look at all peers. Who is a peer no longer is forgotten.
func (d *Driver) listen(now time.Time, list []State) (turns []Turn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.heard
	d.heard = make(map[row.WireKey]*hearing, len(list))
	for _, s := range list {
		h := before[s.Public]
		if h == nil {
			h = &hearing{received: s.Received, sent: s.Sent}
			if s.Handshake.IsZero() {
				h.sent = 0
			}
		}
		since := h.since
		if h.look(now, s) {
			if h.silent {
				since = h.since
			}
			turns = append(turns, Turn{Public: s.Public, Silent: h.silent, Since: since})
		}
		d.heard[s.Public] = h
	}
	return turns
}

// silence is since when a peer has been silent; zero: it is not. The caller holds the lock.
func (d *Driver) silence(k row.WireKey) time.Time {
	if h := d.heard[k]; h != nil && h.silent {
		return h.since
	}
	return time.Time{}
}
