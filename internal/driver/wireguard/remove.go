package wireguard

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"kube-router/internal/row"
)

var errInUse = syscall.EADDRINUSE

// Others hear within moments that this node encrypts no longer; what they send until then still comes through the device. It goes
// when nothing has come for quiet, and after longest in any case.
const (
	quiet   = 3 * time.Second
	longest = 3 * time.Minute
)

// drain is what is known of a device that is to go.
type drain struct {
	begun, last time.Time
	bytes       int64
}

// remove removes rows: with the device all at once, else prefixes that stay with nobody, and then peers, whose prefixes go along.
func (d *Driver) remove(changes []change, failed row.Failed[row.LinuxKey]) {
	var nets []net.IPNet
	var peers []wgtypes.PeerConfig
	leaving := map[row.WireKey]bool{}
	for _, c := range changes {
		if c.Key.Kind == row.LinuxWireDevice {
			d.removeAll(changes, failed)
			return
		}
		if r, ok := (*c.Old).(row.WirePeer); ok {
			leaving[r.Public] = true
			peers = append(peers, wgtypes.PeerConfig{PublicKey: wgtypes.Key(r.Public), Remove: true, UpdateOnly: true})
		}
	}
	for _, c := range changes {
		if r, ok := (*c.Old).(row.WireAllowed); ok && !leaving[r.Public] {
			nets = append(nets, ipNet(r.Net))
		}
	}
	var err error
	if len(nets) > 0 {
		err = errors.Join(
			d.engine.configure(wgtypes.Config{Peers: []wgtypes.PeerConfig{{PublicKey: nobody, AllowedIPs: nets}}}),
			d.engine.configure(wgtypes.Config{Peers: []wgtypes.PeerConfig{{PublicKey: nobody, Remove: true}}}))
	}
	if err == nil && len(peers) > 0 {
		err = d.engine.configure(wgtypes.Config{Peers: peers})
	}
	d.forget(leaving)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		for _, c := range changes {
			failed[c.Key] = err
		}
	}
}

func (d *Driver) forget(keys map[row.WireKey]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range keys {
		delete(d.wanted, k)
	}
}

// removeAll takes the device's key, port and peers away.
func (d *Driver) removeAll(changes []change, failed row.Failed[row.LinuxKey]) {
	dev, err := d.engine.device()
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err == nil && d.Drain && !d.drained(dev, time.Now()) {
		err = row.Later{Reason: "until other nodes send nothing through it any more"}
	}
	if err == nil {
		port := 0
		err = d.engine.configure(wgtypes.Config{PrivateKey: &wgtypes.Key{}, ListenPort: &port, ReplacePeers: true})
	}
	if err == nil || errors.Is(err, os.ErrNotExist) {
		d.mu.Lock()
		clear(d.wanted)
		d.mu.Unlock()
		return
	}
	for _, c := range changes {
		failed[c.Key] = err
	}
}

// drained tells whether nothing has come for long enough.
func (d *Driver) drained(dev *wgtypes.Device, now time.Time) bool {
	var bytes int64
	for _, p := range dev.Peers {
		bytes += p.ReceiveBytes
	}
	if d.drain.begun.IsZero() {
		d.drain = drain{begun: now, last: now, bytes: bytes}
	}
	if bytes != d.drain.bytes {
		d.drain.bytes, d.drain.last = bytes, now
	}
	return now.Sub(d.drain.last) >= quiet || now.Sub(d.drain.begun) >= longest
}
