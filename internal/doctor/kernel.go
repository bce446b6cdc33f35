package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"kube-router/internal/driver/probe"
	"kube-router/internal/engine/engines"
	"kube-router/internal/model"
)

// need is a facility with who needs it.
type need struct {
	facility probe.Facility
	why      string // empty: nothing of the present settings needs it
	missing  verdict
	fix      string
}

// needs are the facilities that the settings ask for.
func needs(s *model.Settings) []need {
	module := func(name string) string {
		return "modprobe " + name + "; and name it in /etc/modules-load.d; else another kernel"
	}
	overlay := s.Router && s.Routes.Overlay
	encap := s.Routes.OverlayEncap
	list := []need{
		{probe.Nftables, "everything that filters or translates", bad, "a kernel from 5.13 on with nf_tables, nft_nat, nft_fib_inet and nft_numgen"},
		{probe.Conntrack, "flows to endpoints that have gone", bad, module("nf_conntrack_netlink")},
	}
	if s.Firewall || s.Proxy {
		list = append(list, need{probe.BrNetfilter, "policies and Services between pods of this node", warn, module("br_netfilter")})
	}
	list = append(list, engineNeeds(s, module)...)
	if s.Router {
		list = append(list, need{probe.Bridge, "kube-bridge", bad, module("bridge")}, need{probe.Veth, "pods", bad, module("veth")})
	}
	if overlay {
		list = append(list, need{probe.Rules, "routes of pods", bad, "a kernel with CONFIG_IP_MULTIPLE_TABLES"})
	}
	for _, t := range []struct {
		facility probe.Facility
		on       bool
	}{
		{probe.IPIP, s.IPv4 && encap != "vxlan"}, {probe.IP6Tnl, s.IPv6 && encap != "vxlan"},
		{probe.FOU, encap == "fou"}, {probe.VXLAN, encap == "vxlan"},
	} {
		if overlay && t.on {
			name := map[probe.Facility]string{probe.IP6Tnl: "ip6_tunnel"}[t.facility]
			if name == "" {
				name = string(t.facility)
			}
			n := need{t.facility, "--overlay-encap=" + encap, bad, module(name) + "; or another --overlay-encap"}
			if s.Routes.OverlayType == "subnet" {
				n.why, n.missing = "tunnels to nodes of other subnets (--overlay-encap="+encap+")", warn
			}
			list = append(list, n)
		}
	}
	return list
}

// engineNeeds are what the chosen engine of Services needs. Where it is chosen by what the kernel has nothing is missing.
func engineNeeds(s *model.Settings, module func(string) string) []need {
	auto := s.Services.Engine == model.EngineAuto
	var list []need
	for _, e := range engines.All() {
		if !s.Proxy || !auto && e.Name() != s.Services.Engine {
			continue
		}
		for i, p := range e.Facility().Probes {
			n := need{probe.Facility(p.Name), cmp.Or(p.Why, "--service-proxy-engine="+string(s.Services.Engine)), bad, module(p.Module)}
			switch {
			case auto && i > 0:
				continue
			case auto:
				n.missing, n.fix = fine, ""
			case i == 0:
				n.fix += "; or --service-proxy-engine=" + lastEngine()
			}
			list = append(list, n)
		}
	}
	return list
}

// lastEngine is the one that works everywhere.
func lastEngine() string {
	all := engines.All()
	return string(all[len(all)-1].Name())
}

func checkKernel(p *patient) []finding {
	if p.running && errors.Is(p.kernelErr, fs.ErrPermission) {
		// The container of our manifests: what the daemon needs and the kernel lacks, its rows tell.
		return []finding{{fine, "kernel", "is judged by what the daemon writes: this container may not try things in a network namespace of its own", ""}}
	}
	if p.kernelErr != nil {
		return []finding{{bad, "kernel", p.kernelErr.Error(), "run the doctor as root, in the daemon's container"}}
	}
	var list []finding
	for _, n := range needs(p.s) {
		f := finding{fine, "kernel: " + string(n.facility), "works; for " + n.why, ""}
		if err := p.kernel[n.facility]; err != nil {
			f = n.lacking(f.Check, err)
		}
		list = append(list, f)
	}
	return list
}

// lacking is what is to be said of a facility that can't be used as things are.
func (n need) lacking(check string, err error) finding {
	switch {
	case errors.Is(err, probe.ErrNotLoaded):
		return finding{fine, check, fmt.Sprintf("the kernel has it, and loads it when it is used (%v); for %s", err, n.why), ""}
	case n.missing == fine:
		return finding{fine, check, "missing; the " + lastEngine() + " engine is used", ""}
	case errors.Is(err, probe.ErrUnknown):
		return finding{warn, check, fmt.Sprintf("perhaps missing (%v); for %s", err, n.why), n.fix}
	}
	return finding{n.missing, check, fmt.Sprintf("missing (%v); for %s", err, n.why), n.fix}
}

// The settings that are read, below /proc/sys.
const (
	forward4     = "net/ipv4/ip_forward"
	forward6     = "net/ipv6/conf/all/forwarding"
	disable6     = "net/ipv6/conf/all/disable_ipv6"
	filterAll    = "net/ipv4/conf/all/rp_filter"
	conntrackMax = "net/netfilter/nf_conntrack_max"
	conntrackNow = "net/netfilter/nf_conntrack_count"
)

// settingsOf are the settings that matter on this node.
func settingsOf(m *model.Model) []string {
	list := []string{forward4, forward6, disable6, filterAll, conntrackMax, conntrackNow}
	for name := range m.Links {
		list = append(list, "net/ipv4/conf/"+name+"/rp_filter")
	}
	slices.Sort(list)
	return list
}

func checkSettings(p *patient) []finding {
	if p.node == nil {
		return nil
	}
	var list []finding
	if p.node.Writable {
		list = append(list, finding{fine, "settings", "/proc/sys can be changed", ""})
	} else {
		list = append(list, finding{bad, "settings", "/proc/sys is read-only",
			"run privileged, or mount the host's /proc/sys and name it in KUBE_ROUTER_PROC_SYS (as the manifests in deploy/ do)"})
	}
	if p.s.IPv4 {
		list = append(list, p.setting(forward4, "1", "IPv4 packets are forwarded"))
	}
	if p.s.IPv6 {
		list = append(list, p.setting(forward6, "1", "IPv6 packets are forwarded"))
		if p.node.Settings[disable6] == "1" {
			list = append(list, finding{bad, "settings: IPv6", "IPv6 is switched off on this node", "sysctl -w net.ipv6.conf.all.disable_ipv6=0; or --enable-ipv6=false"})
		}
	}
	return append(list, append(p.reversePath(), p.conntrackRoom()...)...)
}

// setting judges one that the daemon sets while it runs.
func (p *patient) setting(name, want, meaning string) finding {
	have, there := p.node.Settings[name]
	f := finding{fine, "settings: " + name, meaning, ""}
	switch {
	case there && have == want:
	case p.running:
		f.Verdict, f.What = bad, fmt.Sprintf("is %q while kube-router runs: another program changes it back", have)
		f.Fix = "look for it in /etc/sysctl.d and in other network managers"
	default:
		f.What = fmt.Sprintf("is %q; kube-router sets it to %s", have, want)
	}
	return f
}

// reversePath looks for strict filters (RFC 3704): the greater of "all" and the link's own counts.
func (p *patient) reversePath() []finding {
	var strict []string
	for name := range p.model.Links {
		if max(p.node.Settings[filterAll], p.node.Settings["net/ipv4/conf/"+name+"/rp_filter"]) == "1" {
			strict = append(strict, name)
		}
	}
	slices.Sort(strict)
	f := finding{fine, "settings: rp_filter", "no link drops packets for coming in another way than the answer would leave", ""}
	switch {
	case len(strict) == 0:
	case p.running && p.s.Router:
		f.Verdict, f.What = warn, fmt.Sprintf("is strict on %v: packets that come in by another way than the answer's are dropped", strict)
		f.Fix = "sysctl -w net.ipv4.conf.all.rp_filter=2"
	default:
		f.What = fmt.Sprintf("is strict on %v; kube-router loosens it where the node's own addresses are", strict)
	}
	return []finding{f}
}

// conntrackRoom warns when the table of connections is nearly full: new ones are dropped then.
func (p *patient) conntrackRoom() []finding {
	most, err1 := strconv.Atoi(p.node.Settings[conntrackMax])
	now, err2 := strconv.Atoi(p.node.Settings[conntrackNow])
	if err1 != nil || err2 != nil || most == 0 {
		return nil
	}
	f := finding{fine, "settings: conntrack", fmt.Sprintf("%d of %d connections", now, most), ""}
	if now > most/10*8 {
		f.Verdict, f.Fix = warn, fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", most*2)
	}
	return []finding{f}
}
