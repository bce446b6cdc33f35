package wireguard

import (
	"fmt"
	"net"
	"os"
	"slices"
	"sync"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"kube-router/internal/row"
)

// memory is an engine in memory, with the kernel's rules: a prefix belongs to the peer that was told last, a peer with the device's
// own key is ignored without a word, and what is only to be updated isn't made.
type memory struct {
	mu    sync.Mutex
	there bool
	dev   wgtypes.Device
}

func (m *memory) device() (*wgtypes.Device, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.there {
		return nil, fmt.Errorf("%s: %w", row.WireName, os.ErrNotExist)
	}
	d := m.dev
	d.Peers = slices.Clone(d.Peers)
	return &d, nil
}

func (m *memory) configure(c wgtypes.Config) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.there {
		return fmt.Errorf("%s: %w", row.WireName, os.ErrNotExist)
	}
	if c.PrivateKey != nil {
		m.dev.PrivateKey, m.dev.PublicKey = *c.PrivateKey, c.PrivateKey.PublicKey()
		m.drop(m.dev.PublicKey)
	}
	if c.ListenPort != nil {
		m.dev.ListenPort = *c.ListenPort
	}
	if c.ReplacePeers {
		m.dev.Peers = nil
	}
	for _, p := range c.Peers {
		m.peer(p)
	}
	return nil
}

func (m *memory) drop(k wgtypes.Key) {
	m.dev.Peers = slices.DeleteFunc(m.dev.Peers, func(p wgtypes.Peer) bool { return p.PublicKey == k })
}

func (m *memory) peer(c wgtypes.PeerConfig) {
	if c.Remove {
		m.drop(c.PublicKey)
		return
	}
	at := slices.IndexFunc(m.dev.Peers, func(p wgtypes.Peer) bool { return p.PublicKey == c.PublicKey })
	switch {
	case at < 0 && (c.UpdateOnly || c.PublicKey == m.dev.PublicKey):
		return
	case at < 0:
		m.dev.Peers = append(m.dev.Peers, wgtypes.Peer{PublicKey: c.PublicKey})
		at = len(m.dev.Peers) - 1
	}
	if c.Endpoint != nil {
		m.dev.Peers[at].Endpoint = c.Endpoint
	}
	if c.PersistentKeepaliveInterval != nil {
		m.dev.Peers[at].PersistentKeepaliveInterval = *c.PersistentKeepaliveInterval
	}
	for _, n := range c.AllowedIPs {
		for i := range m.dev.Peers {
			m.dev.Peers[i].AllowedIPs = slices.DeleteFunc(slices.Clone(m.dev.Peers[i].AllowedIPs), func(o net.IPNet) bool { return o.String() == n.String() })
		}
		m.dev.Peers[at].AllowedIPs = append(m.dev.Peers[at].AllowedIPs, n)
	}
}
