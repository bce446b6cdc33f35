package kube

import (
	"fmt"
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
