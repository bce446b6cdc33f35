package nft

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDisjoint: whatever blocks a Service names, those rendered must not overlap, for the kernel would refuse
// them, and must hold the same addresses.
func TestDisjoint(t *testing.T) {
	for _, c := range []struct {
		name       string
		v6         bool
		have, want []string
	}{
		{"apart", false, []string{"10.2.0.0/16", "10.1.0.0/16"}, []string{"10.1.0.0/16", "10.2.0.0/16"}},
		{"one in another", false, []string{"10.1.0.0/16", "10.0.0.0/8"}, []string{"10.0.0.0/8"}},
		{"two that lie apart in one", false, []string{"10.1.0.0/16", "10.2.0.0/16", "10.0.0.0/8"}, []string{"10.0.0.0/8"}},
		{"everything and parts of it", true, []string{"2001:db8:2::/48", "::/0", "2001:db8:1::/48", "fd00::/8"}, []string{"::/0"}},
		{"the other family", true, []string{"0.0.0.0/0"}, nil},
		{"host bits", false, []string{"10.0.0.9/8", "10.0.0.0/8", "192.0.2.0/24"}, []string{"10.0.0.0/8", "192.0.2.0/24"}},
	} {
		var blocks []netip.Prefix
		for _, s := range c.have {
			blocks = append(blocks, netip.MustParsePrefix(s))
		}
		var got []string
		for _, p := range disjoint(family{v6: c.v6}, blocks) {
			got = append(got, p.String())
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}
