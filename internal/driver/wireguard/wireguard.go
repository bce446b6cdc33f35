package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"kube-router/internal/row"
)

// change is a change of one row.
type change = row.Change[row.LinuxKey, row.Linux]

// Driver is the rows of WireGuard of the link row.WireName. It makes no link.
type Driver struct {
	engine engine
	keys   *Keys
	// Drain lets the device go only when peers have ceased to send, for as long as they may take to hear that they should. Without it
	// everything goes at once.
	Drain bool

	made chan struct{} // peers were made: soon they answer

	mu     sync.Mutex
	wanted map[row.WireKey]netip.AddrPort // endpoints as they were told; the other end may have moved since
	own    row.WireKey                    // of the device, as it was told
	drain  drain
	heard  map[row.WireKey]*hearing
}

// New makes the driver. dir is where a process of WireGuard has its socket, if there is one.
func New(keys *Keys, dir string) *Driver { return over(either{user{dir}}, keys) }

func over(e engine, keys *Keys) *Driver {
	return &Driver{engine: e, keys: keys, wanted: map[row.WireKey]netip.AddrPort{}, made: make(chan struct{}, 1)}
}

// String hides what the driver holds.
func (*Driver) String() string { return "WireGuard" }

// GoString hides what the driver holds.
func (*Driver) GoString() string { return "WireGuard" }

// nobody is the key of a peer that takes prefixes away with it: wgctrl has no word for giving one back, and kernels before 6.16
// don't either. It is the base point of the curve, of which nobody has the private part but who has the number one.
var nobody = wgtypes.Key{9}

// fresh is how long a session may last (WireGuard's REJECT_AFTER_TIME): within it the other end says where it is.
const fresh = 180 * time.Second

// Dump returns what the device has. Without a device, or with one that has no key, there is nothing.
func (d *Driver) Dump(context.Context) (map[row.LinuxKey]row.Linux, error) {
	found := map[row.LinuxKey]row.Linux{}
	dev, err := d.engine.device()
	if errors.Is(err, os.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read WireGuard: %w", err)
	}
	add := func(r row.Linux) { found[r.Key()] = r }
	if dev.PrivateKey != (wgtypes.Key{}) {
		add(row.WireDevice{Public: row.WireKey(dev.PublicKey), Port: uint16(dev.ListenPort)})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range dev.Peers {
		add(row.WirePeer{Public: row.WireKey(p.PublicKey), Endpoint: d.endpoint(p), Keepalive: uint16(p.PersistentKeepaliveInterval / time.Second)})
		for _, n := range p.AllowedIPs {
			add(row.WireAllowed{Net: prefix(n), Public: row.WireKey(p.PublicKey)})
		}
	}
	return found, nil
}

// endpoint is where a peer was told to be, while a session says that it is well wherever it is now: what it has learned isn't written
// over. Of a peer that nobody told us about yet it is what the device has.
func (d *Driver) endpoint(p wgtypes.Peer) netip.AddrPort {
	told, known := d.wanted[row.WireKey(p.PublicKey)]
	if known && (!told.IsValid() || time.Since(p.LastHandshakeTime) < fresh) {
		return told
	}
	if p.Endpoint == nil {
		return netip.AddrPort{}
	}
	a := p.Endpoint.AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Apply sets all rows, device first, and then removes. Whoever is new is greeted at once: a first handshake that is lost would cost
// five seconds, and a peer that lost its memory is noticed by nobody else for fifteen.
func (d *Driver) Apply(_ context.Context, changes []change) error {
	failed := row.Failed[row.LinuxKey]{}
	var sets, gone []change
	for _, c := range changes {
		switch {
		case c.New == nil && c.Old != nil:
			gone = append(gone, c)
		case c.New == nil:
		case c.Key.Kind == row.LinuxWireDevice:
			if err := d.setDevice((*c.New).(row.WireDevice)); err != nil {
				failed[c.Key] = err
			}
		default:
			sets = append(sets, c)
		}
	}
	d.each(sets, failed, d.set)
	d.remove(gone, failed)
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// each makes changes together or, where that fails, one after the other, so that each error has its row.
func (d *Driver) each(changes []change, failed row.Failed[row.LinuxKey], do func([]change) error) {
	if len(changes) == 0 || do(changes) == nil {
		return
	}
	for i := range changes {
		if err := do(changes[i : i+1]); err != nil {
			failed[changes[i].Key] = err
		}
	}
}

func (d *Driver) setDevice(r row.WireDevice) error {
	d.drain = drain{}
	p, err := d.keys.find(r.Public)
	if err != nil {
		return err
	}
	key, port := wgtypes.Key(p.key.Bytes()), int(r.Port)
	if err := d.engine.configure(wgtypes.Config{PrivateKey: &key, ListenPort: &port}); err != nil {
		return explain(err)
	}
	d.own = r.Public
	return d.greetAll()
}

// greetAll greets every peer: to them this node is somebody else now.
func (d *Driver) greetAll() error {
	dev, err := d.engine.device()
	if err != nil {
		return explain(err)
	}
	var list []wgtypes.PeerConfig
	for _, p := range dev.Peers {
		keepalive := p.PersistentKeepaliveInterval
		list = append(list, wgtypes.PeerConfig{PublicKey: p.PublicKey, UpdateOnly: true, PersistentKeepaliveInterval: &keepalive})
	}
	return d.greet(list)
}

// greet makes the device call peers, by setting their keepalive from nothing to something, and leaves it as it should be.
func (d *Driver) greet(list []wgtypes.PeerConfig) error {
	if len(list) == 0 {
		return nil
	}
	turn := make([]wgtypes.PeerConfig, len(list))
	for i, p := range list {
		keepalive := time.Duration(0)
		if *p.PersistentKeepaliveInterval == 0 {
			keepalive = time.Second
		}
		turn[i] = wgtypes.PeerConfig{PublicKey: p.PublicKey, UpdateOnly: true, PersistentKeepaliveInterval: &keepalive}
	}
	if err := d.engine.configure(wgtypes.Config{Peers: turn}); err != nil {
		return explain(err)
	}
	for i, p := range list {
		turn[i].PersistentKeepaliveInterval = p.PersistentKeepaliveInterval
	}
	return explain(d.engine.configure(wgtypes.Config{Peers: turn}))
}

// set makes peers and gives them their prefixes. What a live peer has is never replaced as a whole, since packets between would be
// lost.
func (d *Driver) set(changes []change) error {
	at := map[row.WireKey]int{}
	var list, greeted []wgtypes.PeerConfig
	of := func(k row.WireKey) *wgtypes.PeerConfig {
		i, ok := at[k]
		if !ok {
			i = len(list)
			at[k] = i
			list = append(list, wgtypes.PeerConfig{PublicKey: wgtypes.Key(k)})
		}
		return &list[i]
	}
	for _, c := range changes {
		switch r := (*c.New).(type) {
		case row.WirePeer:
			if r.Public == d.own {
				return fmt.Errorf("the device itself has key %s, and takes no such peer", r.Public)
			}
			keepalive := time.Duration(r.Keepalive) * time.Second
			p := of(r.Public)
			p.PersistentKeepaliveInterval = &keepalive
			if r.Endpoint.IsValid() {
				p.Endpoint = net.UDPAddrFromAddrPort(r.Endpoint)
			}
			if c.Old == nil && r.Endpoint.IsValid() && keepalive == 0 { // a keepalive greets by itself
				greeted = append(greeted, *p)
			}
		case row.WireAllowed:
			p := of(r.Public)
			p.AllowedIPs = append(p.AllowedIPs, ipNet(r.Net))
		default:
			return fmt.Errorf("a row of unknown kind %T", *c.New)
		}
	}
	if err := d.engine.configure(wgtypes.Config{Peers: list}); err != nil {
		return explain(err)
	}
	d.remember(changes)
	select {
	case d.made <- struct{}{}:
	default:
	}
	return d.greet(greeted)
}

func (d *Driver) remember(changes []change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range changes {
		if r, ok := (*c.New).(row.WirePeer); ok {
			d.wanted[r.Public] = r.Endpoint
		}
	}
}

// explain says in words what the device means.
func explain(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return row.Foreign{Err: fmt.Errorf("link %s is not there (yet): %w", row.WireName, err)}
	case errors.Is(err, errInUse):
		return row.Foreign{Err: fmt.Errorf("another program has the UDP port of --wireguard-port: %w", err)}
	}
	return err
}

func ipNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefix(n net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}
