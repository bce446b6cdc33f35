package kube

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"kube-router/internal/model"
)

// nodeOptions applies the annotations of a Node.
func nodeOptions(n *model.Node, r *remarks, all map[string]string) {
	if ours(all) {
		parseAnnotations(n, r, nodeAnnotations(), all)
	}
}

// nodeAnnotations is the table of a Node's annotations.
func nodeAnnotations() []annotation[model.Node] {
	return append(append(wireAnnotations(), lackingAnnotation()), []annotation[model.Node]{
		{"node.asn", "AS number", "the node's own AS; needed on every node when --nodes-full-mesh is off", func(n *model.Node, in input) {
			n.Options.ASN = asn(in, in.text)
		}},
		{"node.bgp.communities", "list of communities", "added to what is advertised to external peers: a 32-bit number, 16:16, x:y:z or a well-known name", func(n *model.Node, in input) {
			n.Options.Communities = collect(in.remarks, in.field(), csv(in.text), ParseCommunity)
		}},
		{"node.bgp.customimportreject", "list of CIDRs", "learned routes inside of these are refused", func(n *model.Node, in input) {
			n.Options.ImportReject = in.remarks.prefixes(in.field(), csv(in.text))
		}},
		{"node.bgp.accept-default-route", "true or false", "peers outside may teach this node a default route; in place of --accept-default-route", func(n *model.Node, in input) {
			n.Options.AcceptDefault = override(in)
		}},
		{"node.bgp.accept-prefixes", "list of CIDRs", "peers outside may teach this node what lies in these although it is refused by default, beside those of --accept-prefixes", func(n *model.Node, in input) {
			n.Options.Accept = in.remarks.prefixes(in.field(), csv(in.text))
		}},
		{"node.bgp.local-pref", "number", "LOCAL_PREF of what is advertised to nodes of the same AS", func(n *model.Node, in input) {
			n.Options.LocalPref = number(in)
		}},
		{"node.bgp.med", "number", "MULTI_EXIT_DISC of what is advertised to external peers", func(n *model.Node, in input) {
			n.Options.MED = number(in)
		}},
		{"path-prepend.as", "AS number", "put in front of the AS path to external peers; with path-prepend.repeat-n", parsePrepend},
		{"path-prepend.repeat-n", "1 to 255", "how many times path-prepend.as is put there", parseRepeat},
		{"peers", "YAML list", "external BGP peers of this node: remoteip, remoteasn, localip, password, port, ttlsecurity, prefixlimit, bfd", parsePeers},
		{"peer.ips", "list of addresses", "external BGP peers of this node, in the older form", parseOldPeers},
		{"peer.asns", "list of AS numbers", "their AS numbers, one for each of peer.ips", needsPeerIPs},
		{"peer.ports", "list of ports", "their ports, one for each of peer.ips; 179 when absent", needsPeerIPs},
		{"peer.passwords", "list of base64 texts", "their passwords, one for each of peer.ips", needsPeerIPs},
		{"peer.localips", "list of addresses", "our addresses towards them, one for each of peer.ips", needsPeerIPs},
		{"rr.server", "cluster id", "the node is a route reflector: a number or an IPv4 address", parseServer},
		{"rr.client", "cluster id", "the node is a client of route reflectors: a number or an IPv4 address", parseClient},
		{"bgp-local-addresses", "list of addresses", "where BGP listens; the node's own addresses when absent", func(n *model.Node, in input) {
			n.Options.BGPLocalAddrs = collect(in.remarks, in.field(), csv(in.text), parseListen)
		}},
		{"pod-cidrs", "list of CIDRs", "the node's pod addresses, in place of spec.podCIDRs", parseCIDRs},
		{"pod-cidr", "CIDR", "the same with one CIDR (deprecated: use pod-cidrs)", parseCIDR},
	}...)
}

// asn reads an AS number, without the ones that no speaker may use: 0 (RFC 7607), AS_TRANS (RFC 6793)
// and the last one (RFC 7300).
func asn(in input, s string) model.ASN {
	n, err := parseASN(s)
	if err != nil {
		in.wrong("%s", err)
	}
	return n
}

func parseASN(s string) (model.ASN, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q ignored: not an AS number", s)
	}
	return checkASN(model.ASN(n))
}

func checkASN(n model.ASN) (model.ASN, error) {
	if n == 0 || n == 23456 || n == 1<<32-1 {
		return 0, fmt.Errorf("%d ignored: a reserved AS number", n)
	}
	return n, nil
}

func number(in input) *uint32 {
	n, err := strconv.ParseUint(strings.TrimSpace(in.text), 10, 32)
	if err != nil {
		in.wrong("%q ignored: not a number from 0 to 4294967295", in.text)
		return nil
	}
	v := uint32(n)
	return &v
}

func parsePrepend(n *model.Node, in input) {
	if _, ok := in.other("path-prepend.repeat-n"); !ok {
		in.wrong("ignored: needs %spath-prepend.repeat-n", prefix)
		return
	}
	n.Options.PrependAS = asn(in, in.text)
}

// parseRepeat comes after parsePrepend; the two count only together.
func parseRepeat(n *model.Node, in input) {
	times, err := strconv.ParseUint(strings.TrimSpace(in.text), 10, 8)
	switch {
	case err != nil || times == 0:
		in.wrong("%q ignored: not a number from 1 to 255", in.text)
		n.Options.PrependAS = 0
	case n.Options.PrependAS == 0:
		in.wrong("ignored: needs a valid %spath-prepend.as", prefix)
	default:
		n.Options.PrependTimes = uint8(times)
	}
}

func parseServer(n *model.Node, in input) { n.Options.RRServer = clusterID(in) }

func parseClient(n *model.Node, in input) {
	if n.Options.RRServer != "" {
		in.wrong("ignored: the node is a reflector by %srr.server, and can't be both", prefix)
		return
	}
	n.Options.RRClient = clusterID(in)
}

// clusterID checks a route reflector's cluster id: 32 bits written as a number or an address (RFC 4456).
func clusterID(in input) string {
	s := strings.TrimSpace(in.text)
	if _, err := strconv.ParseUint(s, 10, 32); err == nil {
		return s
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		return s
	}
	in.wrong("%q ignored: a cluster id is a 32-bit number or an IPv4 address", in.text)
	return ""
}

// parseListen reads an address to listen at, which may mean any.
func parseListen(s string) (netip.Addr, error) {
	a, err := parseAddr(s)
	if err == nil && a.IsMulticast() {
		return netip.Addr{}, fmt.Errorf("%s ignored: nobody's address", a)
	}
	return a, err
}

func parseCIDRs(n *model.Node, in input) {
	n.PodCIDRs = collect(in.remarks, in.field(), csv(in.text), parseRange)
	if len(n.PodCIDRs) == 0 {
		in.wrong("no CIDR in %q", in.text)
	}
}

func parseCIDR(n *model.Node, in input) {
	if len(n.PodCIDRs) > 0 {
		return
	}
	n.PodCIDRs = collect(in.remarks, in.field(), []string{in.text}, parseRange)
}
