package kube

import (
	"net/netip"
	"strconv"

	"kube-router/internal/model"
)

// wireAnnotations are those of WireGuard: what a node's daemon says of itself, and what its operator says.
func wireAnnotations() []annotation[model.Node] {
	key := func(at func(*model.NodeWire) *model.WireKey) func(*model.Node, input) {
		return func(n *model.Node, in input) {
			k, err := model.ParseWireKey(in.text)
			if err != nil {
				in.wrong("%s", err)
				return
			}
			*at(&n.Options.Wire) = k
		}
	}
	return []annotation[model.Node]{
		{"wireguard-key", "public key", "written by the node's own daemon: its key of WireGuard", key(func(w *model.NodeWire) *model.WireKey { return &w.Key })},
		{"wireguard-also", "public key", "written by the node's own daemon while its key changes: the next key, or the one before", key(func(w *model.NodeWire) *model.WireKey { return &w.Also })},
		{"wireguard-port", "port", "written by the node's own daemon: its UDP port of WireGuard", func(n *model.Node, in input) {
			n.Options.Wire.Port = wirePort(in)
		}},
		{"node.wireguard.endpoint", "address:port or none", "where other nodes reach this one through WireGuard, in place of its own address; none: behind a NAT, it calls first", parseEndpoint},
		{"node.wireguard.keepalive", "seconds", "how often this node and others send each other something so that a NAT between them remembers; 25 where the endpoint is none", func(n *model.Node, in input) {
			v, err := strconv.ParseUint(in.text, 10, 16)
			if err != nil {
				in.wrong("%q is not a number of seconds from 0 to 65535", in.text)
				return
			}
			n.Options.Wire.Keepalive = uint16(v)
		}},
		{"node.wireguard.revoked", "list of public keys", "keys by which nobody is known any more; their holders get nothing", func(n *model.Node, in input) {
			n.Options.Wire.Revoked = collect(in.remarks, in.field(), csv(in.text), model.ParseWireKey)
		}},
	}
}

func wirePort(in input) model.Port {
	v, err := strconv.ParseUint(in.text, 10, 16)
	if err != nil || v == 0 {
		in.wrong("%q is not a port from 1 to 65535", in.text)
		return 0
	}
	return model.Port(v)
}

func parseEndpoint(n *model.Node, in input) {
	w := &n.Options.Wire
	if in.text == "none" {
		w.Behind = true
		if _, said := in.other("node.wireguard.keepalive"); !said {
			w.Keepalive = 25
		}
		return
	}
	p, err := netip.ParseAddrPort(in.text)
	if err != nil || p.Port() == 0 {
		in.wrong("%q is neither address:port nor none", in.text)
		return
	}
	if _, err := parseUnicast(p.Addr().String()); err != nil {
		in.wrong("%s", err)
		return
	}
	w.Endpoint = netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
