package model

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// TestServicesWithin looks for what Services name in prefixes that have fewer addresses than Services name, and in others.
func TestServicesWithin(t *testing.T) {
	m := New(Settings{})
	for i := range 20 {
		a, b := netip.AddrFrom4([4]byte{10, 0, byte(i)}), netip.AddrFrom16([16]byte{0xfd, 15: byte(i)})
		m.Put(&Service{Name: Name{"x", fmt.Sprint("s", i)}, ExternalIPs: []netip.Addr{a, b}})
	}
	for prefix, want := range map[string]string{
		"10.0.3.0/30": "[10.0.3.0 Service x/s3]", "10.0.3.4/30": "[]", "10.0.3.7/24": "[10.0.3.0 Service x/s3]", "10.0.2.0/23": "[10.0.2.0 Service x/s2 10.0.3.0 Service x/s3]",
		"fd00::2/127": "[fd00::2 Service x/s2 fd00::3 Service x/s3]", "fd01::/16": "[]", "fd00::12/124": "[fd00::10 Service x/s16 fd00::11 Service x/s17 fd00::12 Service x/s18 fd00::13 Service x/s19]",
	} {
		var have []string
		for a, list := range m.ServicesWithin(netip.MustParsePrefix(prefix)) {
			have = append(have, fmt.Sprint(a, " ", list[0].Ref()))
		}
		if slices.Sort(have); fmt.Sprint(have) != want {
			t.Errorf("%s: %s, want %s", prefix, have, want)
		}
	}
}

// TestSlicesAt changes slices whose endpoints share an address, and one that names it twice.
func TestSlicesAt(t *testing.T) {
	m, at := New(Settings{}), netip.MustParseAddr("10.0.0.1")
	slice := func(name string, addrs ...netip.Addr) *Slice {
		s := &Slice{Name: Name{"x", name}}
		for _, a := range addrs {
			s.Endpoints = append(s.Endpoints, Endpoint{Addrs: []netip.Addr{a}})
		}
		return s
	}
	for _, c := range []struct {
		put  *Slice
		gone string
		want string
	}{
		{slice("a", at, at.Next(), at), "", "[a]"}, {slice("b", at), "", "[a b]"}, {slice("a", at, at), "", "[b a]"},
		{slice("b", at.Next()), "", "[a]"}, {nil, "a", "[]"}, {nil, "b", "[]"},
	} {
		if c.put != nil {
			m.Put(c.put)
		} else {
			m.Delete(slice(c.gone).Ref())
		}
		have := map[string]int{}
		for _, s := range m.SlicesAt(at) {
			have[s.Name.Name]++
		}
		want := map[string]int{}
		for _, name := range c.want {
			if name >= 'a' && name <= 'z' {
				want[string(name)] = 1
			}
		}
		if fmt.Sprint(have) != fmt.Sprint(want) {
			t.Errorf("%v: %v, want %v", c.put, have, want)
		}
	}
	if len(m.slicesAt) != 0 {
		t.Errorf("%d addresses of slices that are gone", len(m.slicesAt))
	}
}
