package wireguard

import (
	"net/netip"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// counted counts what a driver tells and asks.
type counted struct {
	memory
	asked, peers, prefixes int
}

func (c *counted) device() (*wgtypes.Device, error) {
	c.asked++
	return c.memory.device()
}

func (c *counted) configure(conf wgtypes.Config) error {
	c.peers += len(conf.Peers)
	for _, p := range conf.Peers {
		c.prefixes += len(p.AllowedIPs)
	}
	return c.memory.configure(conf)
}

// TestOneOfAThousand: of a thousand peers one changes, and the device is told of that one and asked for none.
func TestOneOfAThousand(t *testing.T) {
	keys, own := store(t)
	c := &counted{memory: memory{there: true}}
	d := over(c, keys)
	rows := conform.Index(sample(own, 3000))
	if err := d.Apply(t.Context(), conform.Diff(nil, rows)); err != nil {
		t.Fatal(err)
	}
	has := func(key row.WireKey) []row.Linux {
		return []row.Linux{row.WirePeer{Public: key, Endpoint: netip.MustParseAddrPort("192.0.2.1:51890")},
			row.WireAllowed{Net: netip.MustParsePrefix("10.200.0.0/24"), Public: key}, row.WireAllowed{Net: netip.MustParsePrefix("fd99::/64"), Public: key}}
	}
	for _, step := range []struct {
		name                   string
		old, now               []row.Linux
		asked, peers, prefixes int
	}{
		{"it joins", nil, has(pub(5000)), 0, 3, 2},                      // made, and greeted by two words
		{"it has another key", has(pub(5000)), has(pub(5001)), 0, 4, 2}, // the same, and the old one goes
		{"it moves", has(pub(5001))[:1], []row.Linux{row.WirePeer{Public: pub(5001)}}, 0, 1, 0},
		{"it leaves", append([]row.Linux{row.WirePeer{Public: pub(5001)}}, has(pub(5001))[1:]...), nil, 0, 1, 0},
	} {
		c.asked, c.peers, c.prefixes = 0, 0, 0
		if err := d.Apply(t.Context(), conform.Diff(conform.Index(step.old), conform.Index(step.now))); err != nil {
			t.Fatal(step.name, err)
		}
		if c.asked != step.asked || c.peers != step.peers || c.prefixes != step.prefixes {
			t.Errorf("%s: the device was asked %d times and told of %d peers with %d prefixes, want %d, %d, %d",
				step.name, c.asked, c.peers, c.prefixes, step.asked, step.peers, step.prefixes)
		}
	}
}
