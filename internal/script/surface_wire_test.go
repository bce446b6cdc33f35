package script

// Keys of the story, as wg(8) prints them: n2's and others. The story says that who has n2's key has answered.
const (
	keyOfN2  = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
	keyOther = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="
	withWire = "--encryption=wireguard"
)

func wireEffects() []effect {
	return []effect{
		{name: "encryption", value: "wireguard",
			less: []string{"cni: mtu 1480", "cni has: 1480", "rtnl: link kube-bridge mtu 1480"},
			more: []string{"cni: mtu 1440", "cni has: 1440", "rtnl: link kube-wg mtu 1440 up type wireguard", "rtnl: wg kube-wg public-key AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE= listen-port 51890",
				"nft: wire-out", "sysctl: net.ipv4.conf.kube-wg.rp_filter", "remark: not encrypted: it has no key of WireGuard"}},
		{name: "encryption-strict", value: "true", also: withWire + " --cluster-cidr=10.244.0.0/16",
			less: []string{"nft: wire-out", "remark: not encrypted"},
			more: []string{"nft: ip daddr @wire-pods4 ip daddr != @wire-own4 counter goto wire-clear", "nft: ip saddr @wire-pods4 ip saddr != @wire-own4 counter goto wire-clear",
				"rtnl: route unreachable 10.244.0.0/16", "remark: dropped (--encryption-strict): it has no key"}},
		{name: "wireguard-port", value: "1234", also: withWire, less: []string{"rtnl: listen-port 51890"}, more: []string{"rtnl: listen-port 1234"}},
		{name: "wireguard-userspace", value: "always", also: withWire,
			less: []string{"rtnl: link kube-wg mtu 1440 up type wireguard"}, more: []string{"rtnl: link kube-wg mtu 1440 up type tun", "remark: process of its own"}},
	}
}

// wireNotes are annotations of n2, a peer by its key.
func wireNotes() []note {
	const peer = "rtnl: wg kube-wg peer " + keyOfN2
	list := []note{
		on("wireguard-key", keyOfN2, withWire, lines{"remark: Node n2: what is sent to its pods is not encrypted"},
			lines{peer + " endpoint 10.0.0.2:51890", peer + " allowed-ips 10.244.2.0/24", peer + " allowed-ips 10.0.0.2", "rtnl: route 10.244.2.0/24 dev kube-wg proto 17 src 10.0.0.1", "rtnl: route 10.0.0.2 dev kube-wg table 77"}, "x"),
		on("wireguard-also", keyOther, withWire, nil, lines{"rtnl: wg kube-wg peer " + keyOther + " endpoint 10.0.0.2:51890"}, "x"),
		on("wireguard-port", "1234", withWire, lines{peer + " endpoint 10.0.0.2:51890"}, lines{peer + " endpoint 10.0.0.2:1234"}, "x"),
		on("node.wireguard.endpoint", "192.0.2.7:4321", withWire, lines{peer + " endpoint 10.0.0.2:51890"}, lines{peer + " endpoint 192.0.2.7:4321"}, "x"),
		on("node.wireguard.endpoint", "none", withWire, lines{peer + " endpoint 10.0.0.2:51890"}, lines{peer + " persistent-keepalive 25"}, "127.0.0.1:1"),
		on("node.wireguard.keepalive", "9", withWire, lines{peer + " endpoint 10.0.0.2:51890"}, lines{peer + " endpoint 10.0.0.2:51890 persistent-keepalive 9"}, "x"),
		on("node.wireguard.revoked", keyOfN2, withWire, lines{peer, "rtnl: route 10.244.2.0/24 dev kube-wg"}, lines{"remark: its key is revoked"}, "x"),
	}
	const report = "reports: policystatus cluster nodes=3 silent=0"
	list = append(list, on("policies-not-in-force", "NetworkPolicy default/p", "", lines{report}, lines{report + " not in force: NetworkPolicy default/p: in force on 2 of 3 nodes, not on n2"}, "p"))
	for i := range list {
		list[i].node = "n2"
		if i > 0 && list[i].also == withWire {
			list[i] = list[i].beside("wireguard-key", keyOfN2)
		}
	}
	return list
}
