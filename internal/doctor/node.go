package doctor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"kube-router/internal/driver/probe"
	"kube-router/internal/model"
	"kube-router/internal/plan/host"
	"kube-router/internal/podlink"
	"kube-router/internal/row"
	"kube-router/internal/show"
)

// rivals are programs that do what we do.
var rivals = map[string]string{
	"flanneld": "pods' network", "calico-node": "pods' network", "cilium-agent": "pods' network", "antrea-agent": "pods' network",
}

func checkOthers(p *patient) []finding {
	if p.nodeErr != nil {
		return []finding{{warn, "node", p.nodeErr.Error(), "run the doctor as root, in the daemon's container"}}
	}
	var list []finding
	if p.proxy && p.s.Proxy && !slices.Contains(p.node.Processes, "kube-proxy") {
		list = append(list, p.process("kube-proxy")) // a container doesn't see it
	}
	for _, name := range p.node.Processes {
		if f := p.process(name); f.Verdict != "" {
			list = append(list, f)
		}
	}
	list = append(list, foreignChains(p.model)...)
	if len(list) == 0 {
		list = append(list, finding{fine, "other programs", "none that would be in the way", ""})
	}
	return list
}

// foreignChains judges the chains of others that packets of pods pass.
func foreignChains(m *model.Model) []finding {
	var list []finding
	blocked := host.Blocked(m)
	for _, c := range blocked {
		list = append(list, finding{bad, "other rules", fmt.Sprintf("chain %s drops packets of pods", c), host.OpenIt})
	}
	for _, r := range slices.SortedFunc(slices.Values(m.Refs(model.KindForeign)), model.Ref.Compare) {
		c := m.Foreign[r.Name.Name]
		if c.Closed && !slices.Contains(blocked, c) && !(c.Iptables() && m.Settings.Router && m.Settings.Accept) {
			list = append(list, finding{warn, "other rules", fmt.Sprintf("chain %s drops what it doesn't accept itself, packets of pods included", c), host.OpenIt})
		}
	}
	return list
}

// proxyAnswers tells whether kube-proxy itself answers at its own port. We answer there, too, but not to this question.
func proxyAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	url := fmt.Sprintf("http://127.0.0.1:%d/healthz", show.ProxyModePort)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// process judges a running program.
func (p *patient) process(name string) finding {
	switch {
	case name == "kube-proxy" && p.s.Proxy:
		return finding{bad, "other programs", "kube-proxy runs: two programs carry Services",
			"kubectl -n kube-system delete daemonset kube-proxy; see docs/taking-over.md"}
	case rivals[name] != "" && p.s.Router:
		return finding{bad, "other programs", name + " runs: two programs make " + rivals[name], "remove one of them; or --run-router=false here"}
	case name == "kube-router" && !p.running:
		return finding{warn, "other programs", "a kube-router runs that does not answer at " + p.socket, "an older one must end before this one starts; or name its --control-socket"}
	case name == "firewalld":
		return finding{warn, "other programs", "firewalld runs: it may drop packets of pods, and flushes rules of iptables when it reloads",
			"firewall-cmd --permanent --zone=trusted --add-interface=kube-bridge (and tun-*); or stop it"}
	case name == "NetworkManager":
		return finding{warn, "other programs", "NetworkManager runs: it may take over links of pods",
			"in /etc/NetworkManager/conf.d/kube-router.conf: [keyfile] unmanaged-devices=interface-name:kube-*;interface-name:tun-*;interface-name:veth*"}
	}
	return finding{}
}

func checkLeftovers(p *patient) []finding {
	if len(p.leftovers) == 0 {
		return []finding{{fine, "leftovers", "none of kube-router v2 or kube-proxy", ""}}
	}
	of, legacy := map[string]int{}, 0
	for _, l := range p.leftovers {
		of[l.Of]++
		if l.Kind == row.LeftoverLegacy {
			legacy++
		}
	}
	var list []finding
	for _, program := range slices.Sorted(maps.Keys(of)) {
		list = append(list, finding{warn, "leftovers", show.Count(of[program], "thing") + " of " + program, "start once with --take-over; see docs/taking-over.md"})
	}
	if legacy > 0 {
		list = append(list, finding{warn, "leftovers", fmt.Sprintf("%d chains were made by iptables-legacy", legacy),
			"iptables-legacy-save | grep -v KUBE- | iptables-legacy-restore, and ip6tables-legacy; or restart the node"})
	}
	return list
}

// checkMTU compares the pods' MTU with what the uplinks and tunnels can carry.
func checkMTU(p *patient) []finding {
	hosts, remarks := host.Plan(p.model)
	if p.node == nil || len(hosts) == 0 || !hosts[0].Bridge || hosts[0].MTU == 0 {
		return nil
	}
	want := hosts[0].MTU
	list := []finding{{fine, "MTU", fmt.Sprintf("pods get %d", want), ""}}
	for _, r := range remarks {
		if strings.Contains(r.Message, "MTU") {
			list[0] = finding{warn, "MTU", r.Message, "raise the MTU of the node's links"}
		}
	}
	for _, l := range p.node.Links {
		if l.Name == row.BridgeName && l.MTU > want {
			list = append(list, finding{warn, "MTU", fmt.Sprintf("%s has %d: large packets of pods don't fit into the tunnel", l.Name, l.MTU),
				"--auto-mtu, or `ip link set kube-bridge mtu " + fmt.Sprint(want) + "` and restart the pods"})
		}
	}
	return list
}

// bridgeLink is how the bridge plugin calls the node's end of a pod's cable.
var bridgeLink = regexp.MustCompile(`^veth[0-9a-f]{8}$`)

func podLink(name string) bool { return bridgeLink.MatchString(name) || podlink.OurLink(name) }

// checkBridge finds pods that lost their bridge: it is made anew when somebody removes it, but only the pods' own start
// puts cables into it. Everything else looks well then.
func checkBridge(p *patient) []finding {
	if !p.s.Router || !p.s.CNI.Enabled || p.node == nil {
		return nil
	}
	ports, loose := 0, []string{}
	for _, l := range p.node.Links {
		switch {
		case l.Master == row.BridgeName:
			ports++
		case l.Kind == "veth" && l.Master == "" && podLink(l.Name):
			loose = append(loose, l.Name)
		}
	}
	if len(loose) == 0 {
		return []finding{{fine, "bridge", show.Count(ports, "pod") + " attached to " + row.BridgeName, ""}}
	}
	f := finding{warn, "bridge", fmt.Sprintf("%s of pods attached to no bridge, %d to %s: %s", show.Count(len(loose), "link"), ports, row.BridgeName, show.List(first(loose))),
		"if another network didn't make them, their pods are cut off: kubectl delete pod; `ip -o link show type veth` shows by link-netnsid which"}
	if ports == 0 {
		f.Verdict, f.Fix = bad, row.BridgeName+" was removed and made anew: restart the pods of this node (kubectl delete pod); each new one plugs itself in"
	}
	return []finding{f}
}

// plugins are the CNI plugins that our part of the CNI file names, and what it costs to lack one.
func plugins(s *model.Settings) map[string]verdict {
	if s.CNI.Plugin == model.PluginOwn && s.CNI.Socket != "" {
		return map[string]verdict{"kube-router-cni": bad, "loopback": bad, "portmap": warn}
	}
	list := map[string]verdict{"bridge": bad, "host-local": bad, "loopback": bad, "portmap": warn}
	if s.Firewall && s.CNI.Socket != "" {
		list["kube-router-cni"] = warn
	}
	return list
}

func checkCNI(p *patient) []finding {
	if !p.s.Router || !p.s.CNI.Enabled || p.node == nil {
		return nil
	}
	var list []finding
	want := plugins(p.s)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !slices.Contains(p.node.Plugins, name) {
			list = append(list, finding{want[name], "CNI plugins", name + " is not in " + pluginDir, "the init container install-cni of deploy/ puts it there"})
		}
	}
	if len(list) == 0 {
		list = append(list, finding{fine, "CNI plugins", "all are in " + pluginDir + " (--cni-plugin=" + string(cmp.Or(p.s.CNI.Plugin, model.PluginChain)) + ")", ""})
	}
	return append(list, cniFile(p.s.CNI.File, p.node))
}

// cniFile tells whether the runtime takes our file: it takes the first by name.
func cniFile(path string, n *probe.Node) finding {
	dir, ours := filepath.Dir(path), filepath.Base(path)
	switch {
	case n.CNIError != nil:
		return finding{bad, "CNI file", n.CNIError.Error(), "make " + dir + ", and mount it into the container"}
	case len(n.CNIFiles) > 0 && n.CNIFiles[0] < ours:
		return finding{bad, "CNI file", fmt.Sprintf("%s comes before %s: pods are connected by another network", n.CNIFiles[0], ours),
			"remove " + filepath.Join(dir, n.CNIFiles[0])}
	case !slices.Contains(n.CNIFiles, ours):
		return finding{warn, "CNI file", path + " is not there yet", "kube-router writes it once this node has a pod CIDR"}
	}
	return finding{fine, "CNI file", path + " is the one that counts", ""}
}
