package peer

import (
	"net/netip"
	"testing"

	"github.com/osrg/gobgp/v4/api"
)

// FuzzRead takes whatever the speaker might say about a destination: what is told has a prefix and next hops.
func FuzzRead(f *testing.F) {
	f.Add("10.0.0.0/24", "10.0.0.2", "172.16.0.1", "", true)
	f.Add("fd00::/64", "fd00::2", "", "fd00::9", true)
	f.Add("x", "", "0.0.0.0", "::", false)
	f.Fuzz(func(t *testing.T, prefix, from, hop, hop6 string, best bool) {
		attrs := []*api.Attribute{
			{Attr: &api.Attribute_NextHop{NextHop: &api.NextHopAttribute{NextHop: hop}}}, nil, {},
			{Attr: &api.Attribute_MpReach{MpReach: &api.MpReachNLRIAttribute{NextHops: []string{hop6}}}},
		}
		d := &api.Destination{Prefix: prefix, Paths: []*api.Path{{Best: best, NeighborIp: from, Pattrs: attrs}, {}}}
		got, ok := read(d, map[netip.Addr]State{})
		if !ok {
			return
		}
		if !got.path.Prefix.IsValid() || len(got.path.NextHops) == 0 || !best {
			t.Errorf("%v", got.path)
		}
		for _, h := range got.path.NextHops {
			if !h.IsValid() || h.IsUnspecified() || h.Is4In6() {
				t.Errorf("next hop %v", h)
			}
		}
	})
}
