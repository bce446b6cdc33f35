package wireguard

import (
	"testing"
	"time"
)

// TestSilence tells peers that don't answer from those that nobody asked.
func TestSilence(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	type look struct {
		at             time.Duration
		sent, received int64
		handshake      time.Duration // when; negative: never
	}
	tries := func(from, until time.Duration, sent, received int64, handshake time.Duration) (list []look) {
		for at := from; at <= until; at += 10 * time.Second {
			sent += 148
			list = append(list, look{at, sent, received, handshake})
		}
		return list
	}
	never := -time.Hour * 24 * 365
	for name, c := range map[string]struct {
		looks []look
		want  []bool // turns: silent, heard
	}{
		"it answers":               {append(tries(0, 4*time.Minute, 0, 0, 0), look{250 * time.Second, 9999, 92, 250 * time.Second}), []bool{true, false}},
		"always":                   {[]look{{0, 100, 100, 0}, {200 * time.Second, 300, 300, 0}, {400 * time.Second, 500, 500, 0}}, nil},
		"idle":                     {[]look{{0, 100, 100, 0}, {5 * time.Minute, 100, 100, 0}, {time.Hour, 100, 100, 0}}, nil},
		"one keepalive":            {[]look{{0, 100, 100, 0}, {10 * time.Second, 132, 100, 0}, {time.Hour, 132, 100, 0}}, nil},
		"never a handshake":        {tries(0, 190*time.Second, 0, 0, never), []bool{true}},
		"gave up":                  {append(tries(0, 90*time.Second, 0, 0, never), look{200 * time.Second, 1480, 0, never}), []bool{true}},
		"not yet":                  {tries(0, 170*time.Second, 0, 0, never), nil},
		"a handshake not long ago": {tries(0, 190*time.Second, 0, 0, 60*time.Second), nil},
		"once for a long time":     {tries(0, time.Hour, 0, 0, never), []bool{true}},
	} {
		h := &hearing{}
		var have []bool
		for _, l := range c.looks {
			if h.look(begin.Add(l.at), State{Sent: l.sent, Received: l.received, Handshake: begin.Add(l.handshake)}) {
				have = append(have, h.silent)
			}
		}
		if len(have) != len(c.want) || len(have) > 0 && have[0] != c.want[0] || len(have) > 1 && have[1] != c.want[1] {
			t.Errorf("%s: %v, want %v", name, have, c.want)
		}
	}
}

// TestSilentPeersAreTold goes through the driver: told once, shown while it lasts, forgotten with the peer.
func TestSilentPeersAreTold(t *testing.T) {
	keys, _ := store(t)
	d := over(&memory{}, keys)
	begin := time.Unix(1_700_000_000, 0)
	told := 0
	for i := range 30 {
		for _, turn := range d.listen(begin.Add(time.Duration(i)*10*time.Second), []State{{Public: pub(1), Sent: int64(i) * 148}, {Public: pub(2), Sent: 500, Received: 500, Handshake: begin}}) {
			if told++; turn.Public != pub(1) || !turn.Silent {
				t.Errorf("told %+v", turn)
			}
		}
	}
	if told != 1 || d.silence(pub(1)).IsZero() || !d.silence(pub(2)).IsZero() {
		t.Errorf("told %d times; silent since %s, and %s", told, d.silence(pub(1)), d.silence(pub(2)))
	}
	if turns := d.listen(begin.Add(time.Hour), nil); len(turns) > 0 || len(d.heard) > 0 {
		t.Errorf("who is no peer: %v", turns)
	}
}
