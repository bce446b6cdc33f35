package linux

import (
	"kube-router/internal/intent"
	"kube-router/internal/row"
)

// Wire renders this node's end of WireGuard. Its link is made here even where a process carries it: so it and its routes outlive that
// process, and what nobody takes then is lost and not sent in clear.
func Wire(w *intent.Wire) []row.Linux {
	link := row.Link{Name: row.WireName, Kind: row.LinkWireguard, MTU: w.MTU}
	if w.User {
		link.Kind = row.LinkTun
	}
	return append(PodTable(&intent.PodTable{Sources: w.Pods}), link, row.WireDevice{Public: row.WireKey(w.Key), Port: w.Port})
}

// WireSysctls renders the settings of the link: another node may take the tunnel before we do.
func WireSysctls() []row.Sysctl { return []row.Sysctl{looseFilter(row.WireName)} }

// WirePeer renders another node's end: a row for each of its keys, one for each of its addresses, and routes of pods to the node
// itself.
func WirePeer(p *intent.WirePeer) []row.Linux {
	var rows []row.Linux
	for _, k := range p.Keys {
		rows = append(rows, row.WirePeer{Public: row.WireKey(k), Endpoint: p.Endpoint, Keepalive: p.Keepalive})
	}
	for _, a := range p.Allowed {
		rows = append(rows, row.WireAllowed{Net: a, Public: row.WireKey(p.Keys[0])})
	}
	if p.Steered {
		for _, a := range p.Hosts {
			rows = append(rows, row.Route{Table: row.TablePods, Dst: host(a), Hops: row.MakeHops(row.Hop{Dev: row.WireName})})
		}
	}
	return rows
}
