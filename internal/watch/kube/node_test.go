package kube

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/model"
)

func TestConvertNode(t *testing.T) {
	labels := map[string]string{"topology.kubernetes.io/zone": "z1", "node.kubernetes.io/exclude-from-external-load-balancers": ""}
	n := ConvertNode(decode[corev1.Node](t, `
metadata: {name: n1, uid: u, labels: {topology.kubernetes.io/zone: z1, node.kubernetes.io/exclude-from-external-load-balancers: ""}}
spec: {podCIDR: 10.1.0.0/24, podCIDRs: [10.1.0.0/24, "fd00:1::/64", bad], unschedulable: true, providerID: "aws:///x/i-1"}
status:
	addresses:
	- {type: Hostname, address: n1}
	- {type: ExternalIP, address: 203.0.113.1}
	- {type: InternalIP, address: 192.0.2.1}
	- {type: InternalIP, address: "2001:db8::1"}
	- {type: InternalIP, address: 192.0.2.1}
	- {type: InternalIP, address: 127.0.0.1}
`))
	sameRemarks(t, []string{
		`status.addresses[5]: 127.0.0.1 ignored: a loopback address`,
		`spec.podCIDRs[2]: "bad" ignored: not a CIDR`,
	}, n.Remarks)
	n.Remarks = nil
	same(t, &model.Node{
		Name: "n1", UID: "u", InternalIPs: addrs("192.0.2.1", "2001:db8::1"), ExternalIPs: addrs("203.0.113.1"),
		PodCIDRs: prefixes("10.1.0.0/24", "fd00:1::/64"), Zone: "z1", Labels: labels,
		Unschedulable: true, ExcludeFromLB: true,
	}, n)
}

func TestConvertNodePodCIDRs(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"spec.podCIDR alone":       {`{spec: {podCIDR: 10.1.0.0/24}}`, []string{"10.1.0.0/24"}},
		"pod-cidr":                 {`{metadata: {annotations: {kube-router.io/pod-cidr: 10.2.0.0/24}}, spec: {podCIDRs: [10.1.0.0/24]}}`, []string{"10.2.0.0/24"}},
		"pod-cidrs":                {`{metadata: {annotations: {kube-router.io/pod-cidrs: "10.3.0.0/24, fd00::/64"}}, spec: {podCIDRs: [10.1.0.0/24]}}`, []string{"10.3.0.0/24", "fd00::/64"}},
		"pod-cidrs goes first":     {`{metadata: {annotations: {kube-router.io/pod-cidr: 10.2.0.0/24, kube-router.io/pod-cidrs: 10.3.0.0/24}}}`, []string{"10.3.0.0/24"}},
		"nothing good: from spec":  {`{metadata: {annotations: {kube-router.io/pod-cidrs: junk}}, spec: {podCIDRs: [10.1.0.0/24]}}`, []string{"10.1.0.0/24"}},
		"none":                     {`{}`, nil},
		"host bits are no problem": {`{spec: {podCIDR: 10.1.0.7/24}}`, []string{"10.1.0.0/24"}},
	} {
		t.Run(name, func(t *testing.T) {
			same(t, prefixes(c.want...), ConvertNode(decode[corev1.Node](t, c.text)).PodCIDRs)
		})
	}
}

func u32(n uint32) *uint32 { return &n }

func TestNodeAnnotations(t *testing.T) {
	n := ConvertNode(decode[corev1.Node](t, `
metadata:
	annotations:
		kube-router.io/node.asn: "64513"
		kube-router.io/node.bgp.communities: 64512:100, no_export ,4294967041,65000:1:4294967295
		kube-router.io/node.bgp.customimportreject: 10.0.0.0/16, 2001:db8::/48
		kube-router.io/node.bgp.local-pref: "200"
		kube-router.io/node.bgp.med: "0"
		kube-router.io/path-prepend.as: "64513"
		kube-router.io/path-prepend.repeat-n: "5"
		kube-router.io/rr.server: 10.0.0.1
		kube-router.io/bgp-local-addresses: 10.0.0.1,127.0.0.1
		kube-router.io/peers: |
			- remoteip: 10.0.0.9
				remoteasn: 64600
				localip: 10.0.0.1
				password: c2VjcmV0
				port: 1179
				bfd: {enabled: true, port: 3785, detection_multiplier: 5, required_min_rx_interval: 300, desired_min_tx_interval: 250}
			- remoteip: "2001:db8::9"
				remoteasn: 4200000001
				bfd: {enabled: true}
			- {remoteip: 127.0.0.1, remoteasn: 64600, bfd: {enabled: false, port: 99999}}
`))
	sameRemarks(t, nil, n.Remarks)
	same(t, model.NodeOptions{
		ASN: 64513, Communities: []string{"64512:100", "no-export", "65535:65281", "65000:1:4294967295"},
		ImportReject: prefixes("10.0.0.0/16", "2001:db8::/48"), LocalPref: u32(200), MED: u32(0),
		PrependAS: 64513, PrependTimes: 5, RRServer: "10.0.0.1", BGPLocalAddrs: addrs("10.0.0.1", "127.0.0.1"),
		Peers: []model.Peer{
			{Addr: addrs("10.0.0.9")[0], ASN: 64600, Port: 1179, Local: addrs("10.0.0.1")[0], Password: "secret",
				BFD: &model.BFD{Port: 3785, Multiplier: 5, MinRx: 300 * time.Millisecond, MinTx: 250 * time.Millisecond}},
			{Addr: addrs("2001:db8::9")[0], ASN: 4200000001, BFD: &model.BFD{Multiplier: 3, MinRx: time.Second, MinTx: time.Second}},
			{Addr: addrs("127.0.0.1")[0], ASN: 64600},
		},
	}, n.Options)
}

func TestNodeAnnotationFaults(t *testing.T) {
	for text, want := range map[string][]string{
		`node.asn: "0"`:                       {`kube-router.io/node.asn: 0 ignored: a reserved AS number`},
		`node.asn: "4294967296"`:              {`kube-router.io/node.asn: "4294967296" ignored: not an AS number`},
		`node.asn: "64512"`:                   nil,
		`node.bgp.communities: "1:2,70000:1"`: {`kube-router.io/node.bgp.communities: "70000:1" ignored: not a community (a 32-bit number, 16:16, x:y:z or a well-known name)`},
		`node.bgp.med: "-1"`:                  {`kube-router.io/node.bgp.med: "-1" ignored: not a number from 0 to 4294967295`},
		`path-prepend.as: "1"`:                {`kube-router.io/path-prepend.as: ignored: needs kube-router.io/path-prepend.repeat-n`},
		`path-prepend.repeat-n: "1"`:          {`kube-router.io/path-prepend.repeat-n: ignored: needs a valid kube-router.io/path-prepend.as`},
		`path-prepend.as: "1", kube-router.io/path-prepend.repeat-n: "0"`: {`kube-router.io/path-prepend.repeat-n: "0" ignored: not a number from 1 to 255`},
		`rr.client: "1", kube-router.io/rr.server: "1"`:                   {`kube-router.io/rr.client: ignored: the node is a reflector by kube-router.io/rr.server, and can't be both`},
		`rr.client: "fd00::1"`: {`kube-router.io/rr.client: "fd00::1" ignored: a cluster id is a 32-bit number or an IPv4 address`},
		`pod-cidrs: "0.0.0.0/0,::/0"`: {
			`kube-router.io/pod-cidrs: 0.0.0.0/0 ignored: all addresses are no range of pods`,
			`kube-router.io/pod-cidrs: ::/0 ignored: all addresses are no range of pods`,
			`kube-router.io/pod-cidrs: no CIDR in "0.0.0.0/0,::/0"`},
		`bgp-local-addresses: "224.0.0.1,0.0.0.0"`: {`kube-router.io/bgp-local-addresses: 224.0.0.1 ignored: nobody's address`},
		`pod-cidrs: ""`:               {`kube-router.io/pod-cidrs: no CIDR in ""`},
		`node.bgp.comunities: "1:2"`:  {`kube-router.io/node.bgp.comunities: unknown annotation ignored`},
		`peer.asns: "1"`:              {`kube-router.io/peer.asns: ignored: needs kube-router.io/peer.ips`},
		`peers: "remoteip: 10.0.0.1"`: {`kube-router.io/peers: ignored: not a YAML list of peers`},
		`peers: "- a: 1\nb"`:          {`kube-router.io/peers: ignored: not a YAML list of peers, line 3`},
		`peers: "- {remoteip: x, remoteasn: 1}\n- {remoteip: 10.0.0.1, remoteasn: 65000}\n- {remoteip: 10.0.0.1, remoteasn: 65000}"`: {
			`kube-router.io/peers: peer 1 ignored: remoteip: "x" ignored: not an IP address`,
			`kube-router.io/peers: peer 10.0.0.1 ignored: already given`},
		`peers: "- {remoteip: 10.0.0.1, remoteasn: 65000, pasword: c2VjcmV0}"`:                                      {`kube-router.io/peers: peer 1: json: unknown field "pasword"`},
		`peers: "- {remoteip: 10.0.0.1, remoteasn: 65000, password: not base64}"`:                                   {`kube-router.io/peers: peer 1 ignored: password: not base64`},
		`peers: "- {remoteip: 10.0.0.1, remoteasn: 65000, password: 12345678}"`:                                     {`kube-router.io/peers: peer 1 ignored: password: not a string`},
		`peers: "- {remoteip: 10.0.0.1, remoteasn: 65000, password: ` + strings.Repeat("YWFh", 27) + `}"`:           {`kube-router.io/peers: peer 1 ignored: password: longer than 80 bytes, the most that TCP MD5 (RFC 2385) takes in Linux`},
		`peers: "- {remoteip: 10.0.0.1, remoteasn: 65000, password: '  '}"`:                                         {`kube-router.io/peers: peer 1 ignored: password: there is nothing in it`},
		`peers: "- {remoteip: 10.0.0.1, remoteasn: 65000, password: ''}"`:                                           nil,
		`peers: "- {remoteip: 10.0.0.1, remoteasn: 65000, port: 65536}"`:                                            {`kube-router.io/peers: peer 1 ignored: port: 65536 is not a port from 1 to 65535`},
		`peers: "- {remoteip: 10.0.0.1, remoteasn: 99999999999}"`:                                                   {`kube-router.io/peers: peer 1 ignored: remoteasn: 99999999999 is not an AS number`},
		`peers: "- {remoteip: 10.0.0.1, remoteasn: 65000, bfd: {enabled: true, detection_multiplier: 256}}"`:        {`kube-router.io/peers: peer 1 ignored: bfd.detection_multiplier: 256 is not from 1 to 255`},
		`peers: "- {remoteip: 10.0.0.1, remoteasn: 65000, bfd: {enabled: true, desired_min_tx_interval: 4294968}}"`: {`kube-router.io/peers: peer 1 ignored: bfd.desired_min_tx_interval: 4294968 ms is more than the protocol can carry`},
		`peers: "- 7"`: {`kube-router.io/peers: peer 1 ignored: not a mapping of a peer's fields`},
	} {
		t.Run(text, func(t *testing.T) {
			n := ConvertNode(decode[corev1.Node](t, `{metadata: {annotations: {kube-router.io/`+text+`}}}`))
			sameRemarks(t, want, n.Remarks)
		})
	}
}

func TestOldPeers(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		want    []model.Peer
		remarks []string
	}{
		"all lists": {`peer.ips: "10.0.0.1,10.0.0.2", kube-router.io/peer.asns: "65001,65002", kube-router.io/peer.ports: "1179,", kube-router.io/peer.passwords: ",c2VjcmV0", kube-router.io/peer.localips: "10.0.0.8,"`,
			[]model.Peer{{Addr: addrs("10.0.0.1")[0], ASN: 65001, Port: 1179, Local: addrs("10.0.0.8")[0]}, {Addr: addrs("10.0.0.2")[0], ASN: 65002, Password: "secret"}}, nil},
		"no ASNs": {`peer.ips: 10.0.0.1`, nil, []string{`kube-router.io/peer.ips: no peer used: 1 addresses but 0 values in kube-router.io/peer.asns`}},
		"count": {`peer.ips: 10.0.0.1, kube-router.io/peer.asns: "65001", kube-router.io/peer.ports: "1,2"`, nil,
			[]string{`kube-router.io/peer.ips: no peer used: 1 addresses but 2 values in kube-router.io/peer.ports`}},
		"one bad": {`peer.ips: "10.0.0.1,junk", kube-router.io/peer.asns: "65001,65002"`, []model.Peer{{Addr: addrs("10.0.0.1")[0], ASN: 65001}},
			[]string{`kube-router.io/peer.ips: peer 2 ignored: peer.ips: "junk" ignored: not an IP address`}},
		"beside peers": {`peers: "- {remoteip: 10.0.0.3, remoteasn: 65003}", kube-router.io/peer.ips: "10.0.0.1", kube-router.io/peer.asns: "65001"`,
			[]model.Peer{{Addr: addrs("10.0.0.3")[0], ASN: 65003}}, []string{`kube-router.io/peer.ips: ignored: kube-router.io/peers is given`}},
	} {
		t.Run(name, func(t *testing.T) {
			n := ConvertNode(decode[corev1.Node](t, `{metadata: {annotations: {kube-router.io/`+c.text+`}}}`))
			same(t, c.want, n.Options.Peers)
			sameRemarks(t, c.remarks, n.Remarks)
		})
	}
}
