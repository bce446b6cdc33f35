package nft

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"kube-router/internal/driver/nft"
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// everySort is a front of every sort: each scheduler with affinity and without, in both families, and each way to treat clients.
func everySort() []row.Nft {
	rows := ServiceSkeleton(ServiceParams{IPv4: true, IPv6: true, Inside: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:244::/32")}})
	port := uint16(0)
	put := func(s intent.Service) {
		port++
		s.Port = port
		rows = append(rows, Service(&s)...)
	}
	for _, net := range [][4]string{{"10.96.0.10", "10.244.1.5", "10.244.1.6", "198.18.0.0/15"}, {"fd00:96::10", "fd00:244::5", "fd00:244::6", "2001:db8::/32"}} {
		two := []intent.Backend{{Addr: netip.MustParseAddr(net[1]), Port: 80, Local: true}, {Addr: netip.MustParseAddr(net[2]), Port: 81}}
		for _, scheduler := range []intent.Scheduler{"", "rr", "sh", "dh", "mh"} {
			for _, affinity := range []time.Duration{0, time.Hour} {
				s := intent.Service{Front: intent.Front{Addr: netip.MustParseAddr(net[0]), Protocol: 6}, Scheduler: scheduler, Affinity: affinity, Backends: two}
				put(s)
				s.Flags, s.Masquerade = []string{"mh-port"}, true
				put(s)
				if scheduler == "mh" {
					continue // its slots are many
				}
				s.Kind, s.Masquerade, s.Sources = intent.BalancerFront, false, []netip.Prefix{netip.MustParsePrefix(net[3])}
				put(s)
				s.Far, s.KeepSource, s.Near = true, true, two[:1]
				put(s)
				s.Near = nil
				put(s)
				s.Backends = nil
				put(s)
			}
		}
	}
	return append(rows, Unrouted()...)
}

// TestUsersCanListTheTable: who looks for a fault lists the ruleset, and so does other software (firewalls, kube-proxy). nft up to 1.0.6
// stops with an assertion at rules that it can't take apart.
func TestUsersCanListTheTable(t *testing.T) {
	w := newWorld(t)
	w.must(w.table.Apply(context.Background(), additions(everySort())))
	for _, line := range []string{"list ruleset", "-a list table inet " + row.NftTable, "-j list ruleset", "list maps", "list sets"} {
		var out []byte
		var err error
		w.within(w.node, func() { out, err = w.nft(line) })
		if err != nil {
			t.Errorf("nft %s: %v", line, err)
		}
		if strings.HasPrefix(line, "-j") && !json.Valid(out) {
			t.Errorf("nft %s: not JSON: %s … %s", line, out[:min(200, len(out))], out[max(0, len(out)-200):])
		}
	}
}

// nft runs the tool; what it complains about is an error, but that JSON has no word for an update of a map.
func (w *world) nft(line string) ([]byte, error) {
	var complaints bytes.Buffer
	cmd := exec.Command("nft", strings.Fields(line)...)
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	for said := range strings.Lines(complaints.String()) {
		if !strings.Contains(said, "no json callback") {
			return out, fmt.Errorf("%v: %s", err, said)
		}
	}
	return out, err
}

func additions(rows []row.Nft) []nft.Change {
	all := map[row.NftKey]row.Nft{}
	for _, r := range rows {
		all[r.Key()] = r
	}
	var list []nft.Change
	for k, r := range all {
		list = append(list, nft.Change{Key: k, New: &r})
	}
	return list
}
