package docs

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/intent"
	"kube-router/internal/render/ipvs"
	"kube-router/internal/render/linux"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
)

const tablesFile = "tables.md"

const tablesHead = `# What we own on a node

Made from the code by ` + "`go test ./docs -update`" + `; a test fails when the two differ. The examples are of node 10.0.0.1
(fd00::1) with the pod ranges 10.244.1.0/24 and fd00:10:244:1::/64. Everything is recognised by what it is, without any memory of having
made it: kube-router changes and removes what is listed here and nothing else, and ` + "`kube-router cleanup`" + ` removes all of it.
` + "`kube-router show rows TABLE`" + ` prints what stands now, with who wants it.

`

// block is a list of rows in the words of the tool that shows them.
func block[R fmt.Stringer](b *strings.Builder, title, text string, rows []R) {
	if text != "" {
		text += "\n\n"
	}
	fmt.Fprintf(b, "## %s\n\n%s```\n", title, text)
	seen := map[string]bool{}
	for _, r := range rows {
		if line := r.String(); !seen[line] {
			seen[line] = true
			b.WriteString(line + "\n")
		}
	}
	b.WriteString("```\n\n")
}

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// frame keeps base chains, sets and maps: what is there without any Service, pod or policy.
func frame(rows []row.Nft) []row.Nft {
	return slices.DeleteFunc(slices.Clone(rows), func(r row.Nft) bool {
		switch r.(type) {
		case row.NftChain, row.NftSet:
			return false
		}
		return true
	})
}

func tables() string {
	var b strings.Builder
	b.WriteString(tablesHead)
	host := &intent.Host{
		V4: true, V6: true, Uplinks: []string{"eth0"}, Bridge: true, Bridged: true, MTU: 1480,
		CNI: &intent.CNI{File: "/etc/cni/net.d/10-kuberouter.conflist", Ranges: prefixes("10.244.1.0/24", "fd00:10:244:1::/64"), MTU: 1480},
	}
	linuxTables(&b, host)
	nftTables(&b)
	guardTable(&b)
	block(&b, "Rules in others' chain: FORWARD of iptables", "Only where that chain would drop packets of pods, and not with `--foreign-forward-accept=false`; at its end with `--run-firewall=false`. The one thing\n"+
		"that we write into what others own, known by the comment `"+row.ForwardComment+"`.", slices.Concat(
		linux.Forward(&intent.Forward{Pods: prefixes("10.244.0.0/16")}), linux.Forward(&intent.Forward{Pods: prefixes("fd00:10:244::/56")})))
	sysctls := append(linux.Sysctls(host), linux.Accounting())
	block(&b, "Settings", "Below /proc/sys. What each was before is kept in `sysctl.json` beside the control socket (below /run) and comes back at cleanup,\n"+
		"unless somebody else has changed it since. “Where it was 1”: another value is the operator's choice and stays.", sysctls)
	block(&b, "Settings of the ipvs engine", "Only where that engine runs.", ipvs.Sysctls([]string{"eth0"}))
	block(&b, "The CNI file", "Shared with its user: plugins and keys of others stay, and what was there before comes back at cleanup.", linux.Conflists(host))
	others(&b)
	return b.String()
}

func linuxTables(b *strings.Builder, host *intent.Host) {
	a, far, far6 := netip.MustParseAddr, netip.MustParseAddr("10.0.9.2"), netip.MustParseAddr("fd00:9::2")
	rows := linux.Links(host)
	for _, r := range []*intent.Route{
		{Prefix: prefixes("10.244.2.0/24")[0], Hops: []intent.Hop{{Via: a("10.0.0.2"), Dev: "eth0"}}, Source: a("10.0.0.1")},
		{Prefix: prefixes("10.244.3.0/24")[0], Hops: []intent.Hop{{Tunnel: &intent.Tunnel{Encap: intent.IPIP, Local: a("10.0.0.1"), Remote: far, MTU: 1480}}}},
		{Prefix: prefixes("10.244.4.0/24")[0], Hops: []intent.Hop{{Tunnel: &intent.Tunnel{Encap: intent.FOU, Local: a("10.0.0.1"), Remote: a("10.0.9.3"), MTU: 1472, Port: 5555}}}},
		{Prefix: prefixes("10.244.5.0/24")[0], Hops: []intent.Hop{{Tunnel: &intent.Tunnel{Encap: intent.VXLAN, Local: a("10.0.0.1"), Remote: a("10.0.9.4"), MTU: 1450, Port: 8472}}}},
		{Prefix: prefixes("fd00:10:244:3::/64")[0], Hops: []intent.Hop{{Tunnel: &intent.Tunnel{Encap: intent.IPIP, Local: a("fd00::1"), Remote: far6, MTU: 1440}}}},
		{Prefix: prefixes("10.244.1.0/24")[0], Refuse: true},
	} {
		rows = append(rows, linux.Route(r)...)
	}
	rows = append(rows, linux.PodTable(&intent.PodTable{Sources: prefixes("10.244.1.0/24", "fd00:10:244:1::/64")})...)
	block(b, "Links, addresses, routes and rules", fmt.Sprintf("Links by their names: `%s`, `%s` (ipvs engine), `%s`, `%s`, and `tun-` with eleven hex digits.\n"+
		"Routes and rules by protocol %d. Routing tables: %d (what pods send to nodes behind tunnels), %d (DSR) and %d (external addresses of DSR\n"+
		"services), named `kube-router`, `kube-router-dsr` and `external_ip` by the reference. A node reached through a tunnel is shown once\n"+
		"for each kind of tunnel.",
		row.BridgeName, row.DummyName, row.VxlanName, row.Vxlan6Name, row.RouteProtocol, row.TablePods, row.TableDSR, row.TableExternal), rows)
}

func nftTables(b *strings.Builder) {
	inside := prefixes("10.244.1.0/24", "fd00:10:244:1::/64")
	services := nft.ServiceSkeleton(nft.ServiceParams{IPv4: true, IPv6: true, Inside: inside})
	fmt.Fprintf(b, "## Rules: table inet %s\n\nOne table of nftables holds all of them. Shown are its base chains with hook and priority, and its sets and maps:\n"+
		"what is there on a node without Services and policies. Chains and elements come with what they are about.\n\n"+
		"| mark | meaning |\n|---|---|\n| `0x%x` | leaves with the node's address (masquerade); also kube-proxy's |\n"+
		"| low 14 bits | DSR services of the ipvs engine: which virtual server takes the packet |\n\n", row.NftTable, nft.MasqueradeMark)
	block(b, "Rules: Services, nftables engine", "", frame(services))
	block(b, "Rules: Services, ipvs engine", "Beside the virtual servers that `ipvsadm -Ln` shows.", frame(nft.IpvsSkeleton(nft.IpvsParams{
		ServiceParams: nft.ServiceParams{IPv4: true, IPv6: true, Inside: inside}, MTU: 1480,
	})))
	block(b, "Rules: network policies", "", frame(nft.FirewallBase(&intent.FirewallBase{V4: true, V6: true, Ranges: inside})))
	block(b, "Rules: pods' way out", "", append(
		nft.Egress(&intent.Egress{Pods: inside, Keep: prefixes("192.0.2.0/24"), Refuse: prefixes("10.96.0.0/12")}), nft.Peer(&intent.Peer{Ranges: inside, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}})...))
	block(b, "Rules: what has no way", "Unless `--flows=off`: the errors that the kernel sends, by which `show drops` and `flows` know of packets without a route or neighbour.", nft.Unrouted())
	block(b, "Rules: who may speak to tunnels", "With overlays; here of vxlan. The nodes are those of host-nodes.", nft.TunnelGuard(
		&intent.TunnelGuard{V4: true, V6: true, Encap: intent.VXLAN, Port: 8472, Own: append(inside, prefixes("10.96.0.0/12")...)}))
	block(b, "Rules: whose BFD packets count", "With `--enable-bfd`, or a peer with `bfd`; here beside two routers, one in the node's subnet and one of three hops. The nodes are those of host-nodes.",
		nft.BFDGuard(&intent.BFDGuard{Nodes: true, Near: prefixes("10.0.0.0/24", "fd00::/64"), Peers: []intent.BFDPeer{
			{Addr: netip.MustParseAddr("10.0.0.200"), MinTTL: 255}, {Addr: netip.MustParseAddr("2001:db8::1"), MinTTL: 253}}}))
}

func guardTable(b *strings.Builder) {
	rows := nft.GuardBase()
	for _, p := range []*intent.Port{
		{Kind: intent.PodPort, Name: "veth1", Pod: "default/web", MAC: [6]byte{2, 0, 0, 0, 0, 1}, Addrs: []netip.Addr{
			netip.MustParseAddr("10.244.1.5"), netip.MustParseAddr("fd00:10:244:1::5"), netip.MustParseAddr("fe80::ff:fe00:1")}},
		{Kind: intent.FreePort, Name: "veth2", Pod: "vms/one"},
	} {
		rows = append(rows, nft.GuardPort(p)...)
	}
	block(b, "Frames: table bridge "+row.NftTable, "The guard of pods' ports: a frame that comes in there is the pod's own, or it ends. Shown with a pod at port veth1, and one at veth2\n"+
		"whose Namespace frees its pods.", rows)
}

func others(b *strings.Builder) {
	b.WriteString(`## Elsewhere

| where | what | known by |
|---|---|---|
| IPVS | virtual servers and destinations (ipvs engine) | address on ` + row.DummyName + `, or our mark |
| conntrack | nothing is kept; flows to endpoints that have gone are ended | the Service's address and port |
| BGP | paths, peers and policies of our own speaker | they end with the process |
| /run/kube-router | control socket, CNI socket, sysctl.json | the folder |
| Node | condition NetworkUnavailable=False | its reason |
| Service | status.loadBalancer of the allocator | written by the leader; class of ours |
| AddressPool | status: what is left, conditions | written by the leader |
| Event | remarks | its name |
`)
}

// TestTables compares the document with the code.
func TestTables(t *testing.T) {
	want := tables()
	if *update {
		if err := os.WriteFile(tablesFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, text(t, tablesFile)); diff != "" {
		t.Errorf("%s is not what the code says (-code +document); go test ./docs -update\n%s", tablesFile, diff)
	}
}
