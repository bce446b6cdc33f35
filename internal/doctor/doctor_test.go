package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kube-router/internal/driver/probe"
	"kube-router/internal/model"
	"kube-router/internal/row"
	"kube-router/internal/show"
	"kube-router/internal/watch/kube"
	"kube-router/internal/watch/peer"
)

// healthy is a patient with nothing wrong.
func healthy() *patient {
	s := &model.Settings{Node: "n1", Router: true, Firewall: true, Proxy: true, IPv4: true}
	s.Services.Engine = model.EngineNftables
	s.Routes.Overlay, s.Routes.OverlayEncap = true, "ipip"
	s.CNI = model.CNISettings{Enabled: true, AutoMTU: true, File: "/etc/cni/net.d/10-kuberouter.conflist", Socket: "/run/x"}
	m := model.New(*s)
	n := &model.Node{Name: "n1", InternalIPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24")}}
	m.Put(n)
	m.Put(&model.Link{Name: "eth0", MTU: 1500, Up: true, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}})
	return &patient{
		s: s, socket: "/run/c.sock", running: true, daemon: daemonFacts{state: "well", rows: "9", up: "1m"}, model: m, api: apiFacts{node: n}, kernel: map[probe.Facility]error{},
		node: &probe.Node{
			Writable: true, Settings: map[string]string{forward4: "1", filterAll: "0", conntrackMax: "1000", conntrackNow: "10"},
			Links:    []probe.Link{{Name: "kube-bridge", Kind: "bridge", MTU: 1480, Up: true}},
			Plugins:  []string{"bridge", "host-local", "loopback", "portmap", "kube-router-cni"},
			CNIFiles: []string{"10-kuberouter.conflist", "99-loopback.conf"},
		},
	}
}

func TestDoctorFindsNothing(t *testing.T) {
	list := examine(healthy())
	for _, f := range list {
		if f.Verdict != fine || f.Fix != "" {
			t.Errorf("%+v", f)
		}
	}
	if len(list) < 15 {
		t.Errorf("only %d things were looked at", len(list))
	}
}

// TestDoctor makes one thing wrong and expects to be told of it, with how to fix it.
func TestDoctor(t *testing.T) {
	no := errors.New("operation not supported")
	for _, c := range []struct {
		name    string
		harm    func(*patient)
		verdict verdict
		check   string
		says    string
		fix     string
	}{
		{"a node is silent in the tunnel", func(p *patient) {
			p.s.Encryption.On = true
			p.daemon.wires = []wireFact{{Node: "n2", State: "encrypted", Encrypted: true}, {Node: "n3", State: "silent: it has answered nothing for 4m0s", Silent: true}}
		}, warn, "encryption", "n3: silent", "UDP"},
		{"nobody answers in the tunnel", func(p *patient) {
			p.s.Encryption.On = true
			p.daemon.wires = []wireFact{{Node: "n2", State: "silent", Silent: true}, {Node: "n3", State: "silent", Silent: true}}
		}, bad, "encryption", "no node answers", "firewall"},
		{"WireGuard doesn't answer", func(p *patient) { p.s.Encryption.On, p.daemon.wireErr = true, no }, bad, "encryption", "not supported", "starts it again"},
		{"a daemon hangs", func(p *patient) { p.running, p.daemon.silent = false, true }, bad, "daemon", "hangs: it takes questions at /run/c.sock", "kill -QUIT"},
		{"no daemon", func(p *patient) { p.running = false }, warn, "daemon", "no kube-router answers at /run/c.sock", "its log says why"},
		{"starting", func(p *patient) { p.daemon.state, p.daemon.why = "starting", []string{"waiting for Nodes"} }, warn, "daemon", "waiting for Nodes", "wait"},
		{"unwell", func(p *patient) { p.daemon.state, p.daemon.why = "unwell", []string{"x fails"} }, bad, "daemon", "x fails", "below"},
		{"a row fails", func(p *patient) {
			p.daemon.failing = []show.FailingRow{{Table: "rtnl", Row: "link tun-1", Error: "operation not supported"}}
		}, bad, "rows: rtnl", "link tun-1: operation not supported", "the kernel lacks something"},
		{"a report fails", func(p *patient) {
			p.daemon.failing = []show.FailingRow{{Table: "events", Row: "event", Error: "namespace x is being terminated"}}
		}, bad, "rows: events", "terminated", "the API server's"},
		{"many rows fail", func(p *patient) { p.daemon.failing = make([]show.FailingRow, 100) }, bad, "rows", "92 more fail", "show failing"},
		{"no watch", func(p *patient) { p.daemon.sources = []kube.SourceStatus{{Kind: model.KindPod, LastError: "refused"}} }, bad, "API server", "the watch of Pods is broken", "goes on with what it knows"},
		{"remarks", func(p *patient) { p.daemon.remarks = []model.Remark{{Message: "odd"}} }, warn, "remarks", "odd", "show remarks"},
		{"no speaker", func(p *patient) { p.daemon.peerErr = no }, bad, "BGP", "does not answer", "starts it again"},
		{"a session is down", func(p *patient) {
			p.daemon.peers = []peer.State{{Addr: netip.MustParseAddr("10.0.0.9"), ASN: 65001, Session: "ACTIVE"}}
		}, warn, "BGP", "10.0.0.9 (router, AS 65001) is ACTIVE, never established", "nc -vz 10.0.0.9"},
		{"wrong password", func(p *patient) {
			p.daemon.peers = []peer.State{{Addr: netip.MustParseAddr("10.0.0.9"), Node: "n2", Session: "CONNECT", Reason: "segments with a wrong TCP MD5 signature"}}
		}, warn, "BGP", "never established: segments with a wrong TCP MD5 signature", "--ibgp-password-file"},
		{"wrong AS", func(p *patient) {
			p.daemon.peers = []peer.State{{Addr: netip.MustParseAddr("10.0.0.9"), ASN: 1, Session: "ACTIVE", Reason: "wrong AS: the peer says 2"}}
		}, warn, "BGP", "wrong AS: the peer says 2", "--peer-router-asns"},
		{"no nftables", func(p *patient) { p.kernel[probe.Nftables] = no }, bad, "kernel: nftables", "missing", "5.13"},
		{"no conntrack", func(p *patient) { p.kernel[probe.Conntrack] = no }, bad, "kernel: conntrack", "missing", "modprobe"},
		{"no br_netfilter", func(p *patient) { p.kernel[probe.BrNetfilter] = no }, warn, "kernel: br_netfilter", "between pods of this node", "modprobe br_netfilter"},
		{"no ipvs wanted", func(p *patient) { p.s.Services.Engine = model.EngineIPVS; p.kernel[probe.IPVS] = no }, bad, "kernel: ipvs", "missing", "nftables"},
		{"no ipvs for auto", func(p *patient) { p.s.Services.Engine = model.EngineAuto; p.kernel[probe.IPVS] = no }, fine, "kernel: ipvs", "nftables engine is used", ""},
		{"no dummy", func(p *patient) { p.s.Services.Engine = model.EngineIPVS; p.kernel[probe.Dummy] = no }, bad, "kernel: dummy", "missing", "modprobe dummy"},
		{"ipip not loaded", func(p *patient) { p.kernel[probe.IPIP] = probe.ErrNotLoaded }, fine, "kernel: ipip", "loads it when it is used", ""},
		{"ipip unknown", func(p *patient) { p.kernel[probe.IPIP] = probe.ErrUnknown }, warn, "kernel: ipip", "perhaps missing", "modprobe ipip"},
		{"no ipip", func(p *patient) { p.kernel[probe.IPIP] = no }, bad, "kernel: ipip", "--overlay-encap=ipip", "modprobe ipip"},
		{"no ip6tnl", func(p *patient) { p.s.IPv6 = true; p.kernel[probe.IP6Tnl] = no }, bad, "kernel: ip6tnl", "missing", "modprobe ip6_tunnel"},
		{"no fou", func(p *patient) { p.s.Routes.OverlayEncap = "fou"; p.kernel[probe.FOU] = no }, bad, "kernel: fou", "missing", "modprobe fou"},
		{"no vxlan", func(p *patient) { p.s.Routes.OverlayEncap = "vxlan"; p.kernel[probe.VXLAN] = no }, bad, "kernel: vxlan", "missing", "modprobe vxlan"},
		{"no bridge", func(p *patient) { p.kernel[probe.Bridge] = no }, bad, "kernel: bridge", "missing", "modprobe bridge"},
		{"no veth", func(p *patient) { p.kernel[probe.Veth] = no }, bad, "kernel: veth", "missing", "modprobe veth"},
		{"no rules", func(p *patient) { p.kernel[probe.Rules] = no }, bad, "kernel: policy routing", "missing", "MULTIPLE_TABLES"},
		{"no root", func(p *patient) { p.kernelErr = no }, bad, "kernel", "not supported", "root"},
		{"no right to try things, beside a daemon", func(p *patient) { p.kernelErr = fmt.Errorf("unshare: %w", fs.ErrPermission) }, fine, "kernel", "judged by what the daemon writes", ""},
		{"no right to try things, and no daemon", func(p *patient) { p.kernelErr, p.running = fmt.Errorf("unshare: %w", fs.ErrPermission), false }, bad, "kernel", "unshare", "root"},
		{"no right of BPF any more", func(p *patient) {
			p.daemon.failing = []show.FailingRow{{Table: "bpf", Row: "the whole table", Error: "load pinned link: operation not permitted"}}
		}, bad, "rows: bpf", "load pinned link", "an earlier --socket-lb"},
		{"read-only", func(p *patient) { p.node.Writable = false }, bad, "settings", "read-only", "KUBE_ROUTER_PROC_SYS"},
		{"no forwarding yet", func(p *patient) { p.running = false; p.node.Settings[forward4] = "0" }, fine, "settings: " + forward4, "sets it", ""},
		{"forwarding taken", func(p *patient) { p.running = true; p.node.Settings[forward4] = "0" }, bad, "settings: " + forward4, "changes it back", "sysctl.d"},
		{"forwarding of IPv6", func(p *patient) { p.s.IPv6, p.running = true, true }, bad, "settings: " + forward6, "changes it back", "sysctl.d"},
		{"IPv6 off", func(p *patient) { p.s.IPv6 = true; p.node.Settings[disable6] = "1" }, bad, "settings: IPv6", "switched off", "disable_ipv6=0"},
		{"strict", func(p *patient) { p.running = false; p.node.Settings[filterAll] = "1" }, fine, "settings: rp_filter", "loosens", ""},
		{"strict still", func(p *patient) { p.running = true; p.node.Settings["net/ipv4/conf/eth0/rp_filter"] = "1" }, warn, "settings: rp_filter", "[eth0]", "rp_filter=2"},
		{"conntrack full", func(p *patient) { p.node.Settings[conntrackNow] = "900" }, warn, "settings: conntrack", "900 of 1000", "nf_conntrack_max=2000"},
		{"kube-proxy", func(p *patient) { p.node.Processes = []string{"kube-proxy"} }, bad, "other programs", "two programs carry Services", "delete daemonset"},
		{"kube-proxy in another container", func(p *patient) { p.proxy = true }, bad, "other programs", "two programs carry Services", "delete daemonset"},
		{"flannel", func(p *patient) { p.node.Processes = []string{"flanneld"} }, bad, "other programs", "two programs make", "--run-router=false"},
		{"old kube-router", func(p *patient) { p.running = false; p.node.Processes = []string{"kube-router"} }, warn, "other programs", "does not answer", "--control-socket"},
		{"firewalld", func(p *patient) { p.node.Processes = []string{"firewalld"} }, warn, "other programs", "firewalld", "trusted"},
		{"NetworkManager", func(p *patient) { p.node.Processes = []string{"NetworkManager"} }, warn, "other programs", "NetworkManager", "unmanaged-devices"},
		{"a dropping firewall", func(p *patient) {
			p.model.Put(&model.ForwardChain{Family: "inet", Table: "firewalld", Name: "filter_FORWARD", Closed: true})
		},
			bad, "other rules", "inet firewalld filter_FORWARD", "kube-bridge"},
		{"a firewall that may know pods", func(p *patient) {
			p.model.Put(&model.ForwardChain{Family: "inet", Table: "mine", Name: "forward", Closed: true, Open: true})
		},
			warn, "other rules", "inet mine forward", "kube-bridge"},
		{"leftovers", func(p *patient) {
			p.leftovers = []row.Leftover{{Kind: row.LeftoverTable, Of: "kube-proxy", Name: "kube-proxy"}}
		},
			warn, "leftovers", "1 thing of kube-proxy", "--take-over"},
		{"legacy", func(p *patient) { p.leftovers = []row.Leftover{{Kind: row.LeftoverLegacy, Of: "kube-proxy"}} }, warn, "leftovers", "iptables-legacy", "iptables-legacy-restore"},
		{"a bridge made anew", func(p *patient) {
			p.node.Links = append(p.node.Links, probe.Link{Name: "veth12ab34cd", Kind: "veth"}, probe.Link{Name: "veth0", Kind: "veth"})
		}, bad, "bridge", "1 link of pods attached to no bridge, 0 to kube-bridge: veth12ab34cd", "restart the pods"},
		{"a pod without a bridge", func(p *patient) {
			p.node.Links = append(p.node.Links, probe.Link{Name: "veth12ab34cd", Kind: "veth"}, probe.Link{Name: "veth12ab34ce", Kind: "veth", Master: "kube-bridge"})
		}, warn, "bridge", "1 to kube-bridge", "cut off"},
		{"large bridge", func(p *patient) { p.node.Links[0].MTU = 1500 }, warn, "MTU", "has 1500", "mtu 1480"},
		{"small links", func(p *patient) {
			p.model.Settings.IPv6 = true
			p.model.Put(&model.Link{Name: "eth0", MTU: 1280, Up: true, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}})
		}, warn, "MTU", "IPv6 needs 1280", "raise"},
		{"no plugin", func(p *patient) { p.node.Plugins = p.node.Plugins[1:] }, bad, "CNI plugins", "bridge is not in", "install-cni"},
		{"no portmap", func(p *patient) { p.node.Plugins = []string{"bridge", "host-local", "loopback", "kube-router-cni"} }, warn, "CNI plugins", "portmap", "install-cni"},
		{"no CNI folder", func(p *patient) { p.node.CNIError = no }, bad, "CNI file", "not supported", "mount it"},
		{"another network", func(p *patient) { p.node.CNIFiles = []string{"05-cilium.conflist", "10-kuberouter.conflist"} }, bad, "CNI file", "comes before", "remove /etc/cni/net.d/05-cilium.conflist"},
		{"no CNI file", func(p *patient) { p.node.CNIFiles = nil }, warn, "CNI file", "not there yet", "pod CIDR"},
		{"no API", func(p *patient) { p.api = apiFacts{err: no} }, bad, "API server", "no answer", "--kubeconfig"},
		{"no rights", func(p *patient) {
			p.api.denied = []right{{"list", "discovery.k8s.io", "endpointslices", ""}, {"patch", "", "nodes", "status"}}
		},
			bad, "API rights", "list endpointslices.discovery.k8s.io, patch nodes/status", "ClusterRole"},
		{"rights unknown", func(p *patient) { p.api.unasked = no }, warn, "API rights", "can't be asked", ""},
		{"no Node", func(p *patient) { p.api.node = nil; p.api.nodeErr = errors.New("not found") }, bad, "node", `no Node "n1"`, "--hostname-override"},
		{"no pod CIDR", func(p *patient) { p.api.node.PodCIDRs = nil }, bad, "pod CIDR", "no IPv4 pod CIDR", "--allocate-node-cidrs"},
		{"no address", func(p *patient) { p.api.node.InternalIPs = nil }, bad, "node address", "no IPv4 address", "--node-ip"},
		{"address elsewhere", func(p *patient) { p.model.Delete(model.Ref{Kind: model.KindLink, Name: model.Name{Name: "eth0"}}) }, bad, "node address", "on no link", "--node-ip"},
	} {
		p := healthy()
		c.harm(p)
		found := false
		list := examine(p)
		for _, f := range list {
			found = found || f.Verdict == c.verdict && f.Check == c.check && strings.Contains(f.What, c.says) && strings.Contains(f.Fix, c.fix)
		}
		if !found {
			t.Errorf("%s: want %s %q with %q, fixed by %q; have", c.name, c.verdict, c.check, c.says, c.fix)
			for _, f := range list {
				t.Logf("  %+v", f)
			}
		}
	}
}

func TestDoctorReport(t *testing.T) {
	page, wrong := report([]finding{{fine, "a", "good", ""}, {bad, "b", "broken", "glue"}, {warn, "c", "loose", "tighten"}}, false)
	if wrong != 1 {
		t.Errorf("%d are wrong", wrong)
	}
	for format, want := range map[show.Format]string{
		show.Text: "bad      b      broken\n                → glue\n", show.JSON: `"verdict": "bad"`, show.YAML: "fix: glue",
	} {
		var b strings.Builder
		if err := page.Print(&b, format); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%s: %v\n%s", format, err, b.String())
		}
	}
	if len(page.Rows) != 4 || page.Rows[0][0] == "ok" {
		t.Errorf("what is well is told: %v", page.Rows)
	}
	if page, _ = report([]finding{{fine, "a", "good", ""}, {bad, "b", strings.Repeat("word ", 40), ""}}, true); len(page.Rows) != 4 {
		t.Errorf("not all, or not wrapped: %q", page.Rows)
	}
	page, _ = report([]finding{{fine, "a", "good", ""}, {bad, "b", "broken", "glue"}, {warn, "c", "loose", "tighten"}}, false)
	if !strings.Contains(page.Note, "3 checks: 1 ok, 1 warn, 1 bad") {
		t.Error(page.Note)
	}
}

// What isn't used isn't asked for.
func TestRightsAndNeedsFollowTheSettings(t *testing.T) {
	s := &model.Settings{Proxy: true, IPv4: true}
	text := ""
	for _, r := range rights(s) {
		text += r.String() + ";"
	}
	if text != "list nodes;watch nodes;list services;watch services;list addresspools.kube-router.io;watch addresspools.kube-router.io;"+
		"list l2advertisements.kube-router.io;watch l2advertisements.kube-router.io;list endpointslices.discovery.k8s.io;watch endpointslices.discovery.k8s.io;"+
		"list pods;watch pods;create events.events.k8s.io;" {
		t.Error(text)
	}
	all := &model.Settings{Proxy: true, Router: true, Firewall: true, Balancer: true, Gateways: true, IPv4: true}
	for _, r := range rights(all) {
		if r.verb == "" || r.resource == "" {
			t.Errorf("a right to %q of nothing", r)
		}
	}
	for _, want := range []right{{"watch", "kube-router.io", "nodepolicies", ""}, {"list", "kube-router.io", "egressgateways", ""}} {
		if !slices.Contains(rights(all), want) {
			t.Errorf("%s is not asked for", want)
		}
	}
	s.Services.Engine = model.EngineNftables
	for _, n := range needs(s) {
		if n.facility != probe.Nftables && n.facility != probe.Conntrack && n.facility != probe.BrNetfilter {
			t.Errorf("a proxy alone needs no %s", n.facility)
		}
	}
}
