// Package ipvs is the engine of IPVS, with nftables beside: for who is refused, whose source address is replaced, what is marked,
// and for frontends whose endpoints nftables chooses better.
package ipvs

import (
	"strings"
	"time"

	"kube-router/internal/engine"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/render/ipvs"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
)

// Engine is the engine ipvs.
type Engine struct{}

// Name is what --service-proxy-engine calls it.
func (Engine) Name() model.Engine { return model.EngineIPVS }

// Base is the link for addresses, IPVS' settings, and the static rules. What nftables chooses by stands whether or not there is
// such a frontend: UDP there is in every cluster.
func (Engine) Base(n engine.Node) engine.Rows {
	rules := nft.IpvsSkeleton(nft.IpvsParams{ServiceParams: n.Params, MTU: n.MTU})
	return engine.Rows{
		Ipvs:   timeouts(n.Services),
		Sysctl: ipvs.Sysctls(n.Uplinks),
		Linux:  []row.Linux{row.Link{Name: row.DummyName, Kind: row.LinkDummy}},
		Nft:    append(rules, nft.ServiceSkeleton(n.Params)...),
	}
}

func timeouts(s *model.ServiceSettings) []row.Ipvs {
	t := row.IpvsTimeouts{TCP: s.TCPTimeout, TCPFin: s.TCPFinTimeout, UDP: s.UDPTimeout}
	if t == (row.IpvsTimeouts{}) {
		return nil
	}
	for _, d := range []*time.Duration{&t.TCP, &t.TCPFin, &t.UDP} {
		if *d > 0 {
			*d = max(d.Round(time.Second), time.Second) // the kernel counts seconds, and takes 0 for no change
		}
	}
	return []row.Ipvs{t}
}

// Served leaves out direct server return where an address is a node's own: it must stay on that node, so that replies can't come
// from pods.
func (Engine) Served(s *intent.Service, p engine.Place) *intent.Service {
	if !s.DSR || !p.Own && !p.Elsewhere {
		return s
	}
	plain := *s
	plain.DSR = false
	return &plain
}

// Marked are all frontends at an address that must not be on this node, and the near side of those where near clients meet other
// endpoints than the rest.
func (Engine) Marked(at []*intent.Service, p engine.Place) []engine.Owner {
	away := ipvs.Away(at) || p.Elsewhere
	var list []engine.Owner
	for _, s := range at {
		list = append(list, ipvs.Marked(s, away)...)
	}
	return list
}

// Front is the virtual server, and what it needs of pods, settings and rules.
func (Engine) Front(s *intent.Service, p engine.Place) engine.Rows {
	marks := nft.IpvsMarks{All: p.Mark(engine.Owner{Front: s.Front, Side: ipvs.All}), Near: p.Mark(engine.Owner{Front: s.Front, Side: ipvs.Near})}
	rules := nft.Ipvs(s, marks, p.Own || p.Elsewhere)
	if ipvs.Ahead(s) {
		rules = append(rules, nft.Ahead(s)...)
	}
	return engine.Rows{Ipvs: ipvs.Service(s, p.Mark), Pods: ipvs.PodVIPs(s), Sysctl: ipvs.Sloppy(s), Nft: rules}
}

// Address puts a Service's address on this node, or only brings marked packets here, where it has direct server return or is another
// node's. A node's own address is there already.
func (Engine) Address(at []*intent.Service, p engine.Place) engine.Rows {
	switch {
	case len(at) == 0 || p.Own || at[0].Kind == intent.NodeFront:
		return engine.Rows{}
	case p.Elsewhere:
		return engine.Rows{Linux: ipvs.Elsewhere(at, p.Mark)}
	}
	return engine.Rows{Linux: ipvs.Address(at, p.Mark, p.Self, p.Bridge)}
}

// Facility is IPVS, and the link for addresses. It forwards each packet, so that addresses, routes, rules and settings are needed
// for as long as it has connections.
func (Engine) Facility() engine.Facility {
	return engine.Facility{
		What: "IPVS", Module: "ip_vs",
		Probes: []engine.Probe{
			{Name: "ipvs", Module: "ip_vs"},
			{Name: "dummy", Module: "dummy", Why: "the link that holds Services' addresses"},
		},
		PerPacket: true,
		Nft: func(k row.NftKey) bool {
			return strings.HasPrefix(k.Name, "ipvs-") || strings.HasPrefix(k.Name, "dsr-")
		},
		Linux:  leadsHere,
		Sysctl: func(r row.Sysctl) bool { return strings.HasPrefix(r.Name, "net/ipv4/vs/") },
		Counts: func(s *intent.Service) bool { return !ipvs.Ahead(s) },
	}
}

// leadsHere tells the rows that bring packets to IPVS.
func leadsHere(r row.Linux) bool {
	switch r := r.(type) {
	case row.Link:
		return r.Name == row.DummyName
	case row.Addr:
		return r.Dev == row.DummyName
	case row.Route:
		return r.Table == row.TableLocal || r.Table == row.TableDSR || r.Table == row.TableExternal
	case row.Rule:
		return r.Priority == row.RuleDSR || r.Priority == row.RuleExternal
	}
	return false
}

// Remarks tells what IPVS can't do for a frontend.
func (Engine) Remarks(s *intent.Service) []string { return ipvs.Remarks(s) }

var _ engine.Addressed = Engine{}
