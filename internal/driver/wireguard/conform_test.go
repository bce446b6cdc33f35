package wireguard

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

// store makes a key file that stands for all openings within a test.
func store(t testing.TB) (*Keys, row.WireKey) {
	t.Helper()
	keys := NewKeys(filepath.Join(t.TempDir(), "wireguard.key"))
	public, _, err := keys.Public()
	if err != nil {
		t.Fatal(err)
	}
	return keys, public
}

// pub is the n-th public key of somebody.
func pub(n int) row.WireKey {
	var k row.WireKey
	binary.BigEndian.PutUint32(k[1:], uint32(n)+1)
	return k
}

// sample makes about n rows: the device, and peers with a prefix of each family.
func sample(own row.WireKey, n int) []row.Linux {
	rows := []row.Linux{row.WireDevice{Public: own, Port: 51890}}
	for i := range max(2, n/3) {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0})
		b := netip.AddrFrom16([16]byte{0: 0xfd, 6: byte(i >> 8), 7: byte(i)})
		p := row.WirePeer{Public: pub(i), Keepalive: uint16(i%2) * 25}
		if i%3 > 0 {
			p.Endpoint = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 51890)
		}
		rows = append(rows, p, row.WireAllowed{Net: netip.PrefixFrom(a, 24), Public: pub(i)}, row.WireAllowed{Net: netip.PrefixFrom(b, 64), Public: pub(i)})
	}
	return rows
}

func other(r row.Linux) (row.Linux, bool) {
	switch r := r.(type) {
	case row.WireDevice:
		r.Port++
		return r, true
	case row.WirePeer:
		r.Keepalive++
		return r, true
	}
	return nil, false
}

func config(t testing.TB, open func(*Keys) *Driver, world func(testing.TB)) conform.Config[row.LinuxKey, row.Linux] {
	keys, own := store(t)
	return conform.Config[row.LinuxKey, row.Linux]{
		Open:   func(testing.TB) row.Target[row.LinuxKey, row.Linux] { return open(keys) },
		World:  world,
		Rows:   func(n int) []row.Linux { return sample(own, n) },
		Change: other,
		Bad: func() []row.Linux {
			return []row.Linux{row.WirePeer{Public: own}}
		},
		Many: 900,
	}
}

func TestFakeConforms(t *testing.T) {
	m := &memory{}
	conform.Target(t, config(t, func(k *Keys) *Driver { return over(m, k) }, func(testing.TB) { *m = memory{there: true} }))
}

// TestPrefixMoves moves a prefix from one peer to another, in one step, and takes the first one away.
func TestPrefixMoves(t *testing.T) {
	keys, own := store(t)
	m := &memory{there: true}
	d := over(m, keys)
	before := conform.Index(sample(own, 6))
	if err := d.Apply(t.Context(), conform.Diff(nil, before)); err != nil {
		t.Fatal(err)
	}
	after := conform.Index(sample(own, 6))
	for k, r := range after {
		switch r := r.(type) {
		case row.WireAllowed:
			if r.Public == pub(0) {
				r.Public = pub(1)
				after[k] = r
			}
		case row.WirePeer:
			if r.Public == pub(0) {
				delete(after, k)
			}
		}
	}
	if err := d.Apply(t.Context(), conform.Diff(before, after)); err != nil {
		t.Fatal(err)
	}
	have, err := d.Dump(t.Context())
	if left := conform.Diff(have, after); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}

// TestPrivateKeyStays looks for the private key in everything that a driver and its rows print.
func TestPrivateKeyStays(t *testing.T) {
	keys, own := store(t)
	info, err := os.Stat(keys.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	list, err := keys.read()
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{there: true}
	d := over(m, keys)
	if err := d.Apply(t.Context(), conform.Diff(nil, conform.Index(sample(own, 9)))); err != nil {
		t.Fatal(err)
	}
	rows, err := d.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leaks(t, list[0], d, rows, list, own, sample(own, 3))
}
