package gobgp

import (
	"net/netip"
	"os"
	"testing"

	"kube-router/internal/row"
)

// FuzzStatement puts a statement into the speaker's words and back.
func FuzzStatement(f *testing.F) {
	f.Add(true, true, true, uint32(64512), uint8(3), true, true, uint32(7), uint32(0xffffff01), uint32(1), uint8(1))
	f.Fuzz(func(t *testing.T, learned, accept, self bool, as uint32, times uint8, peers, hasMED bool, med, community, large uint32, n uint8) {
		s := row.BgpStatement{Prefixes: row.SetVIPs, Learned: learned, Accept: accept, NextHopSelf: self, HasMED: hasMED}
		if peers {
			s.Peers = row.SetExternals.V6()
		}
		if times > 0 {
			s.PrependAS, s.PrependTimes = as, times
		}
		if hasMED {
			s.MED = med
		}
		for i := range n % (row.MaxCommunities + 1) {
			s.Communities[i], s.Large[i] = row.Community(community+uint32(i)), row.LargeCommunity{large, community, uint32(i)}
			s.NCommunities, s.NLarge = i+1, i+1
		}
		p := row.BgpPolicy{Count: 1}
		p.Statements[0] = s
		if back := readPolicy(false, action(false), policyMessage(p, "kube_router_export0")); back != p {
			t.Errorf("%v came back as %v", p, back)
		}
	})
}

// FuzzPeer puts a peer into the speaker's words and back.
func FuzzPeer(f *testing.F) {
	f.Add([]byte{10, 0, 0, 2}, uint32(65001), "node-b", uint16(179), uint8(2), uint32(90), true, true, uint32(7), uint16(90), uint8(3), "secret")
	f.Fuzz(func(t *testing.T, ip []byte, as uint32, node string, port uint16, ttl uint8, hold uint32, v4, v6 bool, cluster uint32, restart uint16, bfd uint8, password string) {
		a, ok := netip.AddrFromSlice(ip)
		if !ok || !plainName(node) {
			return
		}
		p := row.BgpPeer{Addr: a, Local: a, ASN: as, Node: node, Port: port, TTL: ttl, Hold: hold, V4: v4, V6: v6, Restart: restart, Password: row.BgpSecret(password)}
		if a.Is4In6() {
			return
		}
		if restart > 0 {
			p.Deferral = restart
		}
		if cluster > 0 {
			p.Cluster = netip.AddrFrom4([4]byte{byte(cluster >> 24), byte(cluster >> 16), byte(cluster >> 8), byte(cluster)})
		}
		if bfd > 0 {
			p.BFD = row.BgpBFD{Port: 3784, Multiplier: bfd, Tx: hold, Rx: as}
		}
		if back, ok := readPeer(peerMessage(p, true)); !ok || back != p {
			t.Errorf("%v came back as %v", p, back)
		}
	})
}

// plainName is what Kubernetes lets a Node be called (RFC 1123).
func plainName(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// FuzzLock reads whatever may stand in the lock's file: nobody holds it, so there is no speaker.
func FuzzLock(f *testing.F) {
	f.Add("12345 v1\n")
	f.Add("")
	f.Add("-1 x")
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/"+lockName, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := find(dir); p != nil || err != nil {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	})
}
