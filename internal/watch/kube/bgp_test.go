package kube

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/api"
	"kube-router/internal/model"
)

func bgpPeer(t *testing.T, text string) *model.BGPPeer {
	t.Helper()
	r, _ := resourceOf(model.KindBGPPeer)
	o, ok := r.convert(decode[api.Raw](t, text))
	if !ok {
		t.Fatal("not converted")
	}
	return o.(*model.BGPPeer)
}

func TestBGPPeer(t *testing.T) {
	p := bgpPeer(t, `
metadata: {name: tor1, uid: u, generation: 3, creationTimestamp: "2026-01-02T03:04:05Z"}
spec:
  nodeSelector: {matchLabels: {rack: "1"}}
  address: 192.0.2.1
  port: 1179
  asn: 4200000000
  localASN: 64999
  localAddress: 192.0.2.11
  holdTimeSeconds: 9
  keepaliveSeconds: 2
  authentication: {type: MD5, secretKey: tor1}
  bfd: {multiplier: 4, minRxMilliseconds: 300, minTxMilliseconds: 200}
  ttlSecurityHops: 1
  families: [IPv6]
  maxPrefixes: 0
  gracefulRestartSeconds: 0
`)
	o := &p.Peer
	if p.Broken != "" || p.Key != "tor1" || p.Generation != 3 || !p.Nodes.Matches(map[string]string{"rack": "1"}) || p.Nodes.Matches(nil) ||
		fmt.Sprint(o.Addr, o.Port, o.ASN, o.LocalASN, o.Local, o.Hold, o.Keepalive, o.Hops, o.Families) != "192.0.2.1 1179 4200000000 64999 192.0.2.11 9s 2s 1 [IPv6]" ||
		o.Limit == nil || *o.Limit != 0 || o.Restart == nil || *o.Restart != 0 || *o.BFD != (model.BFD{Multiplier: 4, MinRx: 300 * time.Millisecond, MinTx: 200 * time.Millisecond}) {
		t.Errorf("%+v", p)
	}
	d := bgpPeer(t, `{metadata: {name: a}, spec: {address: "2001:db8::1", asn: 64513}}`)
	if d.Broken != "" || len(d.Remarks) > 0 || d.Peer.Limit != nil || d.Peer.Restart != nil || d.Peer.BFD != nil || !d.Nodes.Matches(nil) {
		t.Errorf("defaults: %+v", d)
	}
}

// TestBrokenPeers: where a field can't be read there is no session, rather than another one than was asked for.
func TestBrokenPeers(t *testing.T) {
	for spec, want := range map[string]string{
		`{}`:                                                                      `spec.address: address: "" ignored: not an IP address`,
		`{address: 0.0.0.0, asn: 1}`:                                              `spec.address: address: 0.0.0.0 is no host's address`,
		`{address: 192.0.2.1}`:                                                    `spec.asn: 0 ignored: a reserved AS number`,
		`{address: 192.0.2.1, asn: 23456}`:                                        `spec.asn: 23456 ignored: a reserved AS number`,
		`{address: 192.0.2.1, asn: 4294967296}`:                                   `spec.asn: 4294967296 is not an AS number`,
		`{address: 192.0.2.1, asn: 1, port: 0}`:                                   `spec.port: 0 is not from 1 to 65535`,
		`{address: 192.0.2.1, asn: 1, colour: x}`:                                 `spec.colour: ignored: unknown field "colour"`,
		`{address: 192.0.2.1, asn: 1, families: [IPX]}`:                           `spec.families[0]: "IPX" is neither IPv4 nor IPv6`,
		`{address: 192.0.2.1, asn: 1, multihopTTL: 3, ttlSecurityHops: 1}`:        `spec.multihopTTL: a router can't have this and ttlSecurityHops`,
		`{address: 192.0.2.1, asn: 1, maxPrefixes: -1}`:                           `spec.maxPrefixes: -1 is not from 0 to 2147483647`,
		`{address: 192.0.2.1, asn: 1, authentication: {type: AO, secretKey: k}}`:  `spec.authentication: it needs type MD5 and a secretKey`,
		`{address: 192.0.2.1, asn: 1, bfd: {multiplier: 300}}`:                    `spec.bfd.multiplier: 300 is not from 1 to 255`,
		`{address: 192.0.2.1, asn: 1, gracefulRestartSeconds: 9999}`:              `spec.gracefulRestartSeconds: 9999 is not from 0 to 4095`,
		`{address: 192.0.2.1, asn: 1, localAddress: "fe80::1%eth0"}`:              `spec.localAddress: localAddress: "fe80::1%eth0" ignored: an address with a zone has no meaning outside its link`,
		`{address: 192.0.2.1, asn: 1, nodeSelector: {matchLabels: {"a b": "c"}}}`: ``,
	} {
		p := bgpPeer(t, "{metadata: {name: a}, spec: "+spec+"}")
		if p.Broken != want && want != "" {
			t.Errorf("%s: %q, want %q", spec, p.Broken, want)
		}
	}
}

// TestKeyring: a password is taken as it is, and never told.
func TestKeyring(t *testing.T) {
	k := convertKeyring(decode[corev1.Secret](t, `
metadata: {name: kube-router-bgp, namespace: kube-system}
data: {tor1: c2VzYW1l, empty: "", long: eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4}
`))
	if len(k.Keys) != 1 || string(k.Keys["tor1"]) != "sesame" || len(k.Remarks) != 2 {
		t.Errorf("%v %v", k.Keys, k.Remarks)
	}
	same(t, "map[tor1:(secret)]", fmt.Sprint(k.Keys))
}

func bgpAd(t *testing.T, text string) *model.BGPAdvertisement {
	t.Helper()
	r, _ := resourceOf(model.KindBGPAd)
	o, ok := r.convert(decode[api.Raw](t, text))
	if !ok {
		t.Fatal("not converted")
	}
	return o.(*model.BGPAdvertisement)
}

func TestBGPAdvertisement(t *testing.T) {
	a := bgpAd(t, `
metadata: {name: public, uid: u, generation: 3}
spec:
  addresses: [LoadBalancer, PodCIDR]
  pools: [public]
  serviceSelector: {matchLabels: {tier: gold}}
  nodeSelector: {matchLabels: {rack: "1"}}
  peers: [tor1]
  peerSelector: {matchLabels: {place: inside}}
  communities: ["64512:7", "64512:1:2", NO_EXPORT, "4227858439"]
  localPreference: 4294967295
  med: 0
  aggregationLength4: 26
  aggregationLength6: 128
`)
	if a.Broken != "" || fmt.Sprint(a.Balancer, a.External, a.Cluster, a.Pods, a.Pools, a.Peers, a.Communities, a.LocalPref, *a.MED, a.Length) !=
		"true false false true [public] [tor1] [64512:7 64512:1:2 no-export] 4294967295 0 map[IPv4:26]" || a.PeerLabels == nil || !a.Nodes.Matches(map[string]string{"rack": "1"}) {
		t.Errorf("%+v", a)
	}
	if d := bgpAd(t, `{metadata: {name: a}, spec: {}}`); d.Broken != "" || !d.Balancer || d.MED != nil || d.PeerLabels != nil || len(d.Length) > 0 {
		t.Errorf("defaults: %+v", d)
	}
	for spec, want := range map[string]string{
		`{addresses: [Nodes]}`:                      `spec.addresses[0]: "Nodes" is none of LoadBalancer, ExternalIP, ClusterIP, PodCIDR`,
		`{addresses: [ClusterIP], pools: [a]}`:      `spec.pools: pools have load balancer addresses, which spec.addresses doesn't name`,
		`{communities: [no-exprot]}`:                `spec.communities[0]: "no-exprot" ignored: not a community (a 32-bit number, 16:16, x:y:z or a well-known name)`,
		`{localPreference: 0}`:                      `spec.localPreference: 0 is not from 1 to 4294967295`,
		`{med: -1}`:                                 `spec.med: -1 is not from 0 to 4294967295`,
		`{aggregationLength4: 33}`:                  `spec.aggregationLength4: 33 is not from 8 to 32`,
		`{nodeSelector: {matchLabels: {"*": "1"}}}`: `spec.nodeSelector: selects nothing: key: Invalid value: "*"`,
	} {
		if b := bgpAd(t, "{metadata: {name: a}, spec: "+spec+"}"); !strings.HasPrefix(b.Broken, want) {
			t.Errorf("%s: %s", spec, b.Broken)
		}
	}
}

// TestFilters: rules of both directions, and what is no rule.
func TestFilters(t *testing.T) {
	p := bgpPeer(t, `
metadata: {name: tor1}
spec:
  address: 192.0.2.1
  asn: 64513
  import:
  - {action: Accept, prefixes: [{prefix: 10.0.0.0/8, ge: 24, le: 28}, {prefix: 10.0.0.0/8}, {prefix: "2001:db8::/32", le: 48}, {prefix: 10.0.0.0/8, ge: 9}]}
  - {action: Reject, asPath: {originates: 65010}, community: "65000:666"}
  export: [{action: Reject}]
`)
	if have := fmt.Sprint(p.Broken, p.Peer.Import, p.Peer.Export); have != "[{true [{10.0.0.0/8 24 28} {10.0.0.0/8 8 8} {2001:db8::/32 32 48} {10.0.0.0/8 9 32}] {0 0} } {false [] {2 65010} 65000:666}] [{false [] {0 0} }]" {
		t.Error(have)
	}
	for rule, want := range map[string]string{
		`{action: Drop}`: `spec.import[0].action: "Drop" is neither Accept nor Reject`,
		`{action: Reject, prefixes: [{prefix: 10.0.0.0}]}`:          `spec.import[0].prefixes[0].prefix: `,
		`{action: Reject, prefixes: [{prefix: 10.0.0.0/8, ge: 7}]}`: `spec.import[0].prefixes[0].ge: 7 is not from 8 to 32`,
		`{action: Reject, asPath: {contains: 1, originates: 2}}`:    `spec.import[0].asPath: it needs exactly one of contains, originates and neighbor`,
		`{action: Reject, community: internet}`:                     `spec.import[0].community: "internet" is on every route`,
		`{action: Reject, asPath: {contains: 0}}`:                   `spec.import[0].asPath.contains: 0 ignored: a reserved AS number`,
	} {
		b := bgpPeer(t, "{metadata: {name: a}, spec: {address: 192.0.2.1, asn: 64513, import: ["+rule+"]}}")
		if !strings.HasPrefix(b.Broken, want) {
			t.Errorf("%s: %s", rule, b.Broken)
		}
	}
	if b := bgpPeer(t, `{metadata: {name: a}, spec: {address: 192.0.2.1, asn: 64513, export: [{action: Reject, asPath: {contains: 1}}]}}`); b.Broken == "" {
		t.Error("an export filter has a condition about AS numbers")
	}
}
